// The SDK in a browser whose network is slow, and goes away.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { startBoth } from "../rig/browser.js";
import { eventually } from "../rig/eventually.js";
import { newWindow, Publisher, Tab } from "../rig/tabs.js";

describe("a bad network", () => {
  /** @type {import("../rig/imdev.js").Imdev} */
  let server;
  /** @type {import("playwright-core").Browser} */
  let browser;

  before(async () => {
    [server, browser] = await startBoth();
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
  });

  /** @param {string} name @param {Record<string, unknown>} [options] */
  async function open(name, options = {}) {
    const context = await newWindow(browser, server, name);
    const tab = await Tab.open(context, server.web, options);
    const cdp = await context.newCDPSession(tab.page);
    await cdp.send("Network.enable");
    /** @param {boolean} offline @param {number} [latency] ms @param {number} [throughput] bytes a second */
    const network = (offline, latency = 0, throughput = -1) =>
      cdp.send("Network.emulateNetworkConditions", { offline, latency, downloadThroughput: throughput, uploadThroughput: throughput });
    return { tab, network };
  }

  it("loses nothing while it is slow", async () => {
    const { tab, network } = await open("slow");
    await network(false, 300, 20_000);
    const publisher = new Publisher(server, "slow", "m", 50);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    await tab.page.evaluate(() => /** @type {any} */ (window).sockets.at(-1).close());
    await new Promise((resolve) => setTimeout(resolve, 1000));
    await tab.has(await publisher.stop());
    const { ids, gaps } = await tab.notes();
    assert.deepEqual([ids, gaps], [publisher.ids, []]);
  });

  it("loses nothing while it is away, and comes back at once when it is there", async () => {
    const { tab, network } = await open("away");
    const publisher = new Publisher(server, "away", "m", 50);
    await tab.has("m-10");
    await network(true);
    await tab.page.evaluate(() => /** @type {any} */ (window).sockets.at(-1).close()); // offline does not cut what is open
    await eventually("it waits", async () => (await tab.notes()).states.at(-1) === "waiting");
    await new Promise((resolve) => setTimeout(resolve, 3000));
    assert.equal((await tab.notes()).states.at(-1), "waiting");
    await network(false);
    await eventually("it is open, before the 30 s are over that it would wait otherwise", async () => (await tab.notes()).states.at(-1) === "open");
    await tab.has(await publisher.stop());
    const { ids, gaps } = await tab.notes();
    assert.deepEqual([ids, gaps], [publisher.ids, []]);
  });

  it("asks whether the server is there when the page is looked at again, and acknowledges before the page goes", async () => {
    const { tab } = await open("looked-at");
    await tab.page.evaluate(() => {
      const page = /** @type {any} */ (window);
      const socket = page.sockets.at(-1);
      const look = () => {
        /** @type {string[]} */
        const types = [];
        socket.send = (/** @type {string} */ text) => {
          types.push(JSON.parse(text).type);
          WebSocket.prototype.send.call(socket, text);
        };
        document.dispatchEvent(new Event("visibilitychange"));
        dispatchEvent(new Event("pagehide"));
        page.im.close(); // ends watching
        document.dispatchEvent(new Event("visibilitychange"));
        return types;
      };
      // Right after the message was handled: some time later it is acknowledged anyway.
      page.looked = new Promise((resolve) => page.im.on("message", () => void setTimeout(() => resolve(look()))));
    });
    await server.call("POST", "/v1/messages", { to: "looked-at", id: "m", data: 1 });
    const sent = await tab.page.evaluate(() => /** @type {any} */ (window).looked);
    assert.deepEqual(sent, ["ping", "ack"]);
  });

  it("keeps positions over a reload when it is told to", async () => {
    const { tab } = await open("kept", { store: "localStorage" });
    const publisher = new Publisher(server, "kept", "m", 50);
    await tab.has("m-10");
    const before = await tab.page.evaluate(() => /** @type {any} */ (window).im.close() ?? /** @type {any} */ (window).notes.ids);
    await tab.page.reload();
    await tab.connect({ store: "localStorage" });
    await tab.has(await publisher.stop());
    const { ids } = await tab.notes();
    assert.deepEqual([...before, ...ids], publisher.ids);
  });
});
