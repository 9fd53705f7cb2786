// The client in a mini-program.
import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { ImClient } from "../src/index.js";
import { miniProgram, miniStorage } from "../src/mini.js";
import { advance, restoreTime, settle, stopTime } from "./rig/clock.js";
import { FakeMini } from "./rig/fakeMini.js";
import { FakeServer } from "./rig/fakeServer.js";

let server: FakeServer;
let wx: FakeMini;
let im: ImClient<string>;
let got: string[];

beforeEach(async () => {
  stopTime();
  server = new FakeServer();
  wx = new FakeMini(server);
  got = [];
  im = new ImClient({ ...miniProgram(wx), connectUrl: server.connectUrl, store: miniStorage(wx) });
  im.on("message", (m) => void got.push(m.id));
  void im.connect();
  await settle();
});
afterEach(() => {
  im.close();
  restoreTime();
});

describe("in a mini-program", () => {
  it("messages come once and in order over reconnects, and are acknowledged", async () => {
    server.publish("inbox", "a");
    server.drop();
    server.publish("inbox", "b");
    await advance(2_100);
    assert.deepEqual(got, ["a", "b"]);
    assert.deepEqual(server.acked, { inbox: "1000-2" });
    assert.equal(server.last.protocol, "imtier.v1");
  });

  for (const errorOnly of [false, true]) {
    it(`a refused session is followed by a fresh URL${errorOnly ? ", also where only an error is reported" : ""}`, async () => {
      wx.errorOnly = errorOnly;
      server.forgetTokens();
      server.drop();
      await advance(1_000);
      assert.equal(im.state, "open");
      assert.equal(server.issued, 2);
    });
  }

  it("stays away when it is told to", async () => {
    server.drop(4501, "replaced");
    assert.equal(im.state, "closed");
  });

  it("looks at the connection when the app is shown or the network changes", async () => {
    const pings = () => server.sockets.flatMap((socket) => socket.got).filter((frame) => frame.type === "ping").length;
    for (const show of wx.show) show();
    await settle();
    assert.equal(pings(), 1);
    for (const changed of wx.network) changed({ isConnected: false });
    server.refuse = true;
    server.drop();
    await advance(5_000);
    assert.equal(server.sockets.length, 1, "no attempt without a network");
    server.refuse = false;
    for (const changed of wx.network) changed({ isConnected: true });
    await settle();
    assert.equal(im.state, "open");
    im.close();
    assert.deepEqual([wx.network, wx.show, wx.hide], [[], [], []]);
  });

  it("keeps positions in the app's storage", async () => {
    server.publish("inbox", "a");
    for (const hide of wx.hide) hide();
    assert.deepEqual(wx.storage.get("imtier.positions"), { clientId: "ann", pos: { inbox: "1000-1", all: "1000-0" } });
    assert.deepEqual(server.acked, {});
    await settle();
    assert.deepEqual(server.acked, { inbox: "1000-1" });
  });

  it("can be closed before it is open", async () => {
    im.close();
    void im.connect().catch(() => {});
    await Promise.resolve();
    im.close();
    await advance(20_000);
    assert.deepEqual(server.open, []);
  });
});
