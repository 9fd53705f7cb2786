// Time that tests move by hand.
import { mock } from "node:test";

const STEP_MS = 50;

/** Replaces the timers and the date; call restoreTime at the end. */
export function stopTime(): void {
  mock.timers.enable({ apis: ["setTimeout", "setInterval", "Date"], now: 1_800_000_000_000 });
}

/** Sets the clock back, which no timer notices. */
export function setBack(ms: number): void {
  const now = Date.now;
  mock.method(Date, "now", () => now() - ms);
}

export function restoreTime(): void {
  mock.timers.reset();
}

/** Lets promises and microtasks run. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 4; i++) await new Promise((resolve) => setImmediate(resolve));
}

/** Moves the time in steps, and lets everything run that falls due on the way. What a promise then begins is late by a step at most. */
export async function advance(ms: number, step = STEP_MS): Promise<void> {
  await settle();
  for (let left = ms; left > 0; left -= step) {
    mock.timers.tick(Math.min(left, step));
    await settle();
  }
}
