// Time that tests move by hand.
import { mock } from "node:test";

const STEP_MS = 50;

/** Replaces the timers and the date; call restoreTime at the end. */
export function stopTime(): void {
  mock.timers.enable({ apis: ["setTimeout", "setInterval", "Date"], now: 1_800_000_000_000 });
}

export function restoreTime(): void {
  mock.timers.reset();
}

/** Lets promises and microtasks run. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 4; i++) await new Promise((resolve) => setImmediate(resolve));
}

/** Moves the time, and lets everything run that falls due on the way. */
export async function advance(ms: number): Promise<void> {
  await settle();
  for (let left = ms; left > 0; left -= STEP_MS) {
    mock.timers.tick(Math.min(left, STEP_MS));
    await settle();
  }
}
