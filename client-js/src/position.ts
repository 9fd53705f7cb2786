/**
 * A place in a stream: `<epoch>-<seq>`, both unsigned 64-bit decimals without leading zeros. Compare them with
 * {@link comparePositions} only.
 */
export type Position = string;

/** Whether it is one. Epochs are milliseconds: 19 digits are enough, and always fit into 64 bits. */
export function isPosition(pos: unknown): pos is Position {
  return typeof pos === "string" && /^\d{1,19}-\d{1,19}$/u.test(pos);
}

/** Less than, equal to or greater than 0, as `a` lies before, at or after `b`. */
export function comparePositions(a: Position, b: Position): number {
  const keyA = keyOf(a), keyB = keyOf(b);
  return keyA < keyB ? -1 : Number(keyA > keyB);
}

/** Orders as text what are decimals: JavaScript's numbers end at 2^53. */
function keyOf(pos: Position): string {
  return pos.split("-").map((digits) => digits.padStart(20, "0")).join();
}

/** Whether `a` lies after `b`; everything lies after nothing. */
export function isAfter(a: Position, b: Position | undefined): boolean {
  return b === undefined || comparePositions(a, b) > 0;
}
