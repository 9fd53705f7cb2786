// The client against a server in memory, in time that stands still.
import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it, mock } from "node:test";
import { ImClient, type ImError, type Options, type StateChange } from "../src/index.js";
import type { Positions } from "../src/frames.js";
import { advance, restoreTime, setBack, settle, stopTime } from "./rig/clock.js";
import { FakeServer, FakeSocket } from "./rig/fakeServer.js";

let server: FakeServer;
let im: ImClient<string>;
let got: string[];
let states: StateChange[];
let errors: ImError[];

function client(options: Partial<Options> = {}): ImClient<string> {
  const made = new ImClient<string>({ connectUrl: server.connectUrl, WebSocket: server.Socket, ...options });
  made.on("message", (m) => void got.push(m.id));
  made.on("state", (change) => void states.push(change));
  made.on("error", (error) => void errors.push(error));
  return made;
}

const names = () => states.map((one) => one.state);
const frames = (type: string) => server.sockets.flatMap((socket) => socket.got.filter((frame) => frame.type === type));

async function open(options?: Partial<Options>): Promise<void> {
  im = client(options);
  const opened = im.connect();
  await advance(50);
  await opened;
}

beforeEach(() => {
  stopTime();
  server = new FakeServer();
  got = [];
  states = [];
  errors = [];
});
afterEach(async () => {
  im?.close();
  await settle();
  restoreTime();
});

describe("connecting", () => {
  it("goes from idle to open, once", async () => {
    im = client();
    assert.equal(im.state, "idle");
    const first = im.connect();
    assert.equal(im.connect(), first, "a second call is the same attempt");
    await settle();
    await first;
    assert.equal(im.state, "open");
    assert.deepEqual(names(), ["connecting", "open"]);
    assert.equal(im.clientId, "ann");
    assert.equal(server.last.protocol, "imtier.v1");
    await im.connect();
    assert.equal(server.sockets.length, 1);
  });

  it("tries again while connectUrl fails, and says so", async () => {
    let fails = 3;
    im = client({ connectUrl: () => (fails-- > 0 ? Promise.reject(new Error("no backend")) : server.connectUrl()) });
    const opened = im.connect();
    await advance(8_000);
    await opened;
    assert.deepEqual(errors.map((error) => [error.code, error.message]), Array(3).fill(["connect_url", "connectUrl: no backend"]));
    assert.deepEqual(names(), [..."abc"].flatMap(() => ["connecting", "waiting"]).concat("connecting", "open"));
  });

  it("also when connectUrl throws, hangs, or gives no URL", async () => {
    const answers = [
      () => { throw new Error("thrown"); }, () => new Promise<string>(() => {}), () => undefined as unknown as string, server.connectUrl,
    ];
    im = client({ connectUrl: () => answers.shift()!() });
    const opened = im.connect();
    await advance(18_000);
    await opened;
    assert.deepEqual(errors.map((error) => error.code), ["connect_url", "connect_url", "socket"]);
  });

  it("ends when connectUrl fails for good", async () => {
    const error = Object.assign(new Error("signed out"), { fatal: true });
    im = client({ connectUrl: () => Promise.reject(error) });
    await assert.rejects(im.connect(), (e: ImError) => e.code === "closed");
    assert.deepEqual(states.at(-1), { state: "closed", reason: { by: "backend", code: 0, text: "signed out" } });
    await advance(60_000);
    assert.equal(server.sockets.length, 0);
  });

  it("tries again when the server does not answer, or never begins", async () => {
    for (const how of ["hang", "mute"] as const) {
      server[how] = true;
      im = client();
      void im.connect();
      await advance(14_900);
      assert.equal(im.state, "connecting");
      server[how] = false;
      await advance(2_000);
      assert.equal(im.state, "open", how);
      im.close();
    }
  });

  it("tries again soon when a refusal is told by an error alone", async () => {
    server.refuse = server.errorOnly = true;
    im = client();
    const opened = im.connect();
    await settle();
    assert.equal(im.state, "waiting");
    server.refuse = false;
    await advance(1_050);
    await opened;
    server.forgetTokens();
    server.drop();
    await advance(2_050);
    assert.equal(im.state, "open");
    assert.deepEqual(server.sockets.slice(-2).map((socket) => /session|token/u.exec(socket.url)?.[0]), ["session", "token"]);
  });

  it("can be closed while connecting, at any moment, and leaves no timer", async () => {
    for (let after = 0; after < 6; after++) {
      im = client();
      const opened = im.connect();
      for (let i = 0; i < after; i++) await Promise.resolve();
      im.close();
      await assert.rejects(opened, (e: ImError) => e.code === "closed").catch(() => {});
      await advance(30_000);
      assert.equal(im.state, "closed");
      assert.deepEqual(server.open, []);
    }
  });

  it("waits longer from time to time, with full jitter, and starts over", async () => {
    const random = mock.method(Math, "random", () => 0.999);
    await open();
    server.refuse = true;
    server.drop();
    const waits: number[] = [];
    im.on("state", (change) => {
      if (change.state === "waiting") waits.push(change.retryAt - Date.now());
    });
    await advance(100_000);
    assert.deepEqual(waits.slice(0, 6), [1998, 3996, 7992, 15984, 29970, 29970].map((ms) => ms));
    server.refuse = false;
    await advance(31_000);
    assert.equal(im.state, "open");
    await advance(5_000);
    waits.length = 0;
    server.drop();
    assert.deepEqual(waits, [999]);
    random.mock.restore();
  });

  it("stays away after 4500–4999 with the reason, until it is told to connect", async () => {
    for (const [code, name] of [[4500, "forced offline"], [4501, "replaced by another device"], [4999, undefined]] as const) {
      await open();
      const count = server.sockets.length;
      server.drop(code, "because");
      assert.deepEqual(states.at(-1), { state: "closed", reason: { by: "server", code, name, text: "because" } });
      await advance(60_000);
      assert.equal(server.sockets.length, count);
      const again = im.connect();
      await settle();
      await again;
      assert.ok(server.last.url.includes("token="), "the session is over");
      im.close();
    }
  });

  it("reconnects after any other code", async () => {
    await open();
    for (const code of [1000, 1001, 1006, 1011, 4000, 4003, 4499, 5000]) {
      server.drop(code);
      assert.equal(im.state, "waiting", String(code));
      await advance(40_000);
      assert.equal(im.state, "open", String(code));
    }
  });

  it("reconnects after a protocol error before the start, which may have come late", async () => {
    server.mute = true;
    im = client();
    void im.connect();
    await settle();
    server.drop(4503, "no start in time");
    assert.equal(im.state, "waiting");
    server.mute = false;
    await advance(1_050);
    assert.equal(im.state, "open");
    server.drop(4503);
    assert.equal(im.state, "closed");
  });

  it("refuses options without connectUrl", () => {
    assert.throws(() => new ImClient({} as Options), /connectUrl/u);
  });

  it("ends at once where there is no WebSocket, and says so", async () => {
    const name = Object.getOwnPropertyDescriptor(globalThis, "WebSocket");
    Object.defineProperty(globalThis, "WebSocket", { value: undefined, configurable: true });
    im = client({ WebSocket: undefined });
    for (let i = 0; i < 2; i++) {
      await assert.rejects(im.connect(), (e: ImError) => e.code === "socket" && e.message.includes("option WebSocket"));
      assert.equal(im.state, "closed");
    }
    if (name) Object.defineProperty(globalThis, "WebSocket", name);
    else delete (globalThis as { WebSocket?: unknown }).WebSocket;
    await advance(60_000);
    assert.equal(server.issued, 0);
    assert.match((states.at(-1) as { reason: { text: string } }).reason.text, /option WebSocket/u);
  });
});

