/**
 * Keys of what was handed over last. It is bounded: what is older cannot come again, because positions keep it out,
 * unless a sender used an id twice far apart.
 */
export class Seen {
  private _keys = new Set<string>();
  private _limit: number;

  constructor(limit: number) {
    this._limit = limit;
  }

  /** Remembers a key; false when it is known. */
  add(key: string): boolean {
    if (this._keys.has(key)) return false;
    this._keys.add(key);
    if (this._keys.size > this._limit) {
      for (const oldest of this._keys) {
        this._keys.delete(oldest);
        break;
      }
    }
    return true;
  }

  delete(key: string): void {
    this._keys.delete(key);
  }

  clear(): void {
    this._keys.clear();
  }
}
