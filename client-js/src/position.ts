/**
 * A place in a stream: `<epoch>-<seq>`, both unsigned 64-bit decimals without leading zeros. Compare them with
 * {@link comparePositions} only.
 */
export type Position = string;

/** Less than, equal to or greater than 0, as `a` lies before, at or after `b`. */
export function comparePositions(a: Position, b: Position): number {
  const [epochA = "", seqA = ""] = a.split("-");
  const [epochB = "", seqB = ""] = b.split("-");
  return compareDigits(epochA, epochB) || compareDigits(seqA, seqB);
}

/** Compares decimals of any size: JavaScript's numbers end at 2^53. */
function compareDigits(a: string, b: string): number {
  return a.length - b.length || (a < b ? -1 : Number(a > b));
}

/** Whether `a` lies after `b`; everything lies after nothing. */
export function isAfter(a: Position, b: Position | undefined): boolean {
  return b === undefined || comparePositions(a, b) > 0;
}