describe("closing in a handler", () => {
  const fails = () => Promise.reject(new Error("no backend"));
  for (const [what, event, connectUrl] of [
    ["the state connecting", "state", undefined], ["connectUrl that fails", "error", fails], ["a URL that cannot be dialled", "error", () => ""],
  ] as const) {
    it(`ends it at ${what}`, async () => {
      let asked = 0;
      im = client({ connectUrl: () => { asked++; return connectUrl ? connectUrl() : server.connectUrl(); } });
      im.on(event, () => im.close());
      await assert.rejects(im.connect(), (e: ImError) => e.code === "closed");
      const before = asked;
      await advance(60_000);
      assert.deepEqual([im.state, asked, server.sockets], ["closed", before, []]);
    });
  }

  it("ends it when its session cannot be dialled", async () => {
    const { Socket } = server;
    await open({
      WebSocket: class extends Socket {
        constructor(url: string, protocol: string) {
          if (url.includes("session=")) throw new Error("no sockets any more");
          super(url, protocol);
        }
      },
    });
    im.on("error", () => im.close());
    server.drop();
    await advance(60_000);
    assert.deepEqual([im.state, server.issued, server.open], ["closed", 1, []]);
  });

  for (const event of ["left", "joined", "gap"] as const) {
    it(`ends it at ${event}, when messages are about to flow again`, async () => {
      server.logs.set("group:old", []);
      await open();
      server.drop();
      server.logs.delete("group:old");
      server.logs.set("group:new", []);
      for (const id of ["a", "b"]) server.publish("inbox", id);
      server.trim("inbox", 2);
      const remove = im.on(event, () => {
        remove();
        im.close();
      });
      await advance(2_000);
      assert.deepEqual([im.state, server.open], ["closed", []]);
      const again = im.connect();
      await advance(50);
      await again;
      assert.equal(server.open.length, 1);
    });
  }

  it("may be followed by another connect", async () => {
    const answers = [fails, () => "", server.connectUrl];
    im = client({ connectUrl: () => answers.shift()!() });
    im.on("error", () => {
      im.close();
      void im.connect();
    });
    void im.connect();
    await advance(20_000);
    assert.deepEqual(names().slice(-2), ["connecting", "open"]);
    assert.ok(!names().includes("waiting"));
    assert.deepEqual([errors.length, server.sockets.length], [2, 1]);
  });
});

