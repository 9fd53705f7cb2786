/**
 * The close codes of imtier and their names, which are the same in the server's metrics and logs.
 *
 * The rule for every code, also one that is not listed: 4500–4999 stay away, anything else reconnect.
 */
export const CLOSE_CODES = {
  1000: "peer closed",
  1002: "broken framing",
  1007: "invalid UTF-8",
  1009: "message too big",
  1011: "internal error",
  4000: "draining",
  4001: "too slow",
  4002: "no pong",
  4003: "state lost",
  4004: "handed over",
  4500: "forced offline",
  4501: "replaced by another device",
  4502: "revoked",
  4503: "protocol error",
  4504: "too much input",
} as const;

/** The name of a close code in {@link CLOSE_CODES}. */
export type CloseName = (typeof CLOSE_CODES)[keyof typeof CLOSE_CODES];

/** The node is going away: its session is of no use there. */
export const DRAINING = 4000;

/** A frame was larger than the server takes. */
export const TOO_BIG = 1009;

/** A frame that the server does not take; before the start also that none came in time. */
export const MISUSE = 4503;

/** Whether a client has to stay away after a close code, until its backend or its user says otherwise. */
export function isFinal(code: number): boolean {
  return code >= 4500 && code < 5000;
}

/** Why a client is closed. */
export interface CloseReason {
  /** Who wanted it: the server with a close code, your backend by a fatal error of `connectUrl`, or `close()` or a missing WebSocket. */
  by: "server" | "backend" | "application";
  /** The WebSocket close code; 0 when there was none. */
  code: number;
  /** The name of the code, when it is one of {@link CLOSE_CODES}. */
  name?: CloseName | undefined;
  /** What the server, or the error, said. For logs. */
  text: string;
}
