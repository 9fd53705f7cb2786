import { groupOfStream } from "./frames.js";

// Control characters, and what stands for broken text: lone surrogates, and what decoders make of them.
const BAD = /[\p{Cc}\p{Cs}\ufffd]/u;
const ID_BYTES = 64;
const GROUP_BYTES = 128;

/** Whether the server takes it for a message's id: 1–64 bytes of UTF-8 without control characters. */
export const isId = (id: unknown): boolean => isName(id, ID_BYTES);

/** Whether the server takes it for a stream: `inbox`, `all` or that of a group. */
export const isStream = (stream: string): boolean =>
  stream === "inbox" || stream === "all" || isName(groupOfStream(stream), GROUP_BYTES);

function isName(name: unknown, most: number): boolean {
  if (typeof name !== "string" || !name || BAD.test(name)) return false;
  return encodeURIComponent(name).replace(/%../gu, " ").length <= most; // bytes; mini-programs have no TextEncoder
}
