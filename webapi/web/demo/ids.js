// Ids and names.

/** A random message id. crypto.randomUUID would need https or localhost. */
export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * The nickname in a clientId, which is "demo:<nickname>~<random>".
 * @param {string} clientId
 */
export function nameOf(clientId) {
  const match = /^demo:(.+)~[0-9a-f]+$/u.exec(clientId);
  return match?.[1] ?? clientId;
}

/** The stream that tells about people and rooms. */
export const LOBBY = "group:demo:lobby";

const ROOM = "group:demo:room:";

/**
 * The room that a stream belongs to.
 * @param {string} stream
 * @returns {string | undefined}
 */
export function roomOfStream(stream) {
  return stream.startsWith(ROOM) ? stream.slice(ROOM.length) : undefined;
}
