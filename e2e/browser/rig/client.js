// A WebSocket client that remembers what it received.
import { WebSocket } from "ws";
import { eventually, insist, Refused } from "./eventually.js";

export class Client {
  /** @type {{ data: string | Buffer, binary: boolean }[]} */
  received = [];
  /** @type {{ code: number, reason: string } | undefined} */
  closed;

  /** @param {WebSocket} socket */
  constructor(socket) {
    this.socket = socket;
    socket.on("message", (data, binary) => {
      const bytes = /** @type {Buffer} */ (data);
      this.received.push({ data: binary ? bytes : bytes.toString(), binary });
    });
    socket.on("close", (code, reason) => (this.closed = { code, reason: reason.toString() }));
    socket.on("error", () => {}); // the close that follows says why
  }

  /** Opens a raw connection, whatever the answer is. @param {string} url */
  static once(url) {
    return opened(new WebSocket(url));
  }

  /** Opens a raw connection. @param {import("./eventually.js").Url} url */
  static open(url) {
    return insist(url, (url) => Client.once(url));
  }

  /**
   * Opens an imtier.v1 connection and starts it.
   * @param {import("./eventually.js").Url} url
   * @param {Record<string, string>} [pos] where streams stopped
   */
  static async start(url, pos = {}) {
    const client = await insist(url, (url) => opened(new WebSocket(url, "imtier.v1")));
    client.send({ type: "start", pos });
    await client.frame("started");
    return client;
  }

  /** @param {unknown} frame */
  send(frame) {
    this.socket.send(JSON.stringify(frame));
  }

  get frames() {
    return this.received.filter((one) => !one.binary).map((one) => JSON.parse(String(one.data)));
  }

  /** @param {string} type @param {(frame: any) => boolean} [where] @returns {Promise<any>} */
  frame(type, where = () => true) {
    return eventually(`a frame ${type}`, () => this.frames.find((frame) => frame.type === type && where(frame)));
  }

  /** The code that the connection was closed with. */
  async closeCode() {
    return (await eventually("the connection is closed", () => this.closed)).code;
  }

  close() {
    this.socket.terminate();
  }
}

/** @param {WebSocket} socket @returns {Promise<Client>} */
function opened(socket) {
  const client = new Client(socket);
  return new Promise((resolve, reject) => {
    socket.once("open", () => resolve(client));
    socket.once("unexpected-response", (_, answer) => {
      answer.resume();
      reject(new Refused(answer.statusCode ?? 0));
    });
    socket.once("error", reject);
  });
}
