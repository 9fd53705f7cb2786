import type { Position } from "./position.js";

/** The WebSocket sub-protocol whose frames these are: one JSON object per text frame. */
export const SUBPROTOCOL = "imtier.v1";

/** Positions by stream: `inbox`, `group:<name>` or `all`. */
export type Positions = Record<string, Position>;

/** What the server sends. Unknown types and fields are ignored. */
export type ServerFrame = HelloFrame | StartedFrame | StreamFrame | ReplyFrame | MigrateFrame | { type: "ping" | "pong" };

/** Frames that belong to streams. */
export type StreamFrame = MessageFrame | ReceiptFrame | GapFrame | JoinedFrame | LeftFrame;

export interface HelloFrame {
  type: "hello";
  clientId: string;
  connId: string;
  node: string;
  session?: string;
  ping?: number; // seconds
}

export interface StartedFrame {
  type: "started";
  pos: Positions;
  recovered: Record<string, boolean>;
}

export interface MessageFrame {
  type: "message";
  stream: string;
  pos?: Position; // absent: ephemeral
  id: string;
  from?: string; // absent: the system
  time: number; // Unix ms
  data?: unknown;
  binary?: string; // base64, instead of data
  receipt?: "delivered" | "read"; // what the sender waits for
}

export interface ReceiptFrame {
  type: "receipt";
  stream?: string;
  pos?: Position;
  id: string;
  clientId: string;
  state: "delivered" | "read" | "expired";
}

export interface GapFrame {
  type: "gap";
  stream: string;
  from: Position;
  to: Position;
}

export interface JoinedFrame {
  type: "joined";
  group: string;
  pos: Position;
}

export interface LeftFrame {
  type: "left";
  group: string;
}

export interface ReplyFrame {
  type: "reply";
  id: string;
  data?: unknown;
  error?: unknown;
}

export interface MigrateFrame {
  type: "migrate";
  url: string;
  withinMs: number;
}

/** What a client sends. */
export type ClientFrame =
  | { type: "start" | "ack"; pos: Positions }
  | { type: "read"; ids: string[] }
  | { type: "request"; id: string; data: unknown }
  | { type: "ping" | "pong" };

/** Reads one text frame; undefined when it is not a JSON object with a type. */
export function decodeFrame(text: unknown): ServerFrame | undefined {
  try {
    const frame = JSON.parse(text as string);
    if (typeof frame.type === "string") return frame;
  } catch {
    // answered below
  }
  return undefined;
}

const PREFIX = "group:";

/** The stream of a group. */
export const streamOfGroup = (group: string): string => PREFIX + group;

/** The group that a stream belongs to, or undefined. */
export const groupOfStream = (stream: string): string | undefined =>
  stream.startsWith(PREFIX) ? stream.slice(PREFIX.length) : undefined;
