import { ImError } from "./errors.js";
import type { ClientFrame, ReplyFrame } from "./frames.js";

const LONGEST_MS = 2 ** 31 - 1; // a timer that is to wait for longer does not wait at all

interface Waiting {
  frame: ClientFrame;
  sent: boolean;
  end: (error: ImError | undefined, data?: unknown) => void;
}

/** Requests to the backend that wait for their reply. */
export class Requests {
  private _waiting = new Map<string, Waiting>();
  private _send: (frame: ClientFrame) => boolean;
  private _next = 0;
  private _prefix = `${Math.random()}${Math.random()}`; // no other client has it

  /** @param send sends a frame; false when there is no connection */
  constructor(send: (frame: ClientFrame) => boolean) {
    this._send = send;
  }

  /** Sends now, or as soon as there is a connection; rejects when no reply came in time, or at once for what is no JSON. */
  request(data: unknown, timeoutMs: number): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const id = `${this._prefix}-${++this._next}`;
      // As the data is now. Throws for what JSON cannot hold.
      const frame: ClientFrame = JSON.parse(JSON.stringify({ type: "request", id, data }));
      const timer = setTimeout(() => one.end(new ImError("timeout", `no reply within ${timeoutMs} ms`)), Math.min(timeoutMs, LONGEST_MS));
      const one: Waiting = {
        frame,
        sent: false,
        end: (error, reply) => {
          clearTimeout(timer);
          this._waiting.delete(id);
          if (error) reject(error);
          else resolve(reply);
        },
      };
      this._waiting.set(id, one);
      this.flush();
    });
  }

  /** Sends what waits for a connection. */
  flush(): void {
    for (const one of this._waiting.values()) if (!one.sent) one.sent = this._send(one.frame);
  }

  /** One that was taken for sent is not. */
  unsent(id: string): void {
    const one = this._waiting.get(id);
    if (one) one.sent = false;
  }

  reply({ id, data, error }: ReplyFrame): void {
    this._waiting.get(id)?.end(error ? new ImError("request", "the request was refused", error) : undefined, data);
  }

  /** Rejects those whose reply cannot come any more: all that were sent, or all. */
  fail(error: ImError, all = false): void {
    for (const one of [...this._waiting.values()]) if (all || one.sent) one.end(error);
  }
}
