import { Cursor, type Entry } from "./cursor.js";
import type { Emitter } from "./emitter.js";
import { ImError } from "./errors.js";
import { groupOfStream, streamOfGroup, type MessageFrame, type Positions, type ReceiptFrame, type ServerFrame, type StartedFrame } from "./frames.js";
import { messageOf } from "./message.js";
import { isAfter, type Position } from "./position.js";
import { remember } from "./remember.js";

/**
 * Keys remembered: several times what a resume brings again, which positions keep out already. What is older cannot come
 * again, unless a sender used an id twice far apart.
 */
const REMEMBERED = 4_096;

/**
 * From frames to handlers: each message once, in the order of its stream, over any number of connections; and how far
 * each stream was handled. Knows nothing of sockets.
 */
export class Delivery {
  private _cursors = new Map<string, Cursor>();
  private _seen = new Set<string>();
  private _emitter: Emitter;
  private _handled: (stream: string, pos: Position, urgent: boolean) => void;
  private _failed: (error: ImError) => void;

  /**
   * @param handled is told of each new position up to which a stream was handled; urgent when a sender waits for it
   * @param failed is told of handlers that failed
   */
  constructor(
    emitter: Emitter, handled: (stream: string, pos: Position, urgent: boolean) => void, failed: (error: ImError) => void,
  ) {
    this._emitter = emitter;
    this._handled = handled;
    this._failed = failed;
  }

  /** Forgets everything and begins where somebody stopped. */
  reset(positions: Positions): void {
    this._cursors.clear();
    this._seen.clear();
    for (const stream of Object.keys(positions)) this._cursors.set(stream, new Cursor(positions[stream]!));
  }

  /** Where each stream stopped: everything up to there was handled. */
  positions(): Positions {
    return this._map((cursor) => cursor.handled);
  }

  /** What was handed over last in each stream, handled or not. */
  tops(): Positions {
    return this._map((cursor) => cursor.top);
  }

  /** A connection begins to deliver. Groups that were joined or left meanwhile are told of, after the first time. */
  started(frame: StartedFrame): void {
    const followed = Object.keys(frame.pos);
    const first = this._cursors.size === 0;
    for (const stream of [...this._cursors.keys()]) {
      const group = groupOfStream(stream);
      if (!followed.includes(stream) && this._cursors.delete(stream) && group) this._emit({ group }, "left");
    }
    for (const stream of followed) {
      const pos = frame.pos[stream]!;
      const cursor = this._cursors.get(stream), group = groupOfStream(stream);
      if (!cursor && !first && group) this._emit({ group, pos }, "joined");
      // One that begins after what was handed over leaves something out, whatever the server says about it.
      const lost = frame.recovered?.[stream] === false || (cursor && isAfter(pos, cursor.top));
      if (!cursor || lost) this._cursors.set(stream, new Cursor(pos));
      if (lost) this._emit({ stream, from: cursor?.top, to: pos }, "gap");
    }
  }

  /** What belongs to a stream; nothing else is looked at. */
  accept(frame: ServerFrame): void {
    switch (frame.type) {
      case "message": return this._message(frame);
      case "receipt": return this._receipt(frame);
      case "gap": {
        const { stream, from, to } = frame; // `to` itself may still come
        if (this._isNew(`gap\n${stream}\n${from}\n${to}`)) this._emit({ stream, from, to }, "gap");
        return;
      }
      case "joined": {
        const { group, pos } = frame, stream = streamOfGroup(group);
        if (isAfter(pos, this._cursors.get(stream)?.top)) this._cursors.set(stream, new Cursor(pos));
        return this._emit({ group, pos }, "joined");
      }
      case "left": {
        const { group } = frame;
        this._cursors.delete(streamOfGroup(group));
        return this._emit({ group }, "left");
      }
    }
  }

  private _message(frame: MessageFrame): void {
    const { stream, pos, id, from = "", receipt } = frame;
    this._once(stream, pos, `${stream}\n${from}\n${id}`, Boolean(receipt), messageOf(frame), "message", stream);
  }

  private _receipt({ stream = "inbox", pos, id, clientId, state }: ReceiptFrame): void {
    this._once(stream, pos, `receipt\n${id}\n${clientId}\n${state}`, false, { id, clientId, state }, "receipt");
  }

  /** Hands a value over unless its position or its key was handed over before. No part of a key has line breaks. */
  private _once(stream: string, pos: Position | undefined, key: string, urgent: boolean, value: unknown, ...names: string[]): void {
    let cursor = this._cursors.get(stream);
    let entry: Entry | undefined;
    if (pos) {
      if (!cursor) this._cursors.set(stream, cursor = new Cursor("0-0"));
      if (!(entry = cursor.take(pos))) return;
      cursor.urgent ||= urgent;
      if (cursor.overflow()) this._failed(new ImError("stuck", `handlers do not keep up with ${stream}`));
    }
    const settle = (state: "done" | "failed", error?: unknown) => {
      if (entry) entry.state = state;
      if (state === "failed") {
        this._seen.delete(key); // so that it is handed over again when it comes again
        this._failed(new ImError("handler", `a handler of ${key.replace(/\n/gu, " ")} failed`, error));
      }
      if (cursor?.advance() && this._cursors.get(stream) === cursor) this._handled(stream, cursor.handled, cursor.urgent);
    };
    if (!this._isNew(key)) return settle("done");
    const promise = this._emitter.emit(value, ...names);
    if (!promise) return settle("done");
    promise.then(() => settle("done"), (error) => settle("failed", error));
  }

  private _isNew(key: string): boolean {
    return remember(this._seen, key, REMEMBERED);
  }

  /** Tells handlers what has no position. */
  private _emit(value: unknown, name: string): void {
    this._emitter.emit(value, name)?.catch((error) => this._failed(new ImError("handler", `a handler of ${name} failed`, error)));
  }

  private _map(what: (cursor: Cursor) => Position): Positions {
    const out: Positions = {};
    this._cursors.forEach((cursor, stream) => (out[stream] = what(cursor)));
    return out;
  }
}