describe("resuming", () => {
  it("tells positions and uses the session, then a fresh URL when that is refused", async () => {
    await open();
    server.publish("inbox", "m1");
    server.drop();
    server.publish("inbox", "m2");
    await advance(1_000);
    assert.deepEqual(got, ["m1", "m2"]);
    assert.match(server.last.url, /^ws:\/\/node\/ws\?session=/u);
    assert.deepEqual(server.last.got[0], { type: "start", pos: { inbox: "1000-1", all: "1000-0" } });
    assert.equal(server.issued, 1);
    server.forgetTokens();
    server.drop();
    server.publish("inbox", "m3");
    await advance(2_100);
    assert.deepEqual(got, ["m1", "m2", "m3"]);
    assert.equal(server.issued, 2);
    assert.deepEqual(server.sockets.slice(-2).map((socket) => /session|token/u.exec(socket.url)?.[0]), ["session", "token"]);
    assert.deepEqual(errors, []);
  });

  it("goes to a fresh URL also when the session's node does not answer", async () => {
    await open();
    server.hang = true;
    server.drop();
    await advance(1_100);
    server.hang = false;
    await advance(5_000);
    assert.equal(im.state, "open");
    assert.equal(server.issued, 2);
  });

  it("does not try the session of a node that drains, nor an old one", async () => {
    await open();
    server.drop(4000);
    await advance(1_000);
    assert.ok(!server.sockets.some((socket) => socket.url.includes("session=")));
    server.drop();
    server.refuse = true;
    await advance(130_000);
    const tried = server.sockets.filter((socket) => socket.url.includes("session=")).length;
    await advance(60_000);
    assert.equal(server.sockets.filter((socket) => socket.url.includes("session=")).length, tried);
  });

  it("forgets the session when it is closed: the next one may be somebody else", async () => {
    await open();
    server.drop();
    im.close();
    void im.connect();
    await settle();
    assert.match(server.last.url, /token=/u);
  });

  it("keeps the session while the backend cannot be reached either", async () => {
    let down = false;
    await open({ connectUrl: () => (down ? Promise.reject(new TypeError("fetch failed")) : server.connectUrl()) });
    server.refuse = down = true;
    server.drop();
    await advance(10_000);
    server.refuse = false;
    await advance(31_000);
    assert.equal(im.state, "open");
    assert.match(server.last.url, /session=/u);
  });

  it("asks the backend first after a longer absence, and falls back to the session", async () => {
    let down = true;
    await open({ connectUrl: () => (down && server.issued ? Promise.reject(new Error("away")) : server.connectUrl()) });
    mock.method(Math, "random", () => 0.99);
    server.refuse = true;
    server.drop();
    await advance(6_000); // attempts at 1, 3 s; the next one at 7 s
    server.refuse = false;
    errors.length = 0;
    await advance(5_000);
    assert.equal(im.state, "open");
    assert.deepEqual(errors.map((error) => error.code), ["connect_url"]);
    assert.match(server.last.url, /session=/u);
    down = false;
    server.refuse = true;
    server.drop();
    await advance(6_000);
    server.refuse = false;
    await advance(5_000);
    assert.match(server.last.url, /token=/u);
    mock.restoreAll();
  });

  it("tells of groups that were joined and left while it was away", async () => {
    server.logs.set("group:old", []);
    await open();
    const groups: string[] = [];
    im.on("joined", ({ group }) => void groups.push(`+${group}`));
    im.on("left", ({ group }) => void groups.push(`-${group}`));
    server.drop();
    server.logs.delete("group:old");
    server.logs.set("group:new", []);
    await advance(1_000);
    assert.deepEqual(groups, ["-old", "+new"]);
  });

  it("hands over each message once, whatever comes again", async () => {
    await open();
    server.publish("inbox", "a", { from: "bob" });
    server.publish("inbox", "a", { from: "bob" }); // sent twice far apart
    server.join("room");
    server.publish("group:room", "b");
    server.last.give({ type: "message", stream: "group:room", pos: "1000-1", id: "other", time: 1, data: 1 }); // not newer
    assert.deepEqual(got, ["a", "b"]);
  });

  it("takes what has the same id for another message when its sender or its stream is another", async () => {
    await open();
    const from: unknown[] = [];
    im.on("message", (m) => void from.push([m.stream, m.from]));
    server.publish("inbox", "a", { from: "bob" });
    server.publish("inbox", "a", { from: "carol" });
    server.publish("inbox", "a"); // the system
    server.publish("all", "a", { from: "bob" });
    assert.deepEqual(from, [["inbox", "bob"], ["inbox", "carol"], ["inbox", undefined], ["all", "bob"]]);
  });

  it("begins anew when the client is somebody else", async () => {
    await open();
    server.publish("inbox", "a");
    server.clientId = "bob";
    server.logs.set("inbox", []);
    server.drop();
    await advance(1_000);
    assert.deepEqual(server.last.got[0], { type: "start", pos: {} });
  });

  it("starts again from where handlers have come, not from what was received", async () => {
    await open();
    let done = () => {};
    im.on("inbox", (m) => (m.id === "slow" ? new Promise<void>((resolve) => (done = resolve)) : undefined));
    server.publish("inbox", "a");
    server.publish("inbox", "slow");
    server.publish("inbox", "b");
    server.drop();
    await advance(1_000);
    assert.deepEqual(server.last.got[0], { type: "start", pos: { inbox: "1000-1", all: "1000-0" } });
    await advance(1_100);
    assert.deepEqual(got, ["a", "slow", "b"]);
    assert.deepEqual(server.acked, { inbox: "1000-1" });
    done();
    await advance(1_100);
    assert.deepEqual(server.acked, { inbox: "1000-3" });
  });

  it("tells about gaps, before what follows them, once", async () => {
    await open();
    const seen: unknown[] = [];
    im.on("gap", (gap) => void seen.push(gap));
    im.on("message", (m) => void seen.push(m.id));
    server.publish("inbox", "a");
    server.drop();
    server.publish("inbox", "b");
    server.publish("inbox", "c");
    server.trim("inbox", 2);
    await advance(1_000);
    assert.deepEqual(seen, ["a", { stream: "inbox", from: "1000-1", to: "1000-1" }, { stream: "inbox", from: "1000-1", to: "1000-3" }, "c"]);
    server.last.give({ type: "gap", stream: "inbox", from: "1000-1", to: "1000-3" });
    assert.equal(seen.length, 4);
  });

  it("takes a stream that begins after what it has for a gap, whatever the server says", async () => {
    await open();
    const gaps: unknown[] = [];
    im.on("gap", (gap) => void gaps.push(gap));
    server.publish("inbox", "a");
    server.last.give({ type: "started", pos: { inbox: "1000-9", all: "1000-0" }, recovered: { inbox: true, all: true } });
    assert.deepEqual(gaps, [{ stream: "inbox", from: "1000-1", to: "1000-9" }]);
  });

  it("goes on when the server lost the end of a stream", async () => {
    await open();
    const gaps: unknown[] = [];
    im.on("gap", (gap) => void gaps.push(gap));
    for (const id of ["a", "b", "c"]) server.publish("inbox", id);
    server.lose("inbox", 2);
    server.drop();
    server.publish("inbox", "d");
    await advance(1_000);
    assert.deepEqual(got, ["a", "b", "c", "d"]);
    assert.deepEqual(gaps[0], { stream: "inbox", from: "1000-3", to: "1000-3" });
  });
});

