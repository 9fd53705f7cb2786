import { left } from "./clock.js";
import { decodeFrame, SUBPROTOCOL, type ClientFrame, type Positions, type ServerFrame } from "./frames.js";
import type { SocketConstructor, SocketLike } from "./socket.js";

const PONG_MS = 10_000; // for an answer to a ping
const PROBE_MS = 4_000; // for an answer when there is a reason for doubt: the network changed, the machine slept
const PING_S = 25; // when hello names no interval

/** What a link tells its owner. */
export interface LinkOwner {
  /** Where the streams stopped, asked when the server has said hello. */
  start(): Positions | Promise<Positions>;
  /** A frame came; not called after the end. */
  frame(link: Link, frame: ServerFrame): void;
  /** It is over, and was not closed by the owner. Called once, at last. */
  lost(link: Link, code: number, text: string): void;
}

/**
 * One WebSocket from dialling to its end. It says hello, keeps watch that the peer is there, and ends itself when it
 * is not: at the latest `startMs` after dialling when the server has not begun, later when a ping finds no answer.
 */
export class Link {
  /** The handshake was answered: a token in the URL is used up. */
  opened = false;
  /** The server delivers. */
  started = false;
  /** For the next link, from hello. */
  session: string | undefined;

  readonly url: string;
  private _owner: LinkOwner;
  private _socket: SocketLike;
  private _over = false;
  private _timer: ReturnType<typeof setTimeout> | undefined;
  private _pingMs = PING_S * 1_000;
  private _heard = 0; // when the last frame came
  private _asked = false; // a ping is out and nothing came since
  private _pings: boolean[] = []; // without a pong yet, oldest first: whether it was the owner's

  /** Throws what the constructor of the socket throws. */
  constructor(url: string, Socket: SocketConstructor, startMs: number, owner: LinkOwner) {
    this.url = url;
    this._owner = owner;
    const socket = this._socket = new Socket(url, SUBPROTOCOL);
    this._wait(startMs, () => this._drop("no start in time"));
    socket.onopen = () => { this.opened = true; };
    socket.onmessage = (event: { data: unknown }) => this._receive(event.data);
    socket.onclose = (event: { code?: number; reason?: string }) => this._end(event.code ?? 1006, event.reason ?? "");
    socket.onerror = () => { if (!this.opened) this._end(1006, ""); }; // Node.js 22 says no close when it was refused
  }

  /** Sends a frame; false when the link is over or the server has not begun yet. */
  send(frame: ClientFrame): boolean {
    return this.started && this._write(frame, true);
  }

  /** Asks whether the peer is there, and ends the link when no answer comes soon. */
  probe(withinMs: number = PROBE_MS): void {
    if (!this.started || this._asked) return;
    this._asked = true;
    this._write({ type: "ping" });
    this._wait(withinMs, () => this._asked ? this._drop("no pong") : this._watch());
  }

  /** Closes without telling the owner. */
  close(): void {
    this._over = true;
    clearTimeout(this._timer);
    this._socket.close(1000);
  }

  private _write(frame: ClientFrame, ofOwner = false): boolean {
    if (this._over) return false;
    try {
      this._socket.send(JSON.stringify(frame));
      if (frame.type === "ping") this._pings.push(ofOwner);
      return true;
    } catch {
      return false; // it is closing, and will say so
    }
  }

  private _receive(text: unknown): void {
    if (this._over) return;
    this._heard = Date.now();
    this._asked = false;
    const frame = decodeFrame(text);
    if (!frame) return this._drop("bad frame", 1002);
    if (frame.type === "hello") {
      this.session = frame.session;
      this._pingMs = (frame.ping || PING_S) * 1_000;
      this._owner.frame(this, frame);
      Promise.resolve(this._owner.start()).then(
        (pos) => this._write({ type: "start", pos }), () => this._drop("no positions"),
      );
      return;
    }
    if (frame.type === "pong" && !this._pings.shift()) return;
    if (frame.type === "ping") this._write({ type: "pong" });
    if (frame.type === "started") {
      this.started = true;
      this._watch();
    }
    this._owner.frame(this, frame);
  }

  /** Pings when nothing came for a while. A timer that fires late, after a sleep, finds that too. */
  private _watch(): void {
    const rest = left(this._heard, this._pingMs);
    if (rest > 0) this._wait(rest, () => this._watch());
    else this.probe(PONG_MS);
  }

  private _drop(text: string, code = 1006): void {
    this._socket.close();
    this._end(code, text);
  }

  private _end(code: number, text: string): void {
    if (this._over) return;
    this._over = true;
    clearTimeout(this._timer);
    this._owner.lost(this, code, text);
  }

  private _wait(ms: number, then: () => void): void {
    clearTimeout(this._timer);
    this._timer = setTimeout(then, ms);
  }
}
