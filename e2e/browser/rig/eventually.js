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

/** The server answered with an HTTP status instead of 101. */
export class Refused extends Error {
  /** @param {number} status */
  constructor(status) {
    super(`refused with ${status}`);
    this.status = status;
  }
}

/** A URL, or what gives one for each attempt: an attempt that was answered with 503 may have used it up. @typedef {string | (() => Promise<string>)} Url */

/**
 * Opens a connection, again when the answer is 503: on a busy machine the server may lose sight of Redis for a moment.
 * @template T
 * @param {Url} url
 * @param {(url: string) => Promise<T>} open which throws Refused
 * @returns {Promise<NonNullable<Awaited<T>>>}
 */
export function insist(url, open) {
  return eventually("an answer other than 503", async () => {
    try {
      return await open(typeof url === "string" ? url : await url());
    } catch (error) {
      if (!(error instanceof Refused) || error.status !== 503) throw error;
      return undefined;
    }
  });
}
