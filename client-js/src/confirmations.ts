import { left } from "./clock.js";
import type { ClientFrame, Positions } from "./frames.js";
import type { Position } from "./position.js";
import { remember } from "./remember.js";

/** How long acknowledgements are collected. */
const BATCH_MS = 1_000;
/** The pause between two that somebody waits for: far below the frames a second that the server allows. */
const URGENT_MS = 100;
/** Of names and positions in one frame, which has less than 32 KiB then: no character takes more than 3 bytes. */
const ACK_CHARS = 9_000;
/** Ids in one frame: 4 KiB of UUIDs count as one frame at the server. */
const IDS_PER_FRAME = 100;
/** Ids of read messages that are kept while there is no connection. */
const MOST_IDS = 10_000;

/** What this client tells the server about messages that it got: acknowledgements and reads. */
export class Confirmations {
  private _send: (frame: ClientFrame) => boolean;
  private _flushing: () => void;
  private _acks = new Map<string, Position>();
  private _sentAcks = new Map<string, Position>(); // on this connection, which may have died with them
  private _reads = new Set<string>();
  private _sentReads: string[] = []; // since the last pong, which proves that the server has them
  private _pings = 0;
  private _timer: ReturnType<typeof setTimeout> | undefined;
  private _due = 0;
  private _last = 0; // when it was tried last

  /**
   * @param send sends a frame; false when there is no connection
   * @param flushing is called each time before something is sent, also when it then cannot be
   */
  constructor(send: (frame: ClientFrame) => boolean, flushing: () => void) {
    this._send = send;
    this._flushing = flushing;
  }

  /** A stream was handled up to a position. */
  ack(stream: string, pos: Position, urgent: boolean): void {
    this._acks.set(stream, pos);
    this._arm(urgent ? left(this._last, URGENT_MS) : BATCH_MS);
  }

  /** The user has seen messages. */
  read(ids: string[]): void {
    for (const id of ids) remember(this._reads, id, MOST_IDS);
    this._arm(left(this._last, URGENT_MS));
  }

  /** A pong came. */
  pong(): void {
    if (this._pings && --this._pings === 0) this._sentReads = [];
  }

  /** A stream is not followed any more. */
  forget(stream: string): void {
    this._acks.delete(stream);
    this._sentAcks.delete(stream);
  }

  /** A new connection is open: says again what the one before may not have passed on. */
  repeat(): void {
    this._acks = new Map([...this._sentAcks, ...this._acks]);
    this._reads = new Set([...this._sentReads, ...this._reads]);
    this._sentAcks.clear();
    this._sentReads = [];
    this._pings = 0;
    if (this._acks.size || this._reads.size) this._arm(0);
  }

  /** Sends everything now. */
  flush(): void {
    this.stop();
    this._last = Date.now();
    this._flushing();
    while (this._acks.size) {
      const pos: Positions = {};
      let room = ACK_CHARS;
      for (const [stream, at] of this._acks) {
        if ((room -= stream.length + at.length) < 0) break;
        pos[stream] = at;
      }
      if (!this._send({ type: "ack", pos })) return;
      for (const stream of Object.keys(pos)) {
        this._sentAcks.set(stream, pos[stream]!);
        this._acks.delete(stream);
      }
    }
    const ids = [...this._reads];
    for (let i = 0; i < ids.length; i += IDS_PER_FRAME) {
      if (!this._send({ type: "read", ids: ids.slice(i, i + IDS_PER_FRAME) })) return;
    }
    if (ids.length) {
      this._reads.clear();
      this._sentReads.push(...ids);
      if (this._send({ type: "ping" })) this._pings++;
    }
  }

  /** Ends the timer; nothing is forgotten. */
  stop(): void {
    clearTimeout(this._timer);
    this._timer = undefined;
  }

  /** Another user: nothing of this is true any more. */
  clear(): void {
    this.stop();
    this._acks.clear();
    this._sentAcks.clear();
    this._reads.clear();
    this._sentReads = [];
  }

  /** Flushes within some time. */
  private _arm(ms: number): void {
    if (ms <= 0) return this.flush();
    const due = Date.now() + ms;
    if (this._timer && this._due <= due) return;
    clearTimeout(this._timer);
    this._due = due;
    this._timer = setTimeout(() => this.flush(), ms);
  }
}
