// What is known about rooms, people and what was said.
import { nameOf } from "./ids.js";

/**
 * @typedef {{ id: string, from: string, time: number, text: string, kind: "chat" | "notice",
 *   state: "sent" | "sending" | "failed" }} Message
 */

const KEPT = 500; // messages per conversation; older ones leave the page

export class Conversation {
  /** @type {Message[]} */
  messages = [];
  unread = 0;
  joined = false; // rooms: member
  loaded = false; // history was fetched
  members = 0; // rooms
  online = false; // people

  /**
   * @param {"everyone" | "room" | "person"} kind
   * @param {string} id room name or clientId
   */
  constructor(kind, id) {
    this.kind = kind;
    this.id = id;
    this.key = `${kind}:${id}`;
    this.title = kind === "everyone" ? "Everyone" : kind === "room" ? id : nameOf(id);
  }

  /**
   * Adds a message, or confirms the one with its id.
   * @param {Message} message
   * @returns {boolean} whether it is new
   */
  add(message) {
    const known = this.messages.find((other) => other.id === message.id);
    if (known) {
      if (message.state === "sent") Object.assign(known, { state: "sent" });
      return false;
    }
    this.messages.push(message);
    if (this.messages.length > KEPT) this.messages.splice(0, this.messages.length - KEPT);
    return true;
  }

  /** Adds stored messages and puts all in order. @param {Message[]} stored */
  merge(stored) {
    for (const message of stored) this.add(message);
    this.messages.sort((a, b) => a.time - b.time);
    this.loaded = true;
  }

  get last() {
    return this.messages.findLast((message) => message.kind === "chat");
  }
}

export class Conversations {
  /** @type {Map<string, Conversation>} */
  #all = new Map();

  constructor() {
    this.everyone = this.#get("everyone", "");
  }

  /** @param {string} name */
  room(name) {
    return this.#get("room", name);
  }

  /** @param {string} clientId */
  person(clientId) {
    return this.#get("person", clientId);
  }

  /** @param {string} key @returns {Conversation | undefined} */
  byKey(key) {
    return this.#all.get(key);
  }

  /** Rooms: joined ones first, then by name. */
  get rooms() {
    return this.#of("room").sort((a, b) => Number(b.joined) - Number(a.joined) || a.title.localeCompare(b.title));
  }

  /** People: those online, and those who left after they had written. */
  get people() {
    return this.#of("person")
      .filter((person) => person.online || person.messages.length > 0)
      .sort((a, b) => Number(b.online) - Number(a.online) || a.title.localeCompare(b.title) || (a.id < b.id ? -1 : 1));
  }

  get unread() {
    let sum = 0;
    for (const conversation of this.#all.values()) sum += conversation.unread;
    return sum;
  }

  /** @param {import("./api.js").RoomInfo[]} infos */
  setRooms(infos) {
    const listed = new Map(infos.map((info) => [info.room, info.members]));
    for (const name of listed.keys()) this.room(name);
    for (const room of this.#of("room")) {
      room.members = listed.get(room.id) ?? 0;
      if (!room.joined && !listed.has(room.id) && room.messages.length === 0) this.#all.delete(room.key);
    }
  }

  /** @param {import("./api.js").PersonInfo[]} infos @param {string} me */
  setPeople(infos, me) {
    for (const person of this.#of("person")) person.online = false;
    for (const info of infos) if (info.clientId !== me) this.person(info.clientId).online = info.online;
  }

  /** @param {"everyone" | "room" | "person"} kind @param {string} id */
  #get(kind, id) {
    const fresh = new Conversation(kind, id);
    const known = this.#all.get(fresh.key);
    if (known) return known;
    this.#all.set(fresh.key, fresh);
    return fresh;
  }

  /** @param {"room" | "person"} kind */
  #of(kind) {
    return [...this.#all.values()].filter((conversation) => conversation.kind === kind);
  }
}
