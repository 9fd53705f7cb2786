/**
 * The ids that were handed over last. It is bounded: what is older cannot come again, because positions keep it out,
 * unless a sender used an id twice far apart.
 */
export class Seen {
  private _ids = new Set<string>();
  private _limit: number;

  constructor(limit: number) {
    this._limit = limit;
  }

  /** Remembers an id; false when it is known. */
  add(id: string): boolean {
    if (this._ids.has(id)) return false;
    this._ids.add(id);
    if (this._ids.size > this._limit) {
      for (const oldest of this._ids) {
        this._ids.delete(oldest);
        break;
      }
    }
    return true;
  }

  delete(id: string): void {
    this._ids.delete(id);
  }

  clear(): void {
    this._ids.clear();
  }
}
