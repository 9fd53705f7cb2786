// The client against real programs, with 200 messages a second while they are killed.
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import { WebSocket } from "ws";
import { ImClient, type ImError } from "../src/index.js";
import { eventually } from "./rig/eventually.js";
import { Ledger, Publisher } from "./rig/ledger.js";
import { Servers } from "./rig/servers.js";

const PER_SECOND = 100; // to each of two streams
const UNAWAITED_MS = 700; // one that nobody waits for is collected by the client, 1 s, and by imserver, 0.5 s
const OFFERED_MS = 4_000; // what has not renewed its lease for so long is not offered to clients any more

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe("with real servers", () => {
  let servers: Servers;
  let im: ImClient;
  let ledger: Ledger;
  let n = 0;
  let name = "";

  before(async () => {
    servers = await Servers.start(2);
  });
  after(() => servers?.stop());
  beforeEach(async () => {
    name = `client-${++n}`;
    im = new ImClient({ connectUrl: servers.connectUrl(name, { groups: [`room-${n}`] }), WebSocket });
    ledger = new Ledger(im);
    await im.connect();
  });
  afterEach(() => im.close());

  /** Sends to the client's inbox and its group while something happens; then everything has to be there. */
  async function publishing(happens: () => Promise<void>): Promise<void> {
    const inbox = new Publisher(servers, "/v1/messages", { to: name }, `i${n}`, PER_SECOND);
    const group = new Publisher(servers, `/v1/groups/room-${n}/messages`, {}, `g${n}`, PER_SECOND);
    try {
      await sleep(500);
      await happens();
      await sleep(500);
    } finally {
      await Promise.all([inbox.stop(), group.stop()]);
    }
    await ledger.isComplete("inbox", inbox);
    await ledger.isComplete(`group:room-${n}`, group);
  }

  it("each id once and in order while nodes are killed", async () => {
    await publishing(async () => {
      for (let i = 0; i < 2; i++) {
        const node = await servers.nodeOf(name);
        await node.end("SIGKILL");
        await sleep(1_000);
        await node.start();
      }
    });
    assert.deepEqual(ledger.gaps, []);
    assert.ok(ledger.states.filter((state) => state === "waiting").length >= 2);
  });

  it("and while nodes drain, without being offline for a moment", async () => {
    // Nodes that were killed are offered for 3 s, here under the addresses of those that drain now.
    await eventually("only two nodes are offered", async () => {
      const { nodes } = await servers.insist("GET", "/v1/nodes");
      return nodes.filter(({ renewed }: { renewed: number }) => Date.now() - renewed < OFFERED_MS).length === 2;
    });
    await eventually("open", () => im.state === "open");
    ledger.states.length = 0; // on a busy machine that may have taken more than one attempt
    await publishing(async () => {
      for (let i = 0; i < 2; i++) {
        const node = await servers.nodeOf(name);
        await node.end("SIGTERM");
        await node.start();
      }
    });
    assert.deepEqual(ledger.gaps, []);
    assert.deepEqual(ledger.states, []);
  });

  it("and while its sockets are cut", async () => {
    const sockets: WebSocket[] = [];
    class Noted extends WebSocket {
      constructor(url: string, protocol: string) {
        super(url, protocol);
        sockets.push(this);
      }
    }
    im.close();
    im = new ImClient({ connectUrl: servers.connectUrl(name), WebSocket: Noted });
    ledger = new Ledger(im);
    await im.connect();
    await publishing(async () => {
      for (let i = 0; i < 4; i++) {
        sockets.at(-1)?.terminate();
        await eventually("open again", () => im.state === "open");
        await sleep(200);
      }
    });
    assert.deepEqual(ledger.gaps, []);
    assert.ok(sockets.slice(1).some((socket) => socket.url.includes("session=")), "it came back by its session");
  });

  it("receipts: delivered when the handler is done, read when it says so", async () => {
    let done = () => {};
    im.on("inbox", () => new Promise<void>((resolve) => (done = resolve)));
    const sender = new ImClient({ connectUrl: servers.connectUrl(`sender-${n}`), WebSocket });
    const states: string[] = [];
    sender.on("receipt", (receipt) => void states.push(`${receipt.id} ${receipt.clientId} ${receipt.state}`));
    await sender.connect();
    await servers.insist("POST", "/v1/messages", { to: name, from: `sender-${n}`, id: "wanted", receipt: "read", data: 1 });
    await eventually("it came", () => ledger.got.length === 1);
    await sleep(700);
    assert.deepEqual(states, []);
    done();
    await eventually("delivered", () => states.length === 1);
    im.markRead("wanted");
    await eventually("read", () => states.length === 2);
    assert.deepEqual(states, [`wanted ${name} delivered`, `wanted ${name} read`]);
    sender.close();
  });

  it("acknowledges at once what somebody waits for", async () => {
    let quickest = Infinity; // of some: any one may find a busy machine
    for (let i = 0; i < 10 && quickest >= UNAWAITED_MS; i++) {
      const begin = Date.now();
      const { results } = await servers.insist("POST", "/v1/messages", { to: name, receipt: "delivered", data: 1, waitMs: 10_000 });
      assert.equal(results[0].state, "delivered");
      quickest = Math.min(quickest, Date.now() - begin);
    }
    assert.ok(quickest < UNAWAITED_MS, `took ${quickest} ms`);
  });

  it("stays away when it was forced offline, and says why", async () => {
    const states: unknown[] = [];
    im.on("state", (change) => void states.push(change));
    await servers.insist("DELETE", `/v1/clients/${name}/connections`);
    await eventually("it is closed", () => im.state === "closed");
    assert.deepEqual(states, [
      { state: "closed", reason: { by: "server", code: 4500, name: "forced offline", text: "forced offline" } },
    ]);
    await im.connect();
    assert.equal(im.state, "open");
  });

  it("follows groups as they are joined and left", async () => {
    const groups: string[] = [];
    im.on("joined", ({ group }) => void groups.push(`+${group}`));
    im.on("left", ({ group }) => void groups.push(`-${group}`));
    await servers.insist("PUT", `/v1/groups/late/members/${name}`, {});
    await eventually("joined", () => groups.includes("+late"));
    await servers.insist("POST", "/v1/groups/late/messages", { id: `late-${n}`, data: 1 });
    await eventually("the message", () => ledger.ids("group:late").includes(`late-${n}`));
    await servers.insist("DELETE", `/v1/groups/late/members/${name}`);
    await eventually("left", () => groups.includes("-late"));
  });

  it("requests are answered, here by what the server itself says about them", async () => {
    const code = (error: ImError) => error.code === "request" && (error.cause as { code: string }).code;
    await assert.rejects(im.request("x"), (error: ImError) => code(error) === "not_allowed");
    const allowed = new ImClient({ connectUrl: servers.connectUrl(`${name}-asks`, { mayRequest: true }), WebSocket });
    await allowed.connect();
    await assert.rejects(allowed.request({ any: ["json"] }), (error: ImError) => code(error) === "no_handler");
    allowed.close();
  });

  it("tells of a backend that refuses, and goes on trying", async () => {
    const errors: ImError[] = [];
    const refused = new ImClient({
      connectUrl: async () => (await fetch(`${servers.web}/v1/connect`, { method: "POST" }).then((r) => r.json())).url, WebSocket,
    });
    refused.on("error", (error) => void errors.push(error));
    void refused.connect();
    await eventually("an error", () => errors.length > 0);
    assert.equal(errors[0]!.message, "connectUrl gave no URL");
    refused.close();
  });

  it("each id once and in order while Redis is started again", async () => {
    await publishing(async () => {
      await servers.redis.end("SIGTERM");
      await sleep(500);
      await servers.redis.start();
      await Promise.all([servers.webapi, ...servers.nodes].map((one) => one.ready()));
    });
  });
});
