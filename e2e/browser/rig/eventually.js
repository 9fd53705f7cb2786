const EVERY_MS = 25;
const PATIENCE_MS = 20_000; // a browser on a busy machine

/**
 * Waits until a condition holds, and returns what it gave.
 * @template T
 * @param {string} what
 * @param {() => T | Promise<T>} condition
 * @param {number} [withinMs]
 * @returns {Promise<NonNullable<Awaited<T>>>}
 */
export async function eventually(what, condition, withinMs = PATIENCE_MS) {
  const end = Date.now() + withinMs;
  for (;;) {
    const found = await condition();
    if (found) return /** @type {NonNullable<Awaited<T>>} */ (found);
    if (Date.now() > end) throw new Error(`not within ${withinMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
  }
}
