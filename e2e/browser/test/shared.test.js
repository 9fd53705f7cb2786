// Several tabs of one browser with one socket.
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import { startBoth } from "../rig/browser.js";
import { eventually } from "../rig/eventually.js";
import { newWindow, Publisher, Tab } from "../rig/tabs.js";

describe("tabs that share a socket", () => {
  /** @type {import("../rig/imdev.js").Imdev} */
  let server;
  /** @type {import("playwright-core").Browser} */
  let browser;
  /** @type {import("playwright-core").BrowserContext} */
  let context;
  let name = "";
  let n = 0;
  /** What URLs wait for. @type {unknown} */
  let ready;

  before(async () => {
    [server, browser] = await startBoth();
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
  });
  beforeEach(async () => {
    name = `tabs-${++n}`;
    ready = undefined;
    context = await newWindow(browser, server, name, () => ready);
  });
  afterEach(() => context.close());

  const open = () => Tab.open(context, server.web, { shared: true });
  const sockets = async () => (await server.call("GET", `/v1/clients/${name}`)).connections.length;

  /** The tab that leads, and the others. @param {Tab[]} tabs @returns {Promise<[Tab, ...Tab[]]>} */
  async function leaderOf(tabs) {
    /** @type {[Tab, ...Tab[]] | undefined} */
    let found;
    await eventually("one tab leads", async () => {
      const leads = await Promise.all(tabs.map((tab) => tab.leads()));
      if (leads.filter(Boolean).length !== 1) return false;
      const leader = /** @type {Tab} */ (tabs[leads.indexOf(true)]);
      found = [leader, ...tabs.filter((tab) => tab !== leader)];
      return true;
    });
    return /** @type {[Tab, ...Tab[]]} */ (found);
  }

  /** Each tab has all messages of a publisher, once and in order, and was told of no gap. @param {Tab[]} tabs @param {Publisher} publisher */
  async function complete(tabs, publisher) {
    const last = await publisher.stop();
    for (const tab of tabs) {
      await tab.has(last);
      const { ids, gaps } = await tab.notes();
      assert.deepEqual({ ids, gaps }, { ids: publisher.ids, gaps: [] });
    }
  }

  it("have one connection, and each gets every message", async () => {
    const tabs = [await open(), await open(), await open()];
    await leaderOf(tabs);
    assert.equal(await sockets(), 1);
    const publisher = new Publisher(server, name, "m", 100);
    await new Promise((resolve) => setTimeout(resolve, 700));
    await complete(tabs, publisher);
  });

  for (const [how, end] of /** @type {[string, (tab: Tab) => Promise<unknown>][]} */ ([
    ["is closed", (tab) => tab.page.close()],
    ["goes to another page", (tab) => tab.page.goto("about:blank")],
    ["closes its client", (tab) => tab.call("close")],
    ["crashes", async (tab) => {
      const cdp = await tab.page.context().newCDPSession(tab.page);
      void cdp.send("Page.crash").catch(() => {});
      await tab.page.waitForEvent("crash");
    }],
  ])) {
    it(`go on when the leading one ${how}, without a loss or a repetition`, async () => {
      const tabs = [await open(), await open(), await open()];
      const [leader, ...others] = await leaderOf(tabs);
      const publisher = new Publisher(server, name, "m", 100);
      await new Promise((resolve) => setTimeout(resolve, 300));
      await end(leader);
      const [second, third] = await leaderOf(others);
      await new Promise((resolve) => setTimeout(resolve, 300));
      await second.page.close();
      const last = /** @type {Tab} */ (third);
      await leaderOf([last]);
      await new Promise((resolve) => setTimeout(resolve, 300));
      await complete([last], publisher);
      await eventually("one connection is left", async () => (await sockets()) === 1);
      const { states } = await last.notes();
      assert.ok(!states.includes("waiting"), states.join());
    });
  }

  it("go on without the leading one when it hangs, and with it when it is back", async () => {
    const [leader, follower] = await leaderOf([await open(), await open()]);
    const publisher = new Publisher(server, name, "m", 20);
    await follower?.has("m-3");
    const hung = leader.page.evaluate(() => {
      for (const end = Date.now() + 12_000; Date.now() < end;);
    });
    await new Promise((resolve) => setTimeout(resolve, 200));
    const sent = publisher.ids.length;
    await follower?.call("wake");
    await follower?.has(`m-${sent + 20}`);
    assert.ok(await follower?.leads(), "while the other one hangs");
    await hung;
    await complete([leader, /** @type {Tab} */ (follower)], publisher);
    assert.equal(await leader.leads(), false);
    await eventually("one connection is left", async () => (await sockets()) === 1);
  });

  it("a new tab gets what comes from then on", async () => {
    const first = await open();
    const publisher = new Publisher(server, name, "m", 50);
    await first.has("m-10");
    const second = await open();
    const sent = publisher.ids.length;
    const next = `m-${sent + 1}`; // `m-${sent}` may be on its way already
    await second.has(next);
    await first.has(await publisher.stop());
    await second.has(/** @type {string} */ (publisher.ids.at(-1)));
    const { ids } = await second.notes();
    assert.ok(ids.includes(next) && ids.length < publisher.ids.length);
    assert.deepEqual(ids, publisher.ids.slice(-ids.length));
    assert.equal(await sockets(), 1);
  });

  it("each can say that a message was read, and gets the receipts", async () => {
    const tabs = [await open(), await open()];
    const [, follower] = await leaderOf(tabs);
    await server.call("POST", "/v1/messages", { to: name, from: name, id: "wanted", receipt: "read", data: 1 });
    await follower?.has("wanted");
    await follower?.call("markRead", "wanted");
    for (const tab of tabs) {
      await eventually("read", async () => (await tab.notes()).receipts.some((one) => one.state === "read"));
    }
  });

  it("are all told to stay away, and come back when they are told to", async () => {
    const tabs = [await open(), await open()];
    const publisher = new Publisher(server, name, "m", 20);
    await tabs[1]?.has("m-3");
    await server.call("DELETE", `/v1/clients/${name}/connections`);
    for (const tab of tabs) await eventually("closed", async () => (await tab.notes()).states.at(-1) === "closed");
    // Both are there before one of them is open: who comes later is told of a gap instead.
    let bothAreThere = () => {};
    ready = new Promise((resolve) => (bothAreThere = () => resolve(undefined)));
    const back = tabs.map((tab) => tab.call("connect"));
    for (const tab of tabs) await eventually("connecting", async () => (await tab.notes()).states.at(-1) === "connecting");
    bothAreThere();
    await Promise.all(back);
    await leaderOf(tabs);
    await complete(tabs, publisher);
    await eventually("one connection is left", async () => (await sockets()) === 1);
  });

  it("are separate under other names", async () => {
    const tabs = await Promise.all(["a", "b"].map((shared) => Tab.open(context, server.web, { shared })));
    assert.deepEqual(await Promise.all(tabs.map((tab) => tab.leads())), [true, true]);
  });
});
