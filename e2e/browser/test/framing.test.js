// RFC 6455 framing, by a client that writes bytes.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { eventually } from "../rig/eventually.js";
import { startImdev } from "../rig/imdev.js";
import { BINARY, CLOSE, CONTINUATION, frame, PING, PONG, Tcp, TEXT } from "../rig/tcp.js";

describe("framing", () => {
  /** @type {Awaited<ReturnType<typeof startImdev>>} */
  let server;
  let n = 0;
  before(async () => {
    server = await startImdev();
  });
  after(() => server?.stop());

  /** @param {string} [protocol] */
  const open = (protocol) => Tcp.open(() => server.url(`tcp-${++n}`), protocol);

  const code = (/** @type {number} */ value) => Buffer.from([value >> 8, value & 255]);
  const broken = [
    { name: "a fragmented control frame", bytes: frame(PING, "x", { fin: false }), want: 1002 },
    { name: "a control frame of 126 bytes", bytes: frame(PING, "x".repeat(126)), want: 1002 },
    { name: "an unmasked frame", bytes: frame(TEXT, "x", { masked: false }), want: 1002 },
    { name: "reserved bit 1", bytes: frame(TEXT, "x", { reserved: 4 }), want: 1002 },
    { name: "reserved bit 3", bytes: frame(TEXT, "x", { reserved: 1 }), want: 1002 },
    { name: "an unknown opcode", bytes: frame(3, "x"), want: 1002 },
    { name: "an unknown control opcode", bytes: frame(11, "x"), want: 1002 },
    { name: "a continuation of nothing", bytes: frame(CONTINUATION, "x"), want: 1002 },
    {
      name: "a new message inside of another",
      bytes: Buffer.concat([frame(TEXT, "a", { fin: false }), frame(TEXT, "b")]), want: 1002,
    },
    { name: "a close frame of one byte", bytes: frame(CLOSE, "x"), want: 1002 },
    { name: "a close code that must not be sent", bytes: frame(CLOSE, code(1005)), want: 1002 },
    { name: "invalid UTF-8", bytes: frame(TEXT, Buffer.from([0xc3, 0x28])), want: 1007 },
    { name: "UTF-8 that ends in the middle", bytes: frame(TEXT, Buffer.from([0xe2, 0x82])), want: 1007 },
    { name: "a surrogate in UTF-8", bytes: frame(TEXT, Buffer.from([0xed, 0xa0, 0x80])), want: 1007 },
    { name: "a frame that announces far too much", bytes: frame(TEXT, "x".repeat(70_000), { announce: 1 << 24 }), want: 1009 },
    {
      name: "fragments that add up to too much",
      bytes: Buffer.concat([frame(BINARY, "x".repeat(60_000), { fin: false }), frame(CONTINUATION, "x".repeat(60_000))]), want: 1009,
    },
  ];
  for (const { name, bytes, want } of broken) {
    it(`closes ${name} with ${want}`, async () => {
      const client = await open();
      client.write(bytes);
      assert.equal(await client.closeCode(), want);
    });
  }

  it("closes nothing but the connection that broke the rules", async () => {
    const good = await open("imtier.v1");
    const bad = await open("imtier.v1");
    bad.write(frame(TEXT, "x", { masked: false }));
    await bad.closeCode();
    good.write(frame(PING, "still there?"));
    assert.equal((await good.frame(PONG)).payload.toString(), "still there?");
    good.end();
  });

  it("answers a ping with its payload, also between fragments", async () => {
    const client = await open("imtier.v1");
    client.write(frame(TEXT, '{"type":', { fin: false }));
    client.write(frame(PING, "p".repeat(125)));
    assert.equal((await client.frame(PONG)).payload.toString(), "p".repeat(125));
    client.write(frame(CONTINUATION, '"start"', { fin: false }));
    client.write(frame(CONTINUATION, "}"));
    await eventually("started", () => client.frames.some((one) => one.payload.includes('"started"')));
    client.end();
  });

  it("reads frames that come byte by byte", async () => {
    const client = await open("imtier.v1");
    await client.trickle(Buffer.concat([frame(TEXT, '{"type":"start"}'), frame(TEXT, '{"type":"ping"}')]));
    await eventually("pong", () => client.frames.some((one) => one.payload.toString() === '{"type":"pong"}'));
    client.end();
  });

  it("reads frames that come together", async () => {
    const client = await open("imtier.v1");
    client.write(Buffer.concat([frame(TEXT, '{"type":"start"}'), ...Array.from({ length: 20 }, () => frame(TEXT, '{"type":"ping"}'))]));
    await eventually("20 pongs", () => client.frames.filter((one) => one.payload.toString() === '{"type":"pong"}').length === 20);
    client.end();
  });

  it("takes UTF-8 that is split between fragments", async () => {
    const client = await open("imtier.v1");
    const bytes = Buffer.from('{"type":"ping","x":"€🦊"}');
    client.write(frame(TEXT, '{"type":"start"}'));
    client.write(frame(TEXT, bytes.subarray(0, 21), { fin: false }));
    client.write(frame(CONTINUATION, bytes.subarray(21)));
    await eventually("pong", () => client.frames.some((one) => one.payload.toString() === '{"type":"pong"}'));
    client.end();
  });

  it("masks nothing that it sends, and announces no extension", async () => {
    const client = await open("imtier.v1");
    const hello = await client.frame(TEXT);
    assert.equal(JSON.parse(hello.payload.toString()).type, "hello");
    client.end();
  });

  it("echoes the code of a close", async () => {
    const client = await open();
    client.write(frame(CLOSE, Buffer.concat([code(3000), Buffer.from("bye")])));
    assert.equal(await client.closeCode(), 3000);
  });
});
