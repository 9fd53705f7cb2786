// The page that shows the API.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { startBoth } from "../rig/browser.js";
import { eventually } from "../rig/eventually.js";

describe("the page of the API", () => {
  /** @type {import("../rig/imdev.js").Imdev} */
  let server;
  /** @type {import("playwright-core").Browser} */
  let browser;
  /** @type {import("playwright-core").Page} */
  let page;

  before(async () => {
    [server, browser] = await startBoth();
    page = await browser.newPage();
    page.setDefaultTimeout(10_000);
    await page.goto(`${server.web}/docs`);
    await page.getByLabel("API key").fill(server.apiKey);
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
  });

  /** A route, unfolded. @param {string} method @param {string} path */
  async function route(method, path) {
    const one = page.locator("details.route", { has: page.locator(`.method.${method}`) })
      .filter({ has: page.getByText(path, { exact: true }) });
    await one.locator("summary").click();
    return { one, send: one.getByRole("button", { name: "Send" }), stop: one.getByRole("button", { name: "Stop" }), out: one.getByRole("status") };
  }

  it("shows an answer", async () => {
    const { send, stop, out } = await route("get", "/v1/stats");
    await send.click();
    await eventually("the answer", async () => /^200 .*\n\{[^]*\}$/u.test(await out.textContent() ?? ""));
    assert.ok(await send.isEnabled());
    assert.equal(await stop.isVisible(), false);
  });

  it("shows events as they come, until they are stopped", async () => {
    const { send, stop, out } = await route("get", "/v1/events");
    for (const group of ["first", "second"]) {
      await send.click();
      await eventually("the stream", async () => (await out.textContent())?.startsWith("200 "));
      await eventually(`the member of ${group}`, async () => {
        await server.call("PUT", `/v1/groups/${group}/members/ann`, {});
        await server.call("DELETE", `/v1/groups/${group}/members/ann`);
        return (await out.textContent())?.includes(`"${group}"`);
      });
      assert.equal(await send.isEnabled(), false);
      await stop.click();
      await eventually("the end", () => send.isEnabled());
      assert.match(await out.textContent() ?? "", /^200 [^]*Stopped\.$/u);
      assert.equal(await stop.isVisible(), false);
    }
  });

  it("unfolds a route again by the link that unfolded it", async () => {
    const link = page.locator("#index a").nth(2);
    await link.click();
    const target = page.locator(`#${new URL(page.url()).hash.slice(1)}`);
    const isOpen = () => target.evaluate((one) => /** @type {HTMLDetailsElement} */ (one).open);
    await eventually("it is open", isOpen);
    await target.locator("summary").click();
    assert.equal(await isOpen(), false);
    await link.click();
    await eventually("it is open again", isOpen);
  });
});
