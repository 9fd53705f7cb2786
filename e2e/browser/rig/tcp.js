// A client that writes WebSocket frames byte by byte, also wrong ones.
import { randomBytes } from "node:crypto";
import { connect } from "node:net";
import { eventually, insist, Refused } from "./eventually.js";

export const TEXT = 1, BINARY = 2, CONTINUATION = 0, CLOSE = 8, PING = 9, PONG = 10;

/**
 * Encodes a frame. The defaults make a correct, final, masked one.
 * @param {number} opcode
 * @param {string | Buffer} payload
 * @param {{ fin?: boolean, reserved?: number, masked?: boolean, announce?: number }} [how]
 *   announce gives the header another length than the payload has
 */
export function frame(opcode, payload, { fin = true, reserved = 0, masked = true, announce } = {}) {
  const body = Buffer.from(payload);
  const length = announce ?? body.length;
  const head = [(fin ? 0x80 : 0) | (reserved << 4) | opcode];
  const mask = masked ? 0x80 : 0;
  if (length < 126) head.push(mask | length);
  else if (length < 65536) head.push(mask | 126, length >> 8, length & 255);
  else head.push(mask | 127, 0, 0, 0, 0, (length >>> 24) & 255, (length >>> 16) & 255, (length >>> 8) & 255, length & 255);
  if (!masked) return Buffer.concat([Buffer.from(head), body]);
  const key = randomBytes(4);
  return Buffer.concat([Buffer.from(head), key, body.map((byte, i) => byte ^ /** @type {number} */ (key[i % 4]))]);
}

export class Tcp {
  #bytes = Buffer.alloc(0);
  /** @type {{ opcode: number, payload: Buffer }[]} */
  frames = [];
  ended = false;

  /** @param {import("node:net").Socket} socket */
  constructor(socket) {
    this.socket = socket;
    socket.setNoDelay(true);
    socket.on("error", () => {});
    socket.on("close", () => (this.ended = true));
  }

  /**
   * Connects and upgrades.
   * @param {import("./eventually.js").Url} url
   * @param {string} [protocol]
   */
  static open(url, protocol) {
    return insist(url, (url) => Tcp.#open(url, protocol));
  }

  /** @param {string} url @param {string} [protocol] */
  static async #open(url, protocol) {
    const { hostname, port, pathname, search, host } = new URL(url);
    const client = new Tcp(connect(Number(port), hostname));
    const lines = [
      `GET ${pathname}${search} HTTP/1.1`, `Host: ${host}`, "Upgrade: websocket", "Connection: Upgrade",
      `Sec-WebSocket-Key: ${randomBytes(16).toString("base64")}`, "Sec-WebSocket-Version: 13",
      ...(protocol ? [`Sec-WebSocket-Protocol: ${protocol}`] : []),
    ];
    client.socket.write(lines.join("\r\n") + "\r\n\r\n");
    await client.#handshake();
    return client;
  }

  async #handshake() {
    let head = Buffer.alloc(0);
    const rest = await new Promise((resolve, reject) => {
      /** @param {Buffer} chunk */
      const read = (chunk) => {
        head = Buffer.concat([head, chunk]);
        const end = head.indexOf("\r\n\r\n");
        if (end < 0) return;
        this.socket.off("data", read);
        const status = head.toString("latin1", 0, head.indexOf("\r\n"));
        if (!status.includes(" 101 ")) reject(new Refused(Number(status.split(" ")[1])));
        else resolve(head.subarray(end + 4));
      };
      this.socket.on("data", read);
    });
    this.socket.on("data", (chunk) => this.#parse(chunk));
    this.#parse(rest);
  }

  /** @param {Buffer} chunk */
  #parse(chunk) {
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
    for (;;) {
      const bytes = this.#bytes;
      if (bytes.length < 2) return;
      let length = bytes.readUInt8(1) & 127, at = 2;
      if (length === 126) {
        if (bytes.length < 4) return;
        [length, at] = [bytes.readUInt16BE(2), 4];
      } else if (length === 127) {
        if (bytes.length < 10) return;
        [length, at] = [Number(bytes.readBigUInt64BE(2)), 10];
      }
      if (bytes.length < at + length) return;
      this.frames.push({ opcode: bytes.readUInt8(0) & 15, payload: bytes.subarray(at, at + length) });
      this.#bytes = bytes.subarray(at + length);
    }
  }

  /** @param {Buffer} bytes */
  write(bytes) {
    this.socket.write(bytes);
  }

  /** Writes each byte in a packet of its own, as far as the kernel lets it. @param {Buffer} bytes */
  async trickle(bytes) {
    for (const byte of bytes) {
      this.socket.write(Buffer.from([byte]));
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** @param {number} opcode */
  frame(opcode) {
    return eventually(`a frame with opcode ${opcode}`, () => this.frames.find((one) => one.opcode === opcode));
  }

  /** The code of the close frame, after which the server has to end the connection. */
  async closeCode() {
    const close = await this.frame(CLOSE);
    await eventually("the connection ends", () => this.ended);
    return close.payload.readUInt16BE(0);
  }

  end() {
    this.socket.destroy();
  }
}
