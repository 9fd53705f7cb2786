// Text that wants to be markup, and names that want to be somebody else's.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { enter, openPage, openPerson, openRoom, say, sees, startBoth } from "../rig/browser.js";

const MARKUP = `<img src=x onerror="window.hit=1"><script>window.hit=1</script>`;
const NAME = `<b onclick=x>"Eve'&`;

describe("hostile text", () => {
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

  it("stays text in nicknames, rooms and messages", async () => {
    const eve = await enter(browser, server.web, NAME);
    const bo = await enter(browser, server.web, "Bo");
    await openRoom(bo, "Lounge");
    await openRoom(eve, "Lounge");
    await sees(bo, `${NAME} came in`);
    await say(eve, MARKUP);
    await sees(bo, MARKUP);
    await openPerson(bo, NAME);
    await openPerson(eve, "Bo");
    await say(eve, MARKUP);
    await sees(bo, MARKUP);
    await eve.page.getByLabel("Name of a new room").fill("<i>room</i>");
    await eve.page.keyboard.press("Enter");
    await bo.page.locator("#rooms").getByRole("button", { name: "<i>room</i>" }).waitFor();
    for (const { page } of [eve, bo]) {
      assert.equal(await page.evaluate(() => "hit" in window), false);
      assert.equal(await page.locator(".log img, .log script, .log b, .items b, .items i").count(), 0);
    }
  });

  it("is refused as a nickname when it cannot be seen", async () => {
    const { page } = await openPage(browser, server.web);
    for (const name of ["\u202eevil", "\u200b", "a\u0007b"]) {
      const answer = await fetch(`${server.web}/demo/session`, {
        method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ name }),
      });
      assert.equal(answer.status, 400, JSON.stringify(name));
    }
    await page.getByLabel("Nickname").fill("\u202eevil");
    await page.keyboard.press("Enter");
    await page.getByRole("alert").getByText("A nickname has").waitFor();
  });

  it("cannot run a script that is not the page's", async () => {
    const answer = await fetch(server.web);
    const policy = answer.headers.get("content-security-policy") ?? "";
    assert.match(policy, /default-src 'none'/u);
    assert.match(policy, /script-src 'self'(;|$)/u);
    assert.doesNotMatch(policy, /unsafe/u);
    assert.equal(answer.headers.get("x-content-type-options"), "nosniff");
    assert.equal(answer.headers.get("referrer-policy"), "no-referrer");
    const { page } = await openPage(browser, server.web);
    await page.evaluate(() => {
      const script = document.createElement("script");
      script.textContent = "window.hit = 1";
      document.head.append(script);
    });
    assert.equal(await page.evaluate(() => "hit" in window), false);
  });

  it("cannot speak for somebody else, nor read or write where it does not belong", async () => {
    const eve = await session(server.web, "Eve");
    const bo = await session(server.web, "Bo");
    const text = "hello";
    assert.equal((await call(server.web, "", "GET", "me")).status, 401);
    assert.equal((await call(server.web, `${eve.token}x`, "GET", "me")).status, 401);
    assert.equal((await call(server.web, eve.token, "POST", "messages", { id: "1", from: bo.clientId, to: { everyone: true }, text })).status, 400);
    assert.equal((await call(server.web, eve.token, "POST", "messages", { id: "1", to: { room: "Lounge" }, text })).status, 403);
    assert.equal((await call(server.web, eve.token, "GET", "messages?room=Lounge")).status, 403);
    assert.equal((await call(server.web, eve.token, "POST", "messages", { id: "1", to: { person: "a-product-user" }, text })).status, 404);
    assert.equal((await call(server.web, eve.token, "POST", "messages", { id: "1", to: { everyone: true }, text: "x".repeat(2001) })).status, 400);
    assert.equal((await call(server.web, eve.token, "POST", "messages", { id: "1", to: { everyone: true }, text: "x".repeat(99_999) })).status, 413);
  });
});

/** @param {string} web @param {string} name @returns {Promise<{ token: string, clientId: string }>} */
async function session(web, name) {
  return (await call(web, "", "POST", "session", { name })).json();
}

/** @param {string} web @param {string} token @param {string} method @param {string} path @param {unknown} [body] */
function call(web, token, method, path, body) {
  return fetch(`${web}/demo/${path}`, {
    method, headers: token ? { Authorization: `Bearer ${token}` } : {},
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}
