// From what the server sends to what conversations hold.
import { LOBBY, roomOfStream } from "./ids.js";

/**
 * @typedef {import("./conversations.js").Conversation} Conversation
 * @typedef {import("./conversations.js").Conversations} Conversations
 * @typedef {import("./conversations.js").Message} Message
 */

/**
 * The message in what was received or in the history, or undefined when it is not one of this page's.
 * Notices count only when the system sent them.
 * @param {{ id: string, from?: string | undefined, time: number, data?: any }} received
 * @returns {Message | undefined}
 */
export function toMessage({ id, from, time, data }) {
  if (data === null || typeof data !== "object") return undefined;
  if (data.kind === "chat" && typeof data.text === "string") {
    return { id, from: from ?? "", time, text: data.text, kind: "chat", state: "sent" };
  }
  if (data.kind === "notice" && !from && typeof data.name === "string") {
    const text = data.event === "enter" ? `${data.name} came in` : `${data.name} left`;
    return { id, from: "", time, text, kind: "notice", state: "sent" };
  }
  return undefined;
}

/**
 * The conversation that an inbox message belongs to: with its sender, or with its receiver when it is an own one.
 * @param {{ from?: string | undefined, data?: any }} received
 * @param {Conversations} conversations
 * @param {string} me
 */
export function peerOf({ from, data }, conversations, me) {
  const peer = from === me ? data?.to : from;
  return typeof peer === "string" && peer ? conversations.person(peer) : undefined;
}

/**
 * The conversation that a stream belongs to.
 * @param {{ stream: string, from?: string | undefined, data?: any }} received
 * @param {Conversations} conversations
 * @param {string} me
 * @returns {Conversation | undefined}
 */
export function conversationOf(received, conversations, me) {
  if (received.stream === "all") return conversations.everyone;
  if (received.stream === "inbox") return peerOf(received, conversations, me);
  const room = roomOfStream(received.stream);
  return room === undefined ? undefined : conversations.room(room);
}

/**
 * Applies what the lobby tells about people and rooms.
 * @param {import("./imtier.js").Message<any>} received
 * @param {Conversations} conversations
 * @param {string} me
 */
export function applyLobby(received, conversations, me) {
  if (received.stream !== LOBBY || received.from) return false;
  const data = received.data ?? {};
  if (data.kind === "person" && data.clientId !== me) conversations.person(data.clientId).online = data.online === true;
  if (data.kind === "room") conversations.room(data.room).members = data.members;
  return true;
}

/**
 * A line of the page's own, such as a warning.
 * @param {string} text
 * @returns {Message}
 */
export function ownNotice(text) {
  return { id: `own ${performance.now()} ${Math.random()}`, from: "", time: Date.now(), text, kind: "notice", state: "sent" };
}