describe("acknowledging", () => {
  it("says once a second how far it has come", async () => {
    await open();
    for (let i = 0; i < 50; i++) server.publish("inbox", `m${i}`);
    await advance(900);
    assert.deepEqual(server.acked, {});
    await advance(200);
    assert.deepEqual(frames("ack"), [{ type: "ack", pos: { inbox: "1000-50" } }]);
    await advance(5_000);
    assert.equal(frames("ack").length, 1);
  });

  it("at once when a sender waits, ten times a second at most", async () => {
    await open();
    await advance(200);
    server.publish("inbox", "r0", { receipt: "delivered" });
    await settle();
    assert.deepEqual(server.acked, { inbox: "1000-1" });
    for (let i = 1; i <= 20; i++) {
      server.publish("inbox", `r${i}`, { receipt: "read" });
      await advance(50);
    }
    assert.ok(frames("ack").length <= 11, `${frames("ack").length} frames`);
    await advance(100);
    assert.deepEqual(server.acked, { inbox: "1000-21" });
  });

  it("only what handlers have done, and repeats it on the next connection", async () => {
    await open();
    const ends: (() => void)[] = [];
    im.on("message", () => new Promise<void>((resolve) => ends.push(resolve)));
    server.publish("inbox", "a");
    server.publish("inbox", "b");
    await advance(1_100);
    assert.deepEqual(server.acked, {});
    ends[1]!(); // b is done before a
    await advance(1_100);
    assert.deepEqual(server.acked, {});
    ends[0]!();
    await advance(1_100);
    assert.deepEqual(server.acked, { inbox: "1000-2" });
    server.acked = {};
    server.drop();
    await advance(1_000);
    assert.deepEqual(frames("ack").at(-1), { type: "ack", pos: { inbox: "1000-2" } });
  });

  it("what was handled, before it closes", async () => {
    await open();
    server.publish("inbox", "a");
    im.close();
    assert.deepEqual(server.last.got.at(-1), { type: "ack", pos: { inbox: "1000-1" } });
  });

  for (const [how, handler] of [
    ["throws", () => { throw new Error("broken"); }], ["rejects", () => Promise.reject(new Error("broken"))],
  ] as const) {
    it(`not what a handler that ${how} was given: it comes again`, async () => {
      await open();
      let broken = true;
      const calls: string[] = [];
      im.on("inbox", (m) => {
        calls.push(m.id);
        return broken && m.id === "b" ? handler() : undefined;
      });
      for (const id of ["a", "b", "c"]) server.publish("inbox", id);
      await advance(1_100);
      assert.deepEqual(server.acked, { inbox: "1000-1" });
      assert.deepEqual(errors.map((error) => [error.code, (error.cause as Error).message]), [["handler", "broken"]]);
      broken = false;
      server.drop();
      await advance(2_200);
      assert.deepEqual(calls, ["a", "b", "c", "b"]);
      assert.deepEqual(server.acked, { inbox: "1000-3" });
    });
  }

  it("says at once that a handler failed, also while another has not come to an end", async () => {
    await open();
    im.on("inbox", () => new Promise(() => {}));
    im.on("inbox", () => Promise.reject(new Error("broken")));
    server.publish("inbox", "a");
    await settle();
    assert.deepEqual(errors.map((error) => [error.code, (error.cause as Error).message]), [["handler", "broken"]]);
  });

  it("gives up a message whose handler never ends, after a thousand more", async () => {
    await open();
    im.on("message", (m) => (m.id === "m0" ? new Promise(() => {}) : undefined));
    for (let i = 0; i <= 1_000; i++) server.publish("inbox", `m${i}`);
    await advance(1_100);
    assert.deepEqual(errors.map((error) => error.code), ["stuck"]);
    assert.deepEqual(server.acked, { inbox: "1000-1001" });
  });

  it("many groups in frames of 32 KiB at most, and what was not sent on the next connection", async () => {
    const groups = Array.from({ length: 2_000 }, (_, i) => `group:${i}-`.padEnd(100, i % 2 ? "語" : "\\"));
    for (const group of groups) server.logs.set(group, []);
    await open();
    let bytes = 0;
    const { last } = server;
    last.send = (text) => {
      if (frames("ack").length === 2) throw new Error("closing");
      bytes = Math.max(bytes, Buffer.byteLength(text));
      FakeSocket.prototype.send.call(last, text);
    };
    for (const group of groups) server.publish(group, "a");
    await advance(1_100);
    assert.ok(bytes > 8 << 10 && bytes <= 32 << 10, `${bytes} bytes`);
    assert.equal(frames("ack").length, 2);
    server.drop();
    server.acked = {};
    await advance(1_100);
    assert.deepEqual(server.acked, Object.fromEntries(groups.map((group) => [group, "1000-1"])));
    assert.ok(frames("ack").length < 2_000 / 20);
  });

  it("nothing for ephemeral messages", async () => {
    await open();
    server.last.give({ type: "message", stream: "inbox", id: "e", time: 1, data: "x" });
    await advance(2_000);
    assert.deepEqual(got, ["e"]);
    assert.deepEqual(frames("ack"), []);
  });
});

