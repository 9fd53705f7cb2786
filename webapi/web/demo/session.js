// Who this window is. Each window is somebody of its own, and stays so when it is reloaded.

const KEY = "imtier.session";
const NAME = "imtier.nickname";

/** @typedef {import("./api.js").Session} Session */

/** @returns {Session | undefined} */
export function storedSession() {
  try {
    return JSON.parse(sessionStorage.getItem(KEY) ?? "null") ?? undefined;
  } catch {
    return undefined;
  }
}

/** @param {Session | undefined} session */
export function storeSession(session) {
  if (!session) return sessionStorage.removeItem(KEY);
  sessionStorage.setItem(KEY, JSON.stringify(session));
  sessionStorage.setItem(NAME, session.name);
}

/** The nickname used last in this window. */
export function lastNickname() {
  return sessionStorage.getItem(NAME) ?? "";
}
