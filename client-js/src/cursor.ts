import { isAfter, type Position } from "./position.js";

/** A message that was handed over and is not handled yet, or that lies behind one. */
export interface Entry {
  pos: Position;
  state: "open" | "done" | "failed";
}

/** Messages of one stream that may wait for handlers; a bound for memory. */
const MOST_OPEN = 1_000;

/**
 * How far one stream has come. `handled` is where to resume and what to acknowledge: everything up to it was handled.
 * `top` is the last position that was handed over.
 */
export class Cursor {
  handled: Position;
  top: Position;
  /** A sender waits for something after `handled`, or for `handled` itself. */
  urgent = false;
  /** In the order of their positions, all after `handled`. */
  private _entries: Entry[] = [];

  constructor(pos: Position) {
    this.handled = this.top = pos;
  }

  /**
   * The entry for a position that is to be handed over: a new one after `top`, or one that failed and comes again;
   * undefined for what was handed over already.
   */
  take(pos: Position): Entry | undefined {
    if (isAfter(pos, this.top)) {
      const entry: Entry = { pos, state: "open" };
      this._entries.push(entry);
      this.top = pos;
      return entry;
    }
    const again = this._entries.find((entry) => entry.pos === pos && entry.state === "failed");
    if (again) again.state = "open";
    return again;
  }

  /** Moves `handled` over everything that is done; false when it stays. */
  advance(): boolean {
    const before = this.handled;
    while (this._entries[0]?.state === "done") this._drop();
    return this.handled !== before;
  }

  /** Gives the oldest entry up when there are too many, and reports it. */
  overflow(): boolean {
    if (this._entries.length <= MOST_OPEN) return false;
    this._drop();
    return true;
  }

  private _drop(): void {
    this.handled = this._entries.shift()!.pos;
  }
}
