const FIRST_MS = 1_000; // the longest wait before the second attempt
const LONGEST_MS = 30_000; // who waits longer looks dead to the user

/**
 * How long to wait before attempt `n` (0 is the first one after a failure), in milliseconds: anything between zero
 * and 1, 2, 4, … 30 seconds. Evenly spread ("full jitter"), so that the clients of a node that died do not come back
 * in waves.
 */
export function backoff(n: number, random: () => number = Math.random): number {
  return Math.floor(random() * longestWait(n));
}

/** The upper end of the wait before attempt `n`. */
export function longestWait(n: number): number {
  return Math.min(LONGEST_MS, FIRST_MS * 2 ** n);
}