describe("messages", () => {
  it("look the same whatever they carry", async () => {
    await open();
    const all: unknown[] = [];
    im.on("message", (m) => void all.push(m));
    server.publish("all", "a", { time: 5, data: { x: 1 } });
    server.publish("inbox", "b", { time: 6, from: "bob", data: undefined, binary: "AP8K" });
    assert.deepEqual(all, [
      { id: "a", from: undefined, data: { x: 1 }, time: 5, stream: "all", group: undefined, pos: "1000-1", receipt: undefined },
      { id: "b", from: "bob", data: new Uint8Array([0, 255, 10]), time: 6, stream: "inbox", group: undefined, pos: "1000-1", receipt: undefined },
    ]);
  });

  it("can be taken by stream, and handlers removed", async () => {
    await open();
    const room: string[] = [];
    const remove = im.on("group:room", (m) => void room.push(`${m.group} ${m.id}`));
    const groups: unknown[] = [];
    im.on("joined", (one) => void groups.push(one));
    im.on("left", (one) => void groups.push(one));
    server.join("room");
    server.publish("group:room", "a");
    server.publish("inbox", "b");
    remove();
    server.publish("group:room", "c");
    server.leave("room");
    assert.deepEqual(room, ["room a"]);
    assert.deepEqual(got, ["a", "b", "c"]);
    assert.deepEqual(groups, [{ group: "room", pos: "1000-0" }, { group: "room" }]);
    server.drop();
    await advance(1_000);
    assert.deepEqual(server.last.got[0], { type: "start", pos: { inbox: "1000-1", all: "1000-0" } });
  });

  it("a connection that brings what is no frame is made anew", async () => {
    await open();
    (server.last.onmessage as unknown as (event: object) => void)({ data: "{" });
    await advance(1_000);
    assert.equal(im.state, "open");
    assert.equal(server.sockets.length, 2);
    server.last.give({ type: "whatever", from: "the future" });
    assert.equal(im.state, "open");
  });
});

