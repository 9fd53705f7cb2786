// Requests to a backend: webapi passes them on to a receiver of webhooks, which answers.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import { WebSocket } from "ws";
import { ImClient, type ImError } from "../src/index.js";
import { Servers } from "./rig/servers.js";

interface Asked {
  id: string;
  clientId: string;
  meta?: Record<string, string>;
  data: { do: string; n?: number };
}

/** A backend that answers what it is asked, or leaves the answer to the test. */
class Backend {
  asked: Asked[] = [];
  /** Called with each request instead of answering it. */
  hold: ((answer: () => void) => void) | undefined;
  private _server: Server = createServer((request, response) => void this._answer(request, response));

  async listen(): Promise<string> {
    this._server.listen(0, "127.0.0.1");
    await once(this._server, "listening");
    return `http://127.0.0.1:${(this._server.address() as AddressInfo).port}/imtier`;
  }

  close(): void {
    this._server.close();
    this._server.closeAllConnections();
  }

  private async _answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const { type, data } = JSON.parse(Buffer.concat(chunks).toString()) as { type: string; data: Asked };
    if (type !== "request") return void response.writeHead(204).end();
    this.asked.push(data);
    const answer = () => {
      const refuse = data.data.do === "refuse";
      response.writeHead(refuse ? 403 : 200, { "content-type": "application/json" });
      response.end(JSON.stringify(refuse ? { code: "too_poor", message: "no credit" } : { doubled: (data.data.n ?? 0) * 2, list: ["ä", null] }));
    };
    if (this.hold) this.hold(answer);
    else answer();
  }
}

describe("requests to a backend", () => {
  const backend = new Backend();
  const sockets: WebSocket[] = [];
  let servers: Servers;
  let im: ImClient;
  let issuing = true;

  class Noted extends WebSocket {
    constructor(url: string, protocol: string) {
      super(url, protocol);
      sockets.push(this);
    }
  }

  before(async () => {
    const url = await backend.listen();
    servers = await Servers.start(1, {}, {
      IM_WEBHOOK_URL: url, IM_WEBHOOK_SECRET: `whsec_${Buffer.alloc(32, "hook").toString("base64")}`, IM_WEBHOOK_REQUESTS: "true",
    });
  });
  after(async () => {
    await servers?.stop();
    backend.close();
  });
  beforeEach(async () => {
    backend.asked = [];
    backend.hold = undefined;
    issuing = true;
    const url = servers.connectUrl("asker", { mayRequest: true, meta: { plan: "free" } });
    im = new ImClient({ connectUrl: () => (issuing ? url() : Promise.reject(new Error("no more URLs"))), WebSocket: Noted });
    im.on("error", () => {});
    await im.connect();
  });
  afterEach(() => im.close());

  it("are answered with what the backend says", async () => {
    assert.deepEqual(await im.request({ do: "double", n: 21 }), { doubled: 42, list: ["ä", null] });
    const [one] = backend.asked;
    assert.deepEqual([one?.clientId, one?.meta, one?.data], ["asker", { plan: "free" }, { do: "double", n: 21 }]);
  });

  it("several at once, each by its own answer, whatever their order", async () => {
    const held: (() => void)[] = [];
    backend.hold = (answer) => {
      if (held.push(answer) === 5) held.reverse().forEach((one) => one());
    };
    const replies = await Promise.all([1, 2, 3, 4, 5].map((n) => im.request<{ doubled: number }>({ do: "double", n })));
    assert.deepEqual(replies.map((reply) => reply.doubled), [2, 4, 6, 8, 10]);
    assert.equal(new Set(backend.asked.map((one) => one.id)).size, 5);
  });

  it("are refused with the code of the backend", async () => {
    await assert.rejects(im.request({ do: "refuse" }), (error: ImError) => {
      assert.deepEqual([error.code, error.cause], ["request", { code: "too_poor", message: "no credit" }]);
      return true;
    });
  });

  it("are lost at once when they are larger than the server takes", async () => {
    await assert.rejects(im.request("x".repeat(70_000)), (error: ImError) => error.code === "lost");
    await im.connect();
    assert.deepEqual(await im.request({ do: "double", n: 1 }), { doubled: 2, list: ["ä", null] });
  });

  it("are answered on the next connection when the one that asked breaks, and asked once", async () => {
    const working = new Promise<() => void>((resolve) => (backend.hold = resolve));
    const reply = im.request({ do: "double", n: 4 }, { timeoutMs: 30_000 });
    const answer = await working;
    issuing = false; // it comes back by its session, also when that takes so long that it asks for a URL first
    const again = new Promise((resolve) => im.on("state", ({ state }) => state === "open" && resolve(state)));
    sockets.at(-1)?.terminate();
    answer();
    assert.deepEqual(await reply, { doubled: 8, list: ["ä", null] });
    await again;
    assert.match(sockets.at(-1)!.url, /session=/u);
    assert.equal(backend.asked.length, 1);
  });
});
