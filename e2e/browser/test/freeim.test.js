// The routes that FreeIM's demo page calls, used as that page uses them.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Client } from "../rig/client.js";
import { eventually } from "../rig/eventually.js";
import { startImdev } from "../rig/imdev.js";

describe("FreeIM's routes", () => {
  /** @type {Awaited<ReturnType<typeof startImdev>>} */
  let server;
  before(async () => {
    server = await startImdev();
  });
  after(() => server?.stop());

  /**
   * @param {string} path
   * @param {Record<string, string>} fields
   * @param {Record<string, string>} [headers]
   */
  const post = async (path, fields, headers = {}) => {
    const body = new URLSearchParams(fields);
    const answer = await fetch(server.web + path, { method: "POST", headers, ...(body.size ? { body } : {}) });
    return { status: answer.status, json: await answer.json().catch(() => undefined), headers: answer.headers };
  };
  /** @param {Record<string, string>} [fields] */
  const connect = async (fields = {}) => {
    let id = "";
    const client = await Client.open(async () => {
      // On a busy machine the node may be silent for a moment.
      const { json } = await eventually("a node", async () => {
        const answer = await post("/ws/pre-connect", fields);
        return answer.status === 503 ? undefined : answer;
      });
      assert.equal(json.code, 0);
      id = json.websocketId;
      return json.server;
    });
    return { id, client };
  };

  it("connects a new client, and the same one again", async () => {
    const { id, client } = await connect();
    assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-/u);
    const again = await connect({ websocketId: id });
    assert.equal(again.id, id);
    client.close();
    again.client.close();
  });

  it("delivers channel messages to all members, the sender too, as JSON twice", async () => {
    const [a, b] = [await connect(), await connect()];
    for (const { id } of [a, b]) {
      assert.deepEqual((await post("/ws/subscr-channel", { websocketid: id, channel: "聊天室" })).json, { code: 0 });
    }
    const { json } = await post("/ws/get-channels", {});
    assert.deepEqual(json.channels.find((/** @type {any} */ one) => one.chan === "聊天室"), { chan: "聊天室", online: 2 });
    const data = { type: "chanmsg", sender: a.id, msg: { type: "text", content: "你好 <b>" } };
    assert.deepEqual((await post("/ws/send-channelmsg", { WebsocketId: a.id, CHANNEL: "聊天室", message: JSON.stringify(data) })).json, { code: 0 });
    for (const { client } of [a, b]) {
      const message = await eventually("the message", () => client.received[0]);
      assert.deepEqual(JSON.parse(JSON.parse(String(message.data))), data);
      client.close();
    }
  });

  it("delivers broadcasts and direct messages", async () => {
    const [a, b] = [await connect(), await connect()];
    await post("/ws/send-broadcast", { websocketId: a.id, channel: "x", message: '{"n":1}' });
    await post("/ws/send-msg", { senderWebsocketId: a.id, receiveWebsocketId: b.id, message: "plain", isReceipt: "true" });
    await eventually("both", () => b.client.received.length === 2);
    // The inbox and the stream of broadcasts are two streams: between them there is no order.
    assert.deepEqual(b.client.received.map((one) => one.data).sort(), ['"plain"', '"{\\"n\\":1}"']);
    await eventually("the broadcast reaches its sender", () => a.client.received.length === 1);
    a.client.close();
    b.client.close();
  });

  it("forces offline by GET and POST", async () => {
    for (const method of ["GET", "POST"]) {
      const { id, client } = await connect();
      const answer = await fetch(`${server.web}/ws/offline?websocketId=${id}`, { method });
      assert.deepEqual(await answer.json(), { code: 0 });
      assert.equal(await client.closeCode(), 4500);
    }
  });

  it("says what is wrong with a request", async () => {
    const cases = [
      { path: "/ws/send-msg", fields: { senderWebsocketId: "a", message: "x" }, status: 400, says: "receiveWebsocketId is missing" },
      { path: "/ws/subscr-channel", fields: { websocketId: "a" }, status: 400, says: "channel is missing" },
      { path: "/ws/subscr-channel", fields: { websocketId: "a\nb", channel: "c" }, status: 400, says: "websocketId has a control character at byte 1" },
      { path: "/ws/subscr-channel", fields: { websocketId: "a", channel: "c".repeat(129) }, status: 400, says: "channel has 129 bytes, at most 128 are allowed" },
      { path: "/ws/send-broadcast", fields: { message: "x".repeat(70_000) }, status: 413, says: "message has 70002 bytes, at most 65536 are allowed" },
      { path: "/ws/send-broadcast", fields: { message: "x".repeat(300_000) }, status: 413, says: "the body is too large" },
    ];
    for (const { path, fields, status, says } of cases) {
      const answer = await post(path, /** @type {Record<string, string>} */ (fields));
      assert.equal(answer.status, status, path);
      assert.deepEqual(answer.json, { code: status, message: says });
    }
  });

  it("answers pages of this host, and refuses those of others", async () => {
    const own = await post("/ws/get-channels", {}, { Origin: "http://127.0.0.1:9999" });
    assert.equal(own.status, 200);
    assert.equal(own.headers.get("access-control-allow-origin"), "http://127.0.0.1:9999");
    const other = await post("/ws/get-channels", {}, { Origin: "https://evil.example" });
    assert.equal(other.status, 403);
    assert.equal(other.headers.get("access-control-allow-origin"), null);
  });
});