describe("receipts and requests", () => {
  it("receipts come once, and are acknowledged like messages", async () => {
    await open();
    const receipts: unknown[] = [];
    im.on("receipt", (receipt) => void receipts.push(receipt));
    const frame = { type: "receipt", stream: "inbox", pos: "1000-1", id: "m", clientId: "bob", state: "delivered" };
    server.last.give(frame);
    server.last.give({ ...frame, pos: "1000-2" });
    server.last.give({ ...frame, pos: "1000-3", state: "read" });
    assert.deepEqual(receipts, [{ id: "m", clientId: "bob", state: "delivered" }, { id: "m", clientId: "bob", state: "read" }]);
    await advance(1_100);
    assert.deepEqual(server.acked, { inbox: "1000-3" });
  });

  it("reads are sent at once, in frames that the server takes, and kept while away", async () => {
    im = client();
    im.markRead("early");
    void im.connect();
    await advance(200);
    assert.deepEqual(server.read, ["early"]);
    im.markRead(Array.from({ length: 250 }, (_, i) => `r${i}`));
    await advance(200);
    assert.equal(server.read.length, 251);
    assert.deepEqual(frames("read").map((frame) => (frame as { ids: string[] }).ids.length), [1, 100, 100, 50]);
    server.last.dead = true; // what is sent now is lost
    im.markRead("lost");
    await advance(200);
    server.last.dead = false;
    server.drop();
    await advance(1_500);
    assert.deepEqual(server.read.slice(251), ["lost"]);
  });

  it("refuses to read what cannot be an id, and tells nobody", async () => {
    await open();
    const bad = ["", "x".repeat(65), "é".repeat(33), "a\nb", "\u0085", "\ud800", "\ufffd", undefined as never, 5 as never];
    for (const id of bad) assert.throws(() => im.markRead(["good", id]), TypeError, JSON.stringify(id));
    const good = ["x".repeat(64), "é".repeat(32), "😀".repeat(16), "%a %", "0"];
    for (const id of good) im.markRead(id);
    await advance(200);
    assert.deepEqual(server.read, good);
  });

  it("reads are kept until the pong that follows them: one that was asked for before says nothing", async () => {
    let wake = () => {};
    await open({ host: { watch: (w) => { wake = w; return () => {}; }, offline: () => false } });
    const socket = server.last;
    socket.dead = true; // what is sent now is lost
    wake();
    im.markRead("m");
    socket.dead = false;
    socket.give({ type: "pong" }); // to the ping before the read
    server.drop();
    await advance(1_500);
    assert.deepEqual(server.read, ["m"]);
    await advance(200);
    server.drop();
    await advance(1_500);
    assert.deepEqual(server.read, ["m"], "it is not said again after its own pong");
  });

  it("stays below the server's limit of frames when every message is read", async () => {
    await open();
    for (let i = 0; i < 400; i++) {
      im.markRead(server.publish("inbox", `m${i}`, { receipt: "read" }).id);
      if (i % 10 === 9) await advance(50);
    }
    assert.ok(server.last.got.length < 2 * 50, `${server.last.got.length} frames in 2 s`);
    await advance(200);
    assert.equal(server.read.length, 400);
  });

  it("requests get their reply, an error, or a time-out", async () => {
    await open();
    server.onFrame = (socket, frame) => {
      if (frame.type !== "request") return;
      const { id, data } = frame;
      if (data === "echo") socket.give({ type: "reply", id, data: { echo: data } });
      if (data === "bad") socket.give({ type: "reply", id, error: { code: "no" } });
    };
    assert.deepEqual(await im.request("echo"), { echo: "echo" });
    await assert.rejects(im.request("bad"), (e: ImError) => e.code === "request" && (e.cause as { code: string }).code === "no");
    const silent = assert.rejects(im.request("silent", { timeoutMs: 500 }), (e: ImError) => e.code === "timeout");
    await advance(550);
    await silent;
  });

  it("requests fail at once when JSON cannot hold them, and are sent as they were", async () => {
    im = client();
    const failures: unknown[] = [];
    const data = { n: 1 };
    const ask = (what: unknown) => void im.request(what).catch((error) => failures.push(error));
    ask({ n: 1n });
    ask(data);
    data.n = 2;
    void im.connect();
    await advance(50);
    ask({ n: 1n });
    await settle();
    assert.deepEqual(failures.map((error) => error instanceof TypeError), [true, true]);
    assert.deepEqual(frames("request").map((frame) => (frame as { data: unknown }).data), [{ n: 1 }]);
  });

  it("requests wait for a connection", async () => {
    im = client();
    const early = im.request("early");
    server.onFrame = (socket, frame) => {
      if (frame.type === "request" && frame.data === "early") socket.give({ type: "reply", id: frame.id, data: 1 });
    };
    void im.connect();
    await settle();
    assert.equal(await early, 1);
    const closed = assert.rejects(im.request("y"), (e: ImError) => e.code === "closed");
    im.close();
    await closed;
    await assert.rejects(im.request("z"), (e: ImError) => e.code === "closed");
  });

  it("requests may wait for ever", async () => {
    await open();
    let id = "";
    server.onFrame = (_, frame) => { if (frame.type === "request") id = frame.id; };
    const reply = im.request("x", { timeoutMs: Infinity });
    const ends: unknown[] = [];
    reply.then((data) => ends.push(data), (error: ImError) => ends.push(error.code));
    await advance(20_000);
    assert.deepEqual(ends, []);
    server.last.give({ type: "reply", id, data: 1 });
    await settle();
    assert.deepEqual(ends, [1]);
  });

  it("requests that the server finds too large are lost at once, with those beside them", async () => {
    await open();
    const ends: unknown[] = [];
    for (const what of ["large", "small"]) im.request(what).catch((error: ImError) => ends.push(error.code));
    await settle();
    server.drop(1009);
    await settle();
    assert.deepEqual(ends, ["lost", "lost"]);
  });

  it("replies come on the next connection when that continues the session, and else never", async () => {
    await open();
    let id = "";
    let asked = 0;
    server.onFrame = (_, frame) => {
      if (frame.type !== "request") return;
      id = frame.id;
      asked++;
    };
    const reply = im.request("x");
    await settle();
    server.drop();
    await advance(1_000);
    server.last.give({ type: "reply", id, data: "late" });
    assert.equal(await reply, "late");
    const lost = assert.rejects(im.request("y"), (e: ImError) => e.code === "lost");
    await settle();
    server.forgetTokens();
    server.drop();
    await advance(2_100);
    await lost;
    assert.equal(asked, 2, "nothing is asked twice");
  });
});

