// The demo backend's JSON routes.

/** An answer that is not 2xx, or no answer at all (status 0). */
export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {string} message
   */
  constructor(status, message) {
    super(message);
    this.name = "ApiError";
    this.status = status;
  }
}

const TIMEOUT_MS = 10_000; // the backend answers within a few; the rest is a broken network

/**
 * @typedef {{ token: string, clientId: string, name: string }} Session
 * @typedef {{ room: string, members: number, online: number }} RoomInfo
 * @typedef {{ clientId: string, name: string, online: boolean }} PersonInfo
 * @typedef {{ id: string, from?: string, time: number, data: unknown }} StoredMessage
 * @typedef {{ room: string } | { person: string } | { everyone: true }} Target
 */

export class Api {
  /** @type {string} */
  token = "";

  /** @param {string} name @returns {Promise<Session>} */
  login(name) {
    return this.#call("POST", "session", { name });
  }

  /** @returns {Promise<{ clientId: string, name: string, rooms: string[] }>} */
  me() {
    return this.#call("GET", "me");
  }

  /** @param {string[]} rooms @returns {Promise<{ url: string }>} */
  connect(rooms) {
    return this.#call("POST", "connect", { rooms });
  }

  /** @returns {Promise<{ rooms: RoomInfo[] }>} */
  rooms() {
    return this.#call("GET", "rooms");
  }

  /** @returns {Promise<{ people: PersonInfo[], total: number }>} */
  people() {
    return this.#call("GET", "people");
  }

  /** @param {string} room @returns {Promise<RoomInfo>} */
  join(room) {
    return this.#call("POST", "rooms/join", { room });
  }

  /** @param {string} room @returns {Promise<RoomInfo>} */
  leave(room) {
    return this.#call("POST", "rooms/leave", { room });
  }

  /**
   * The newest messages, oldest first: of a room, or of the own inbox.
   * @param {string} [room]
   * @returns {Promise<{ messages: StoredMessage[] }>}
   */
  history(room) {
    return this.#call("GET", room === undefined ? "messages" : `messages?room=${encodeURIComponent(room)}`);
  }

  /** @param {{ id: string, to: Target, text: string }} message @returns {Promise<{ id: string }>} */
  send(message) {
    return this.#call("POST", "messages", message);
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {unknown} [body]
   */
  async #call(method, path, body) {
    /** @type {Record<string, string>} */
    const headers = {};
    if (this.token) headers["Authorization"] = `Bearer ${this.token}`;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    let answer;
    try {
      answer = await fetch(`/demo/${path}`, {
        method,
        headers,
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        cache: "no-store",
        credentials: "omit",
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
    } catch {
      throw new ApiError(0, "The server does not answer.");
    }
    const json = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new ApiError(answer.status, json.detail ?? json.title ?? `The server said ${answer.status}.`);
    return json;
  }
}
