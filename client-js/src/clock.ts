/**
 * What is left of `ms` milliseconds that began at a Unix time. Nothing when that lies in the future: the clock was set
 * back, and nobody can say. A clock that was set forward is taken for a sleep.
 *
 * `performance.now()` is never set, but stands still in the sleep of some machines, and mini-programs may lack it.
 */
export function left(since: number, ms: number): number {
  const rest = since + ms - Date.now();
  return rest > ms ? 0 : rest;
}