describe("a connection that may be dead", () => {
  it("is asked when nothing came for a while, and replaced when it does not answer", async () => {
    await open();
    await advance(26_000);
    assert.equal(frames("ping").length, 1);
    assert.equal(im.state, "open");
    server.last.dead = true;
    server.publish("inbox", "while dead");
    await advance(36_000);
    assert.equal(im.state, "open");
    assert.equal(server.sockets.length, 2);
    assert.deepEqual(got, ["while dead"]);
  });

  it("is asked at once when the page is looked at again or the network changes", async () => {
    let wake = () => {};
    let watched = 0;
    await open({ host: { watch: (w) => { wake = w; watched++; return () => watched--; }, offline: () => false } });
    wake();
    await settle();
    assert.equal(frames("ping").length, 1);
    await advance(5_000);
    assert.equal(server.sockets.length, 1);
    server.last.dead = true;
    wake();
    await advance(5_500);
    assert.equal(im.state, "open");
    assert.equal(server.sockets.length, 2);
    im.close();
    assert.equal(watched, 0);
  });

  it("is found after a sleep", async () => {
    await open();
    server.last.dead = true;
    mock.timers.setTime(Date.now() + 3_600_000); // timers that were due fire late
    await advance(11_500);
    assert.equal(im.state, "open");
    assert.equal(server.sockets.length > 1, true);
  });

  it("waits no longer when the network is back, and not for nothing while it is away", async () => {
    let wake = () => {};
    let offline = false;
    await open({ host: { watch: (w) => { wake = w; return () => {}; }, offline: () => offline } });
    offline = server.refuse = true;
    server.drop();
    const waiting = states.at(-1) as { retryAt: number };
    assert.equal(waiting.retryAt - Date.now(), 30_000);
    wake(); // the event offline
    await advance(2_000);
    assert.equal(server.sockets.length, 1);
    offline = server.refuse = false;
    wake();
    await settle();
    assert.equal(im.state, "open");
  });

  it("tries again soon when the network comes back just after an attempt, or during one", async () => {
    for (const during of [false, true]) {
      let wake = () => {};
      await open({ host: { watch: (w) => { wake = w; return () => {}; }, offline: () => false } });
      const random = mock.method(Math, "random", () => 0.99);
      server.refuse = true;
      server.drop();
      await advance(9_000); // the waits are long by now
      await advance((states.at(-1) as { retryAt: number }).retryAt - Date.now() - 10);
      server.refuse = false;
      server.hang = true;
      await advance(50);
      assert.equal(im.state, "connecting");
      if (during) wake();
      server.hang = false;
      server.last.end(1006);
      await settle();
      assert.equal(im.state, "waiting");
      if (!during) wake();
      const { retryAt } = states.at(-1) as { retryAt: number };
      assert.ok(retryAt - Date.now() <= 1_000, `the next attempt is in ${retryAt - Date.now()} ms`);
      await advance(1_100);
      assert.equal(im.state, "open");
      random.mock.restore();
      im.close();
    }
  });

  it("pauses before it comes back also when it was woken while it connected", async () => {
    let wake = () => {};
    im = client({ host: { watch: (w) => { wake = w; return () => {}; }, offline: () => false } });
    const opened = im.connect();
    assert.equal(im.state, "connecting");
    wake(); // as a page is that is still being shown
    await advance(50);
    await opened;
    await advance(20_000);
    const random = mock.method(Math, "random", () => 0.5);
    server.drop();
    await settle();
    const { state, retryAt, attempt } = states.at(-1) as { state: string; retryAt: number; attempt: number };
    assert.deepEqual({ state, wait: retryAt - Date.now(), attempt }, { state: "waiting", wait: 500, attempt: 1 });
    random.mock.restore();
  });

  it("leaves no timer when it is closed", async () => {
    await open();
    server.publish("inbox", "a");
    im.close();
    const count = server.last.got.length;
    await advance(120_000);
    assert.equal(server.last.got.length, count);
    assert.equal(server.sockets.length, 1);
    assert.equal(im.state, "closed");
  });
});

describe("a clock that is set back", () => {
  const HOUR_MS = 3_600_000;
  afterEach(() => mock.restoreAll());

  it("does not hide a connection that is dead", async () => {
    for (const ms of [HOUR_MS, 30 * 24 * HOUR_MS]) { // the second is more than a timer can wait
      await open();
      setBack(ms);
      server.last.dead = true;
      const count = server.sockets.length;
      await advance(40_000);
      assert.deepEqual([im.state, server.sockets.length], ["open", count + 1]);
      im.close();
    }
  });

  it("does not keep a client waiting that is woken", async () => {
    let wake = () => {};
    await open({ host: { watch: (w) => { wake = w; return () => {}; }, offline: () => false } });
    mock.method(Math, "random", () => 0.99);
    server.refuse = true;
    server.drop();
    await advance(9_000);
    assert.equal(im.state, "waiting");
    setBack(HOUR_MS);
    server.refuse = false;
    wake();
    await advance(1_000);
    assert.equal(im.state, "open");
  });

  it("does not delay the next attempt after a connection that was steady", async () => {
    await open();
    mock.method(Math, "random", () => 0.99);
    server.refuse = true;
    server.drop();
    await advance(9_000);
    server.refuse = false;
    await advance(9_000);
    assert.equal(im.state, "open");
    await advance(5_000);
    setBack(HOUR_MS);
    server.drop();
    await advance(1_000);
    assert.equal(im.state, "open");
  });

  it("does not delay what a sender waits for", async () => {
    await open();
    server.publish("inbox", "a", { receipt: "delivered" });
    im.markRead("a");
    await advance(200);
    setBack(HOUR_MS);
    server.publish("inbox", "b", { receipt: "read" });
    im.markRead("b");
    await advance(200);
    assert.deepEqual([server.acked, server.read], [{ inbox: "1000-2" }, ["a", "b"]]);
  });
});

describe("migrate", () => {
  it("opens the new connection before the old one closes: nothing twice, no gap, no other state", async () => {
    await open();
    const old = server.last;
    server.publish("inbox", "a");
    states.length = 0;
    let together = false;
    server.onFrame = (_, frame) => {
      if (frame.type === "start") together = old.live && !old.closedByClient;
      if (frame.type === "start") server.publish("inbox", "b"); // comes by both
    };
    old.give({ type: "migrate", url: server.url("other"), withinMs: 5_000 });
    await settle();
    server.publish("inbox", "c");
    await settle();
    assert.ok(together);
    assert.equal(old.closedByClient, true);
    assert.equal(server.last.url.startsWith("ws://other"), true);
    assert.deepEqual(got, ["a", "b", "c"]);
    assert.deepEqual(states, []);
    assert.deepEqual(server.open, [server.last]);
  });

  it("is not noticed when the server closes the old one first", async () => {
    await open();
    const old = server.last;
    states.length = 0;
    server.onFrame = (_, frame) => {
      if (frame.type === "start") old.end(4004);
    };
    old.give({ type: "migrate", url: server.url("other"), withinMs: 5_000 });
    await settle();
    server.publish("inbox", "a");
    assert.deepEqual([got, states, im.state], [["a"], [], "open"]);
  });

  it("tries a fresh URL when the new node does not answer, and stays where it is", async () => {
    await open();
    const old = server.last;
    old.give({ type: "migrate", url: "ws://gone/ws?token=none", withinMs: 5_000 });
    await settle();
    assert.equal(im.state, "open");
    assert.equal(server.issued, 2);
    assert.equal(old.closedByClient, true);
    assert.deepEqual(names(), ["connecting", "open"]);
  });

  it("tries a fresh URL when the new connection starts too late, and stays where it is", async () => {
    await open();
    states.length = 0;
    server.mute = true;
    server.last.give({ type: "migrate", url: server.url("other"), withinMs: 5_000 });
    await settle();
    server.mute = false;
    server.last.end(4503, "no start in time");
    await settle();
    assert.deepEqual([states, server.sockets.length, server.issued, server.open], [[], 3, 2, [server.last]]);
  });

  it("ends in an ordinary reconnect when nothing helps", async () => {
    await open();
    server.refuse = true;
    server.last.give({ type: "migrate", url: server.url("gone"), withinMs: 5_000 });
    await advance(1_000);
    assert.equal(server.sockets.length, 3);
    assert.equal(im.state, "open");
    server.refuse = false;
    server.drop(4000);
    await advance(1_000);
    assert.equal(im.state, "open");
  });
});

