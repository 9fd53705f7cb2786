const EVERY_MS = 20;
const PATIENCE_MS = 20_000; // several programs on a busy machine

/** Waits until a condition holds. */
export async function eventually(what: string, condition: () => unknown, withinMs = PATIENCE_MS): Promise<void> {
  const end = Date.now() + withinMs;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`not within ${withinMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
  }
}
