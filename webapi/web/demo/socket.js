// The connection: sub-protocol imtier.v1, reconnecting with a fresh URL and resuming where it stopped.
import { backoff } from "./backoff.js";

/**
 * @typedef {{ state: "connecting" | "online" }
 *   | { state: "waiting", until: number }
 *   | { state: "stopped", code: number, reason: string }} Status
 * @typedef {{ type: string, [field: string]: any }} Frame
 */

const START_WITHIN_MS = 15_000; // from dialling to "started"
const STEADY_MS = 10_000; // a connection that lived this long starts the backoff over
const PONG_WITHIN_MS = 10_000;
const ACK_EVERY_MS = 1_000;
const PROTOCOL = "imtier.v1";

/** Codes from here on say: stay away. */
const STAY_AWAY = 4500;

export class Socket {
  /** @type {Status} */
  status = { state: "connecting" };
  /** Where each stream stopped. @type {Map<string, string>} */
  positions = new Map();

  /** @type {WebSocket | undefined} */
  #socket;
  /** The socket of a node that takes this connection over. @type {WebSocket | undefined} */
  #successor;
  #attempt = 0;
  #dial = 0; // dials so far; an answer to an earlier one is ignored
  #stopped = true;
  /** @type {Map<string, string>} */
  #unacked = new Map();
  /** @type {Map<string, ReturnType<typeof setTimeout>>} */
  #timers = new Map();
  #pingMs = 25_000;

  /**
   * @param {{ url: () => Promise<string>, onStatus: (status: Status) => void, onFrame: (frame: Frame) => void }} options
   *   url gives a fresh URL for each attempt; a failure with `fatal` set ends the attempts
   */
  constructor(options) {
    this.options = options;
  }

  start() {
    this.#stopped = false;
    this.#attempt = 0;
    this.#connect();
  }

  /** Closes for good; start begins again. */
  stop() {
    this.#stopped = true;
    this.#dial++;
    this.#drop();
  }

  /** Tries at once instead of waiting: the network is back, or somebody looks at the page. */
  hurry() {
    if (!this.#stopped && this.status.state === "waiting") this.#connect();
  }

  async #connect() {
    this.#drop();
    const dial = ++this.#dial;
    this.#set({ state: "connecting" });
    let url;
    try {
      url = await this.options.url();
    } catch (error) {
      if (dial !== this.#dial) return;
      if (/** @type {{ fatal?: boolean }} */ (error).fatal) return this.#halt(0, "");
      return this.#retry();
    }
    if (dial === this.#dial) this.#socket = this.#open(url);
  }

  /** @param {string} url */
  #open(url) {
    const socket = new WebSocket(url, PROTOCOL);
    this.#after("start", START_WITHIN_MS, () => {
      socket.close();
      this.#lost(socket, 1006, "");
    });
    socket.onmessage = (event) => this.#receive(socket, JSON.parse(event.data));
    socket.onclose = (event) => this.#lost(socket, event.code, event.reason);
    return socket;
  }

  /**
   * @param {WebSocket} socket
   * @param {Frame} frame
   */
  #receive(socket, frame) {
    if (socket !== this.#socket && socket !== this.#successor) return;
    this.#watch(socket);
    switch (frame.type) {
      case "hello":
        this.#pingMs = (frame.ping || 25) * 1000;
        this.#send(socket, { type: "start", pos: Object.fromEntries(this.positions) });
        return;
      case "started":
        this.#started(socket, frame);
        break;
      case "message":
        if (frame.pos) {
          this.positions.set(frame.stream, frame.pos);
          this.#ack(frame.stream, frame.pos);
        }
        break;
      case "joined":
        if (frame.pos) this.positions.set(`group:${frame.group}`, frame.pos);
        break;
      case "left":
        this.positions.delete(`group:${frame.group}`);
        break;
      case "ping":
        this.#send(socket, { type: "pong" });
        return;
      case "pong":
        return;
      case "migrate":
        this.#successor?.close();
        this.#successor = this.#open(frame.url);
        return;
    }
    this.options.onFrame(frame);
  }

  /**
   * @param {WebSocket} socket
   * @param {Frame} frame
   */
  #started(socket, frame) {
    this.#cancel("start");
    if (socket === this.#successor) {
      const old = this.#socket;
      this.#socket = socket;
      this.#successor = undefined;
      old?.close();
    }
    // Streams that were followed before and may have lost something in between.
    frame.lost = [...this.positions.keys()].filter((stream) => frame.recovered?.[stream] === false);
    this.positions = new Map(Object.entries(frame.pos ?? {}));
    this.#after("steady", STEADY_MS, () => (this.#attempt = 0));
    this.#set({ state: "online" });
  }

  /** Nothing heard for a while: ask, and give up when nothing comes back. @param {WebSocket} socket */
  #watch(socket) {
    this.#after("silence", this.#pingMs, () => {
      this.#send(socket, { type: "ping" });
      this.#after("silence", PONG_WITHIN_MS, () => {
        socket.close();
        this.#lost(socket, 1006, "");
      });
    });
  }

  /**
   * @param {string} stream
   * @param {string} pos
   */
  #ack(stream, pos) {
    this.#unacked.set(stream, pos);
    if (this.#timers.has("ack")) return;
    this.#after("ack", ACK_EVERY_MS, () => {
      if (this.#socket) this.#send(this.#socket, { type: "ack", pos: Object.fromEntries(this.#unacked) });
      this.#unacked.clear();
    });
  }

  /**
   * @param {WebSocket} socket
   * @param {number} code
   * @param {string} reason
   */
  #lost(socket, code, reason) {
    if (socket === this.#successor) {
      this.#successor = undefined;
      this.#cancel("start");
      return;
    }
    if (socket !== this.#socket) return;
    this.#socket = undefined;
    if (code >= STAY_AWAY && code < 5000) this.#halt(code, reason);
    else this.#retry();
  }

  #retry() {
    this.#drop();
    const wait = backoff(this.#attempt++);
    this.#set({ state: "waiting", until: Date.now() + wait });
    this.#after("retry", wait, () => this.#connect());
  }

  /**
   * @param {number} code
   * @param {string} reason
   */
  #halt(code, reason) {
    this.stop();
    this.#set({ state: "stopped", code, reason });
  }

  #drop() {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    const open = [this.#socket, this.#successor];
    this.#socket = this.#successor = undefined;
    for (const socket of open) socket?.close();
  }

  /**
   * @param {WebSocket} socket
   * @param {Frame} frame
   */
  #send(socket, frame) {
    if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(frame));
  }

  /** @param {Status} status */
  #set(status) {
    this.status = status;
    this.options.onStatus(status);
  }

  /**
   * @param {string} name
   * @param {number} ms
   * @param {() => void} action
   */
  #after(name, ms, action) {
    this.#cancel(name);
    this.#timers.set(name, setTimeout(() => {
      this.#timers.delete(name);
      action();
    }, ms));
  }

  /** @param {string} name */
  #cancel(name) {
    clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
  }
}
