// What was sent and what arrived, and whether that is the same.
import assert from "node:assert/strict";
import type { ImClient, Message } from "../../src/index.js";
import { eventually } from "./eventually.js";
import type { Servers } from "./servers.js";

const RETRY_MS = 50;
const COMPLETE_MS = 45_000; // more than the longest pause before an attempt to connect

/** Sends numbered messages to a stream, one after the other; each is repeated under its id until it was accepted. */
export class Publisher {
  /** Ids that were accepted, in order. */
  accepted: string[] = [];
  private _stopped = false;
  private _done: Promise<void>;

  constructor(private _servers: Servers, private _path: string, private _body: object, private _prefix: string, perSecond: number) {
    this._done = this._run(1_000 / perSecond);
  }

  /** Ends sending when what is under way was accepted. */
  async stop(): Promise<void> {
    this._stopped = true;
    await this._done;
  }

  private async _run(everyMs: number): Promise<void> {
    const begin = Date.now();
    for (let n = 0; !this._stopped; n++) {
      const early = begin + n * everyMs - Date.now();
      if (early > 0) await new Promise((resolve) => setTimeout(resolve, early));
      await this._send(`${this._prefix}-${n}`);
    }
  }

  private async _send(id: string): Promise<void> {
    for (;;) {
      try {
        await this._servers.call("POST", this._path, { ...this._body, id, data: { id } });
        this.accepted.push(id);
        return;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  }
}

/** Notes what a client was given. */
export class Ledger {
  got: Message[] = [];
  gaps: unknown[] = [];
  states: string[] = [];

  constructor(im: ImClient) {
    im.on("message", (m) => void this.got.push(m));
    im.on("gap", (gap) => void this.gaps.push(gap));
    im.on("state", ({ state }) => void this.states.push(state));
    im.on("error", () => {}); // the backend is away at times
  }

  ids(stream: string): string[] {
    return this.got.filter((m) => m.stream === stream).map((m) => m.id);
  }

  /** All that a publisher sent came once, in order, and nothing else. */
  async isComplete(stream: string, publisher: Publisher): Promise<void> {
    const { accepted } = publisher;
    await eventually(`${stream} has all ${accepted.length}`, () => this.ids(stream).includes(accepted.at(-1)!), COMPLETE_MS)
      .catch(() => {}); // what is missing is told below
    assert.deepEqual(this.ids(stream), accepted);
  }
}
