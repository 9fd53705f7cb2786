/**
 * What went wrong:
 *
 * - `connect_url`: your `connectUrl` failed, took too long, or gave no URL. Tried again by itself.
 * - `socket`: the WebSocket could not even be constructed; tried again by itself. Or it cannot be shared, and the tab
 *   takes one of its own. Or `connect` found that there is no WebSocket here, which ends the client.
 * - `handler`: a handler of yours threw or rejected; `cause` is what it threw.
 * - `stuck`: more than 1,000 messages of a stream wait for handlers; the oldest now counts as handled.
 * - `store`: positions could not be read or written.
 * - `closed`: the client is closed; `reason` of the state says why.
 * - `timeout`: no reply in time.
 * - `lost`: the connection was lost before the reply. The request may have been carried out.
 * - `request`: the answer is an error, which is in `cause`: `{ code, message }`.
 */
export type ErrorCode =
  | "connect_url" | "socket" | "handler" | "stuck" | "store" | "closed" | "timeout" | "lost" | "request";

/** Every error of this library. */
export class ImError extends Error {
  override name = "ImError";
  readonly code: ErrorCode;
  /** What caused it, as it was thrown or sent. */
  override readonly cause: unknown;

  constructor(code: ErrorCode, message: string, cause?: unknown) {
    super(message);
    this.code = code;
    this.cause = cause;
  }
}

/** The text of anything that was thrown. */
export function textOf(error: unknown): string {
  return (error as Error | undefined)?.message ?? String(error);
}
