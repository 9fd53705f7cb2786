// Two people with real browsers.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { enter, online, openPage, openPerson, openRoom, say, sees, startBoth } from "../rig/browser.js";

describe("the demo page", () => {
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
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
  });

  it("shows who is online, live", async () => {
    await ada.page.locator("#people").getByRole("button", { name: "Bo" }).waitFor();
    await bo.page.locator("#people").getByRole("button", { name: "Ada" }).waitFor();
    assert.equal(await ada.page.locator("#people-count").textContent(), "2");
  });

  it("shows who came while it asked who is there", async () => {
    const cleo = await openPage(browser, server.web);
    let came = () => {};
    const dora = new Promise((resolve) => (came = () => resolve(undefined)));
    let first = true;
    await cleo.page.route("**/demo/people", async (route) => {
      const response = await route.fetch();
      if (first) {
        first = false;
        await dora; // the answer is from before
      }
      await route.fulfill({ response });
    });
    await cleo.page.getByLabel("Nickname").fill("Cleo");
    await cleo.page.keyboard.press("Enter");
    await online(cleo.page);
    const other = await enter(browser, server.web, "Dora");
    const entry = cleo.page.locator("#people").getByRole("button", { name: "Dora" });
    await entry.waitFor();
    came();
    await cleo.page.locator("#people").getByRole("button", { name: "Ada" }).waitFor(); // only the answers have her
    assert.equal(await entry.count(), 1);
    await cleo.page.unrouteAll({ behavior: "wait" }); // or an answer that is still being fetched fails with the window
    for (const { page } of [cleo, other]) await page.context().close();
  });

  it("tells a room who enters, and counts its members", async () => {
    await openRoom(ada, "Lounge");
    await openRoom(bo, "Lounge");
    await sees(ada, "Bo came in");
    await ada.page.locator("#chat-note", { hasText: "2 members" }).waitFor();
    await ada.page.locator("#rooms .note", { hasText: "2 members, you are in" }).waitFor();
  });

  it("carries room chat both ways, each message once", async () => {
    await say(ada, "Hello from Ada");
    await sees(bo, "Hello from Ada");
    await say(bo, "Hello from Bo");
    await sees(ada, "Hello from Bo");
    await sees(bo, "Hello from Bo");
    for (const { page } of [ada, bo]) {
      await page.locator("#log .sending").waitFor({ state: "detached" }); // others may have it first
      assert.equal(await page.locator("#log .msg").count(), 2);
      assert.equal(await page.locator("#log .msg.mine").count(), 1);
    }
  });

  it("keeps the order of a burst, also when the first is slow", async () => {
    let slow = true;
    await ada.page.route("**/demo/messages", async (route) => {
      if (slow) {
        slow = false;
        await new Promise((resolve) => setTimeout(resolve, 500));
      }
      await route.continue();
    });
    for (let i = 0; i < 20; i++) await say(ada, `burst ${i}`);
    await sees(bo, "burst 19");
    await ada.page.unroute("**/demo/messages");
    const texts = await bo.page.locator("#log .body").allTextContents();
    assert.deepEqual(texts.filter((text) => text.startsWith("burst")), Array.from({ length: 20 }, (_, i) => `burst ${i}`));
  });

  it("carries direct messages both ways, with an unread badge", async () => {
    await openPerson(ada, "Bo");
    await say(ada, "just for Bo");
    const row = bo.page.locator("#people li", { hasText: "Ada" });
    await row.locator(".badge", { hasText: "1" }).waitFor();
    assert.match(await bo.page.title(), /^\(1\)/u);
    await openPerson(bo, "Ada");
    await sees(bo, "just for Bo");
    await row.locator(".badge").waitFor({ state: "hidden" });
    await say(bo, "just for Ada");
    await sees(ada, "just for Ada");
  });

  it("broadcasts to everybody", async () => {
    await bo.page.locator("#everyone button").click();
    await say(bo, "to all of you");
    await ada.page.locator("#everyone .badge", { hasText: "1" }).waitFor();
    await ada.page.locator("#everyone button").click();
    await sees(ada, "to all of you");
  });

  it("creates rooms that others see at once", async () => {
    await ada.page.getByLabel("Name of a new room").fill("Tea & cake");
    await ada.page.keyboard.press("Enter");
    await ada.page.getByRole("button", { name: "Leave room" }).waitFor();
    await say(ada, "first words");
    await openRoom(bo, "Tea & cake");
    await sees(bo, "first words"); // said before Bo came: from the history
  });

  it("tells a room who leaves", async () => {
    await sees(ada, "Bo came in");
    await bo.page.getByRole("button", { name: "Leave room" }).click();
    await sees(ada, "Bo left");
    await bo.page.getByRole("button", { name: "Join room" }).waitFor();
    await say(ada, "not for Bo");
    await sees(ada, "not for Bo");
    assert.equal(await bo.page.locator("#log").getByText("not for Bo").count(), 0);
  });

  it("is somebody else in each window, and the same after a reload", async () => {
    await openPerson(bo, "Ada");
    await bo.page.reload();
    await online(bo.page);
    assert.equal(await bo.page.locator("#me-name").textContent(), "Bo");
    await openPerson(bo, "Ada");
    await sees(bo, "just for Bo");
    await sees(bo, "just for Ada");
    assert.notEqual(ada.id, bo.id);
  });

  it("notices a closed window: offline, out of its rooms, with a notice", async () => {
    const cy = await enter(browser, server.web, "Cy");
    await openRoom(cy, "Tea & cake");
    await ada.page.locator("#rooms").getByRole("button", { name: "Tea & cake" }).click();
    await sees(ada, "Cy came in");
    await cy.page.context().close();
    await sees(ada, "Cy left");
    await ada.page.locator("#people").getByRole("button", { name: "Cy" }).waitFor({ state: "detached" });
    await ada.page.locator("#chat-note", { hasText: "1 member" }).waitFor();
  });

  it("asks for nothing outside, and reports no errors", async () => {
    const hosts = new Set([...ada.asked, ...bo.asked].map((url) => new URL(url).hostname));
    assert.deepEqual([...hosts], ["127.0.0.1"]);
    assert.deepEqual([...ada.errors, ...bo.errors], []);
  });
});
