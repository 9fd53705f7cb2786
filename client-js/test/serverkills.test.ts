// A page as the README shows it keeps a list without gaps and duplicates while imservers are killed and started again.
// KILLS_FULL=1 runs it for two minutes with a kill every ten seconds.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { WebSocket } from "ws";
import { ImClient } from "../src/index.js";
import { Ledger, Publisher } from "./rig/ledger.js";
import { Servers } from "./rig/servers.js";

const LONG = process.env["KILLS_FULL"] === "1";
const RUN_MS = LONG ? 120_000 : 12_000;
const EVERY_MS = LONG ? 10_000 : 3_000;
const PAGES = 5;

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe("imservers killed again and again", () => {
  let servers: Servers;

  before(async () => {
    servers = await Servers.start(2);
  });
  after(() => servers?.stop());

  it(`for ${RUN_MS / 1000} s: each list is complete, in order, without duplicates`, { timeout: RUN_MS + 60_000 }, async () => {
    const pages = await Promise.all(Array.from({ length: PAGES }, async (_, i) => {
      const im = new ImClient({ connectUrl: servers.connectUrl(`page-${i}`, { groups: ["room"] }), WebSocket });
      const ledger = new Ledger(im);
      await im.connect();
      return { im, ledger };
    }));
    const group = new Publisher(servers, "/v1/groups/room/messages", {}, "g", 50);
    const inboxes = pages.map((_, i) => new Publisher(servers, "/v1/messages", { to: `page-${i}` }, `i${i}`, 10));
    let kills = 0;
    try {
      // Each node at least once: on a busy machine one start may take most of the time.
      for (const end = Date.now() + RUN_MS; Date.now() < end || kills < servers.nodes.length; kills++) {
        await sleep(EVERY_MS);
        const node = servers.nodes[kills % servers.nodes.length]!;
        await node.end("SIGKILL");
        await node.start();
      }
    } finally {
      await Promise.all([group, ...inboxes].map((one) => one.stop()));
    }
    for (const [i, { im, ledger }] of pages.entries()) {
      await ledger.isComplete("group:room", group);
      await ledger.isComplete("inbox", inboxes[i]!);
      assert.deepEqual(ledger.gaps, []);
      im.close();
    }
    const lost = pages.reduce((sum, { ledger }) => sum + ledger.states.filter((state) => state === "waiting").length, 0);
    console.log(`${kills} kills, ${lost} connections lost, ${group.accepted.length + inboxes[0]!.accepted.length} messages in each list`);
    assert.ok(lost >= 2, `only ${lost} connections were lost`);
  });
});
