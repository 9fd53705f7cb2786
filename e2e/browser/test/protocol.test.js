// What a WebSocket library sees.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { WebSocket } from "ws";
import { Client } from "../rig/client.js";
import { eventually, Refused } from "../rig/eventually.js";
import { startImdev } from "../rig/imdev.js";

describe("the WebSocket protocol", () => {
  /** @type {Awaited<ReturnType<typeof startImdev>>} */
  let server;
  before(async () => {
    server = await startImdev();
  });
  after(() => server?.stop());

  it("gives raw connections the data of each message and nothing else", async () => {
    const client = await Client.open(() => server.url("raw-1"));
    await server.call("POST", "/v1/messages", { to: "raw-1", data: { hello: "wörld" } });
    await server.call("POST", "/v1/messages", { to: "raw-1", data: "a string" });
    await server.call("POST", "/v1/messages", { to: "raw-1", binary: Buffer.from([0, 1, 255]).toString("base64") });
    await eventually("three messages", () => client.received.length === 3);
    assert.deepEqual(JSON.parse(String(client.received[0]?.data)), { hello: "wörld" });
    assert.equal(client.received[1]?.data, '"a string"');
    assert.deepEqual(client.received[2], { data: Buffer.from([0, 1, 255]), binary: true });
    client.close();
  });

  it("gives imtier.v1 connections hello, started and messages with positions", async () => {
    const client = await Client.start(() => server.url("v1-1", { groups: ["room"], untilOffline: true }));
    const hello = await client.frame("hello");
    assert.equal(client.frames[0].type, "hello", "hello comes first");
    assert.equal(hello.clientId, "v1-1");
    const started = await client.frame("started");
    assert.deepEqual(Object.keys(started.pos).sort(), ["all", "group:room", "inbox"]);
    const direct = await server.call("POST", "/v1/messages", { to: "v1-1", from: "someone", data: { n: 1 } });
    const group = await server.call("POST", "/v1/groups/room/messages", { from: "v1-1", data: 2 });
    const all = await server.call("POST", "/v1/broadcast", { data: [3] });
    const inInbox = await client.frame("message", (frame) => frame.stream === "inbox");
    assert.deepEqual([inInbox.id, inInbox.pos, inInbox.from, inInbox.data],
      [direct.id, direct.results[0].pos, "someone", { n: 1 }]);
    const inGroup = await client.frame("message", (frame) => frame.stream === "group:room");
    assert.deepEqual([inGroup.id, inGroup.pos, inGroup.data], [group.id, group.pos, 2]);
    const inAll = await client.frame("message", (frame) => frame.stream === "all");
    assert.deepEqual([inAll.id, inAll.pos, inAll.data, inAll.from], [all.id, all.pos, [3], undefined]);
    client.close();
  });

  it("keeps the order, without loss or repetition, also across a reconnect with positions", async () => {
    const id = "order-1";
    let client = await Client.start(() => server.url(id));
    /** @type {any[]} */
    const got = [];
    const collect = () => client.frames.filter((frame) => frame.type === "message");
    const send = async (/** @type {number} */ from, /** @type {number} */ to) => {
      for (let i = from; i < to; i++) await server.call("POST", "/v1/messages", { to: id, data: i });
    };
    await send(0, 50);
    await eventually("the first part", () => collect().length === 50);
    got.push(...collect());
    client.close();
    await send(50, 100);
    client = await Client.start(() => server.url(id), { inbox: got.at(-1).pos });
    await send(100, 120);
    await eventually("the rest", () => collect().length >= 70);
    got.push(...collect());
    assert.deepEqual(got.map((frame) => frame.data), Array.from({ length: 120 }, (_, i) => i));
    client.close();
  });

  it("accepts a URL once, however many use it at the same moment", async () => {
    // After a 503 nobody knows whether that attempt has used it up: then another URL is tried.
    const refused = await eventually("answers other than 503", async () => {
      const url = await server.url("once-1");
      const attempts = await Promise.allSettled(Array.from({ length: 100 }, () => Client.once(url)));
      const opened = attempts.filter((one) => one.status === "fulfilled");
      const refused = attempts.flatMap((one) => (one.status === "rejected" ? [one.reason.status] : []));
      for (const one of opened) one.value.close();
      const unknown = refused.includes(503);
      assert.ok(opened.length === 1 || (unknown && opened.length === 0), `${opened.length} were let in`);
      return unknown ? undefined : refused;
    });
    assert.deepEqual(new Set(refused), new Set([409]));
    assert.equal(refused.length, 99);
  });

  it("refuses what is no valid URL before the upgrade", async () => {
    const status = async (/** @type {string} */ url) => Client.open(url).then(() => 101, (error) => (error instanceof Refused ? error.status : error));
    assert.equal(await status(`${server.node}?token=nonsense`), 401);
    assert.equal(await status(server.node), 401);
    const url = await server.url("tampered");
    assert.equal(await status(`${url.slice(0, -2)}${url.endsWith("AA") ? "BB" : "AA"}`), 401);
  });

  it("refuses pages of other origins", async () => {
    const url = await server.url("origin-1");
    const answer = await new Promise((resolve) => {
      const socket = new WebSocket(url, { origin: "https://evil.example" });
      socket.on("unexpected-response", (_, response) => resolve(response.statusCode));
      socket.on("open", () => resolve(101));
      socket.on("error", () => {});
    });
    assert.equal(answer, 403);
  });

  it("closes with 1009 what is too big", async () => {
    const client = await Client.open(() => server.url("big-1"));
    client.socket.send("x".repeat(1 << 20));
    assert.equal(await client.closeCode(), 1009);
  });

  it("closes with 1007 text that is not UTF-8", async () => {
    const client = await Client.open(() => server.url("utf-1"));
    client.socket.send(Buffer.from([0x68, 0xff, 0xfe]), { binary: false });
    assert.equal(await client.closeCode(), 1007);
  });

  it("closes with 4503 what is no frame of imtier.v1", async () => {
    const client = await Client.start(() => server.url("bad-1"));
    client.socket.send("this is not JSON");
    assert.equal(await client.closeCode(), 4503);
  });

  it("ignores types and fields that it does not know", async () => {
    const client = await Client.start(() => server.url("unknown-1"));
    client.send({ type: "from-the-future", x: 1 });
    client.send({ type: "ping", extra: true });
    await client.frame("pong");
    client.close();
  });

  it("closes with 4500 those who are forced offline", async () => {
    const client = await Client.open(() => server.url("kick-1"));
    const { closed } = await server.call("DELETE", "/v1/clients/kick-1/connections");
    assert.equal(closed, 1);
    assert.equal(await client.closeCode(), 4500);
  });

  it("answers a close with the same code", async () => {
    const client = await Client.open(() => server.url("bye-1"));
    client.socket.close(1000, "bye");
    assert.equal(await client.closeCode(), 1000);
  });

  it("follows groups as they are joined and left", async () => {
    const client = await Client.start(() => server.url("group-1"));
    await server.call("PUT", "/v1/groups/late/members/group-1", {});
    await client.frame("joined", (frame) => frame.group === "late");
    await server.call("POST", "/v1/groups/late/messages", { data: "one" });
    await client.frame("message", (frame) => frame.data === "one");
    await server.call("DELETE", "/v1/groups/late/members/group-1");
    await client.frame("left", (frame) => frame.group === "late");
    await server.call("POST", "/v1/groups/late/messages", { data: "two" });
    await server.call("POST", "/v1/messages", { to: "group-1", data: "three" });
    await client.frame("message", (frame) => frame.data === "three");
    assert.equal(client.frames.some((frame) => frame.data === "two"), false);
    client.close();
  });
});
