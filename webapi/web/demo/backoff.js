// How long to wait before the next attempt to connect.

const FIRST_MS = 500; // before the second attempt; a node that restarts is often back by then
const LONGEST_MS = 30_000; // a page that waits longer looks dead to its reader

/**
 * The wait before attempt n (0 is the first retry): doubling, with the upper half random, so that the clients of
 * a node that died do not come back at the same moment.
 * @param {number} n
 * @param {() => number} [random] uniform in [0, 1)
 * @returns {number} milliseconds
 */
export function backoff(n, random = Math.random) {
  const full = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(n, 16));
  return Math.round(full / 2 + (full / 2) * random());
}
