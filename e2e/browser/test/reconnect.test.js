// The page comes back by itself, unless it was told to stay away.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { enter, online, openPerson, openRoom, say, sees, startBoth } from "../rig/browser.js";
import { eventually } from "../rig/eventually.js";

describe("reconnecting", () => {
  /** @type {import("../rig/imdev.js").Imdev} */
  let server;
  /** @type {import("playwright-core").Browser} */
  let browser;
  /** @type {import("../rig/browser.js").Window} */
  let ada;
  /** @type {import("../rig/browser.js").Window} */
  let bo;

  before(async () => {
    [server, browser] = await startBoth();
    ada = await enter(browser, server.web, "Ada");
    bo = await enter(browser, server.web, "Bo");
    await openRoom(ada, "Lounge");
    await openRoom(bo, "Lounge");
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
  });

  /** Closes the page's socket behind its back. @param {import("playwright-core").Page} page */
  const cut = (page) => page.evaluate(() => /** @type {any} */ (window).sockets.at(-1).close());
  /** @param {import("playwright-core").Page} page @returns {Promise<string[]>} */
  const urls = (page) => page.evaluate(() => /** @type {any} */ (window).sockets.map((/** @type {WebSocket} */ socket) => socket.url));

  /** Keeps the page from connecting. @param {boolean} on */
  const away = async (on) => {
    await bo.page.evaluate((on) => Object.assign(window, { away: on }), on);
    if (on) await bo.page.route("**/demo/connect", (route) => route.abort());
    else await bo.page.unroute("**/demo/connect");
  };

  it("uses no URL twice, and misses nothing", async () => {
    await openPerson(ada, "Bo"); // before: who is away for longer leaves the list
    await away(true); // for a moment: what is sent meanwhile has to come from the log
    await cut(bo.page);
    await bo.page.locator("#status:not([data-state=open])").waitFor();
    await say(ada, "this in private");
    await openRoom(ada, "Lounge");
    await say(ada, "said while Bo was away");
    await ada.page.locator("#log .sending").waitFor({ state: "detached" });
    await away(false);
    await online(bo.page);
    await sees(bo, "said while Bo was away");
    await bo.page.locator("#people li", { hasText: "Ada" }).locator(".badge", { hasText: "1" }).waitFor();
    const used = await urls(bo.page);
    assert.equal(new Set(used).size, used.length, "a URL was used twice");
  });

  it("comes back by its session, without asking the backend", async () => {
    let asked = 0;
    await bo.page.route("**/demo/connect", (route) => {
      asked++;
      return route.continue();
    });
    const before = (await urls(bo.page)).length;
    // As when the network changes: after a short connection the pause may be so long that it asks the backend first.
    await bo.page.evaluate(() => {
      const socket = /** @type {any} */ (window).sockets.at(-1);
      socket.addEventListener("close", () => dispatchEvent(new Event("online")));
      socket.close();
    });
    // It may be back before anybody sees that it was away.
    await eventually("another connection", async () => (await urls(bo.page)).length > before);
    await online(bo.page);
    await bo.page.unroute("**/demo/connect");
    assert.match((await urls(bo.page))[before] ?? "", /[?&]session=/u);
    assert.equal(asked, 0);
  });

  it("shows a countdown while the server is away, and comes back", async () => {
    await away(true);
    await cut(bo.page);
    await bo.page.locator("#status-text", { hasText: /retry in \d+ s/u }).waitFor();
    await bo.page.getByRole("alert").getByText("Not connected").waitFor();
    // The server is there again with the click: before, the page might come back by itself, and the button go.
    await bo.page.unroute("**/demo/connect");
    await bo.page.evaluate(() => addEventListener("click", () => Object.assign(window, { away: false }), { capture: true, once: true }));
    await bo.page.getByRole("button", { name: "Try now" }).click();
    await online(bo.page);
    await bo.page.locator("#banner").waitFor({ state: "hidden" });
  });

  it("marks a message that could not be sent, and sends it once when asked to", async () => {
    await bo.page.route("**/demo/messages", (route) => route.abort());
    await say(bo, "a stubborn message");
    await bo.page.getByText("Not sent.").waitFor();
    await bo.page.unroute("**/demo/messages");
    await bo.page.getByRole("button", { name: "Try again" }).click();
    await sees(ada, "a stubborn message");
    await bo.page.getByText("Not sent.").waitFor({ state: "detached" });
    assert.equal(await bo.page.locator("#log").getByText("a stubborn message").count(), 1);
  });

  it("goes back into its rooms after an absence longer than the grace", async () => {
    const left = ada.page.locator("#log").getByText("Bo left", { exact: true });
    const before = await left.count(); // on a busy machine the tests above may have taken as long
    await away(true);
    await cut(bo.page);
    await left.nth(before).waitFor();
    await away(false);
    await bo.page.evaluate(() => dispatchEvent(new Event("online")));
    await online(bo.page);
    await ada.page.locator("#chat-note", { hasText: "2 members" }).waitFor();
    await say(ada, "welcome back");
    await sees(bo, "welcome back");
  });

  it("stays away when it was forced offline, until the reader wants otherwise", async () => {
    const before = (await urls(bo.page)).length;
    const { closed } = await server.call("DELETE", `/v1/clients/${encodeURIComponent(bo.id)}/connections`);
    assert.equal(closed, 1);
    await bo.page.getByRole("alert").getByText("The server signed you out. (4500)").waitFor();
    await assert.rejects(eventually("another attempt", async () => (await urls(bo.page)).length > before, 3000));
    await bo.page.getByRole("button", { name: "Connect again" }).click();
    await online(bo.page);
    await say(ada, "there again");
    await sees(bo, "there again");
  });
});
