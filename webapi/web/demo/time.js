// Times as the reader's language writes them.

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });

/** @param {number} ms */
export function clockTime(ms) {
  return clock.format(ms);
}

/** @param {number} ms */
export function fullTime(ms) {
  return full.format(ms);
}

/** @param {number} ms @param {number} [now] */
export function dayName(ms, now = Date.now()) {
  return sameDay(ms, now) ? "Today" : day.format(ms);
}

/** @param {number} a @param {number} b */
export function sameDay(a, b) {
  return new Date(a).toDateString() === new Date(b).toDateString();
}
