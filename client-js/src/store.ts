import type { Positions } from "./frames.js";

/** What is kept of a client: where each stream stopped. */
export interface Saved {
  /** Whose positions they are; they are of no use for another client. */
  clientId: string;
  pos: Positions;
}

/**
 * Keeps positions over the page's life. Writing is asked for once a second while messages come, and ten times a second at
 * most when senders wait for that or messages are marked as read; besides when a connection begins, when memberships
 * change, when the page is hidden and when the client is closed. Reading has 5 seconds. Failures are reported as `error`
 * events and change nothing else.
 */
export interface PositionStore {
  load(): Saved | undefined | Promise<Saved | undefined>;
  save(saved: Saved): void | Promise<void>;
}

/**
 * Keeps positions in `localStorage` (or `sessionStorage`, or anything with their shape) under a key. One key is for
 * one client at a time: two tabs without `shared` need two keys, or `sessionStorage`.
 *
 * Where `localStorage` is missing or forbidden, each use fails, and not the call of this function.
 */
export function webStorage(key = "imtier.positions", storage?: Pick<Storage, "getItem" | "setItem">): PositionStore {
  return {
    load: () => JSON.parse((storage ?? localStorage).getItem(key) ?? "null") ?? undefined,
    save: (saved) => (storage ?? localStorage).setItem(key, JSON.stringify(saved)),
  };
}
