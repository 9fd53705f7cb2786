import type { CloseReason } from "./closeCodes.js";

/**
 * `idle` (not connected yet) → `connecting` → `open` (messages flow) → `waiting` (for the next attempt) → …, and
 * `closed`, after which only {@link ImClient.connect} goes on.
 */
export type State = StateChange["state"];

/** A state, and what belongs to it. */
export type StateChange =
  | { state: "idle" | "connecting" | "open" }
  | {
    state: "waiting";
    /** When the next attempt begins, Unix milliseconds. */
    retryAt: number;
    /** How many attempts failed one after the other. */
    attempt: number;
  }
  | {
    state: "closed";
    reason: CloseReason;
  };
