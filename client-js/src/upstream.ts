import type { CloseReason } from "./closeCodes.js";
import type { ImError } from "./errors.js";
import type { ClientFrame, Positions, ServerFrame } from "./frames.js";
import type { StateChange } from "./state.js";

/** Where frames come from: a connection of its own, or that of another tab. */
export interface Upstream {
  /** Connects, at once also when it waits. */
  connect(): void;
  /** Closes for good, until connect is called again. */
  close(reason: CloseReason): void;
  /** Something happened that makes a look at the connection worth while. */
  wake(): void;
  /** Sends a frame; false when nothing is open. */
  send(frame: ClientFrame): boolean;
}

/** Who is told. */
export interface UpstreamOwner {
  /** Where the streams stopped; asked after each hello. */
  start(): Positions | Promise<Positions>;
  /** A frame for the application. */
  frame(frame: ServerFrame): void;
  state(change: StateChange): void;
  /** Something failed that is tried again. */
  error(error: ImError): void;
  /** A connection began that does not continue the one before: replies to what was asked there do not come. */
  broken(): void;
  /** A request that was taken for sent is not. */
  unsent(id: string): void;
  /** What was handed over last in each stream. */
  tops(): Positions;
}