describe("keeping positions", () => {
  it("lets the next page go on where this one stopped", async () => {
    const kept = new Map<string, string>();
    const storage = { getItem: (key: string) => kept.get(key) ?? null, setItem: (key: string, value: string) => void kept.set(key, value) };
    const { webStorage } = await import("../src/index.js");
    const store = webStorage("mine", storage);
    await open({ store });
    server.join("room");
    server.publish("inbox", "a");
    await advance(1_100);
    im.close();
    assert.deepEqual(JSON.parse(kept.get("mine")!), { clientId: "ann", pos: { inbox: "1000-1", all: "1000-0", "group:room": "1000-0" } });
    server.publish("group:room", "b");
    await open({ store });
    assert.deepEqual(got, ["a", "b"]);
    im.close();
    server.clientId = "bob";
    await open({ store });
    assert.deepEqual(server.last.got[0], { type: "start", pos: {} });
  });

  it("leaves out what the server would refuse, and goes on where the rest stopped", async () => {
    server.logs.set("group:room", []);
    server.publish("inbox", "a");
    server.publish("inbox", "b");
    const good = { inbox: "1000-1", all: "1000-0", "group:room": "0-0", [`group:${"é".repeat(64)}`]: "1-1" };
    const bad = {
      "group:": "1-1", "group:a\n": "1-1", [`group:${"é".repeat(65)}`]: "1-1", outbox: "1-1", "": "1-1", "group:a": "x",
      "group:b": 5, "group:c": "1-", "group:d": "1-1-1", "group:e": "1-99999999999999999999", "group:f": null,
    };
    await open({ store: { load: () => ({ clientId: "ann", pos: { ...good, ...bad } as Positions }), save() {} } });
    assert.deepEqual(server.last.got[0], { type: "start", pos: good });
    assert.deepEqual(got, ["b"]);
  });

  it("asks to write ten times a second at most, also while it is away", async () => {
    let saves = 0;
    await open({ store: { load: () => undefined, save: () => void saves++ } });
    server.refuse = true;
    server.drop();
    await advance(1_000);
    saves = 0;
    for (let i = 0; i < 100; i++) {
      im.markRead(`m${i}`);
      if (i % 10 === 9) await advance(100);
    }
    assert.ok(saves > 0 && saves <= 11, `${saves} in a second`);
  });

  it("goes on without when the store fails", async () => {
    const broken = () => { throw new Error("full"); };
    await open({ store: { load: broken, save: broken } });
    server.publish("inbox", "a");
    assert.deepEqual(got, ["a"]);
    assert.ok(errors.every((error) => error.code === "store") && errors.length >= 2);
  });

  it("starts without when the store does not answer, in time for the server, and ignores what it says later", async () => {
    let answer: (saved: { clientId: string; pos: Positions }) => void = () => {};
    im = client({ store: { load: () => new Promise((resolve) => (answer = resolve)), save() {} } });
    const opened = im.connect();
    await advance(5_050);
    await opened;
    assert.deepEqual(errors.map((error) => [error.code, (error.cause as Error).message]), [["store", "no answer within 5000 ms"]]);
    server.publish("inbox", "a");
    answer({ clientId: "ann", pos: { inbox: "1000-0" } });
    await settle();
    server.drop();
    await advance(1_050);
    assert.deepEqual(server.last.got[0], { type: "start", pos: { inbox: "1000-1", all: "1000-0" } });
    assert.deepEqual(got, ["a"]);
  });

  for (const how of ["missing", "forbidden"]) {
    it(`goes on without when localStorage is ${how}`, async () => {
      const before = Object.getOwnPropertyDescriptor(globalThis, "localStorage");
      Reflect.deleteProperty(globalThis, "localStorage");
      if (how === "forbidden") {
        Object.defineProperty(globalThis, "localStorage", { configurable: true, get() { throw new Error("SecurityError"); } });
      }
      await open({ store: "localStorage" });
      server.publish("inbox", "a");
      Reflect.deleteProperty(globalThis, "localStorage");
      if (before) Object.defineProperty(globalThis, "localStorage", before);
      assert.deepEqual(got, ["a"]);
      assert.ok(errors.every((error) => error.code === "store") && errors.length >= 2);
    });
  }
});
