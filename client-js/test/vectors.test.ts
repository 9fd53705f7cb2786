// The golden files that Go's tests check, too.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { CLOSE_CODES, comparePositions, isFinal } from "../src/index.js";
import { decodeFrame, type MessageFrame } from "../src/frames.js";
import { Link } from "../src/link.js";
import { messageOf } from "../src/message.js";
import type { ClientFrame } from "../src/frames.js";
import type { SocketConstructor } from "../src/socket.js";

const golden = (name: string) => JSON.parse(readFileSync(join(process.env["CLIENT_JS"]!, "../pkg/protocol/testdata", name), "utf8"));

interface Row {
  name: string;
  text: string;
}

describe("golden vectors", () => {
  it("order of positions", () => {
    const rows: string[] = golden("position_order.json");
    rows.forEach((a, i) => rows.forEach((b, j) => assert.equal(Math.sign(comparePositions(a, b)), Math.sign(i - j), `${a} ${b}`)));
    for (const { text } of golden("position.json") as Row[]) assert.equal(comparePositions(text, text), 0);
  });

  it("close codes", () => {
    const rows: { code: number; name: string; final: boolean }[] = golden("close.json");
    assert.deepEqual(Object.fromEntries(rows.map((row) => [row.code, row.name])), CLOSE_CODES);
    for (const { code, final } of rows) assert.equal(isFinal(code), final);
    assert.deepEqual([3999, 4499, 4500, 4999, 5000].map(isFinal), [false, false, true, true, false]);
  });

  it("frames of the server", () => {
    const rows: Row[] = golden("frames.json").server;
    const frame = (name: string) => decodeFrame(rows.find((row) => row.name === name)!.text);
    assert.deepEqual(frame("started"), {
      type: "started", pos: { "group:room 1": "1795302328961-7", inbox: "0-0" }, recovered: { "group:room 1": false, inbox: true },
    });
    assert.deepEqual(frame("migrate"), { type: "migrate", url: "ws://im-2/ws?session=s.t.u", withinMs: 9000 });
    const message = (name: string) => messageOf(frame(name) as MessageFrame);
    const plain = { from: undefined, group: undefined, pos: undefined, receipt: undefined };
    assert.deepEqual(message("message of the system, ephemeral"), { ...plain, id: "1", time: 1, data: null, stream: "all" });
    assert.deepEqual(message("message, binary"), {
      ...plain, id: "b", from: "日本", time: 2, data: new Uint8Array([0, 255, 10]), stream: "group:r", group: "r", pos: "1-1",
    });
    assert.deepEqual(message("message that is awaited"), {
      ...plain, id: "r", from: "bob", time: 3, data: 1, stream: "inbox", pos: "1-2", receipt: "read",
    });
    for (const { name, text } of rows) assert.equal(decodeFrame(text)?.type, /^[a-z]+/u.exec(name)?.[0]);
  });

  it("frames of the client, byte by byte", async () => {
    const sent: string[] = [];
    let give: (frame: string) => void = () => {};
    const Socket = class {
      constructor() {
        give = (data) => (this as unknown as { onmessage: (event: object) => void }).onmessage({ data });
      }
      send(text: string) { sent.push(text); }
      close() {}
    } as unknown as SocketConstructor;
    const link = new Link("ws://x", Socket, 1_000, { start: () => ({ inbox: "1-2", all: "1-0" }), frame() {}, lost() {} });
    give('{"type":"hello","clientId":"a","connId":"c","node":"n","ping":25}');
    await new Promise((resolve) => setImmediate(resolve));
    give('{"type":"started","pos":{},"recovered":{}}');
    const frames: ClientFrame[] = [
      { type: "ack", pos: { inbox: "1-3" } }, { type: "read", ids: ["r", "日本"] }, { type: "ping" },
      { type: "request", id: "x-1", data: { q: [1, null] } },
    ];
    for (const frame of frames) link.send(frame);
    link.close();
    assert.deepEqual(sent, (golden("frames.json").client as Row[]).map((row) => row.text));
  });

  it("what is no frame", () => {
    for (const text of ["", "{", "null", "1", "[]", "{}", '{"type":1}', new ArrayBuffer(1), undefined]) {
      assert.equal(decodeFrame(text), undefined);
    }
  });
});
