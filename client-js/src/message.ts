import { groupOfStream, type MessageFrame, type ReceiptFrame } from "./frames.js";
import type { Position } from "./position.js";

/** One message. */
export interface Message<Data = unknown> {
  /**
   * Given by the sender or the server. Of one sender in one stream each id comes once; two senders may choose the same,
   * so a list of messages needs `stream`, `from` and `id` to tell them apart.
   */
  id: string;
  /** The sender's clientId; undefined when the system sent it. */
  from: string | undefined;
  /** What was sent: any JSON value, or a Uint8Array when it was sent as `binary`. */
  data: Data;
  /** When it was sent: Unix milliseconds, the server's clock. */
  time: number;
  /** `inbox`, `group:<name>` or `all`. */
  stream: string;
  /** The group it was sent to; undefined for other streams. */
  group: string | undefined;
  /** Its place in the stream; undefined when it is ephemeral, that is: not kept, not repeated. */
  pos: Position | undefined;
  /** What its sender asked to be told. With `read`, call {@link ImClient.markRead} when the user has seen it. */
  receipt: "delivered" | "read" | undefined;
}

/** What became of a message that this client sent. */
export interface Receipt {
  /** The message. */
  id: string;
  /** Its receiver. */
  clientId: string;
  /** `read` implies `delivered`; nothing follows after `expired`. */
  state: ReceiptFrame["state"];
}

/**
 * Messages of a stream may be missing: the history was too short for the time away, or Redis lost data. Comes before
 * any later message of the stream. Load the state of things from your backend again.
 */
export interface Gap {
  /** `inbox`, `group:<name>` or `all`. */
  stream: string;
  /** The last position before what may be missing; undefined when this page had nothing of the stream yet. */
  from: Position | undefined;
  /** Where the stream goes on. */
  to: Position;
}

export function messageOf(frame: MessageFrame): Message {
  const { id, from, time, stream, pos, receipt, binary } = frame;
  const data = binary === undefined ? frame.data : decodeBase64(binary);
  return { id, from, data, time, stream, group: groupOfStream(stream), pos, receipt };
}

/** Decodes standard base64. Mini-programs have no atob. */
function decodeBase64(text: string): Uint8Array {
  const out = [];
  let bits = 0, count = 0;
  for (const char of text) {
    if (char === "=") break; // padding
    const code = char.charCodeAt(0);
    bits = bits << 6 | (code > 96 ? code - 71 : code > 64 ? code - 65 : code > 47 ? code + 4 : char === "+" ? 62 : 63);
    count += 6;
    if (count >= 8) out.push(bits >> (count -= 8) & 0xff);
  }
  return Uint8Array.from(out);
}
