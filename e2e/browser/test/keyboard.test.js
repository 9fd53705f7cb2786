// The page without a mouse, and on a phone.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { enter, openPage, online, say, sees, startBoth } from "../rig/browser.js";

describe("the page for everybody", () => {
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

  it("can be used by keyboard alone", async () => {
    const { page } = await openPage(browser, server.web);
    const press = (/** @type {string[]} */ ...keys) => keys.reduce((done, key) => done.then(() => page.keyboard.press(key)), Promise.resolve());
    await page.keyboard.type("Kay"); // the nickname has the focus
    await press("Enter");
    await online(page);
    /** Tabs until the focus is on something with that name. @param {RegExp} name */
    const tabTo = async (name) => {
      for (let i = 0; i < 40; i++) {
        await press("Tab");
        const focused = await page.evaluate(() => {
          const node = document.activeElement;
          return `${node?.getAttribute("aria-label") ?? ""} ${node?.textContent ?? ""} ${node?.id ?? ""}`;
        });
        if (name.test(focused)) return;
      }
      assert.fail(`the focus does not reach ${name}`);
    };
    await page.locator("#rooms").getByRole("button", { name: "Lounge" }).waitFor();
    await tabTo(/Lounge/u);
    const outline = await page.evaluate(() => getComputedStyle(/** @type {Element} */ (document.activeElement)).outlineStyle);
    assert.equal(outline, "solid", "the focus can be seen");
    await press("Enter");
    await page.getByRole("button", { name: "Leave room" }).waitFor();
    await page.locator("#text:focus").waitFor(); // once the history is there
    await page.keyboard.type("typed");
    await press("Shift+Enter");
    await page.keyboard.type("on two lines");
    await press("Enter");
    await page.locator("#log .body", { hasText: "typed\non two lines" }).waitFor();
    await page.keyboard.type("again"); // the focus stayed
    await press("Enter");
    await page.locator("#log .body", { hasText: "again" }).waitFor();
    assert.equal(await page.locator("#log").getAttribute("role"), "log");
  });

  it("shows one pane at a time on a phone, without scrolling sideways", async () => {
    const bo = await enter(browser, server.web, "Bo", { viewport: { width: 360, height: 640 }, hasTouch: true, isMobile: true });
    const { page } = bo;
    await page.locator("#rooms").getByRole("button", { name: "Lounge" }).tap();
    await page.locator("#chat-title", { hasText: "Lounge" }).waitFor();
    assert.equal(await page.locator("#rooms").isVisible(), false);
    await page.getByRole("button", { name: "Leave room" }).waitFor();
    await say(bo, `a${"very".repeat(60)}longword`);
    await sees(bo, `a${"very".repeat(60)}longword`);
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.equal(overflow, 0);
    await page.getByRole("button", { name: "Back to the list" }).tap();
    await page.locator("#rooms").waitFor();
    await page.locator("#everyone button").tap();
    await page.goBack(); // the phone's own button does the same
    await page.locator("#rooms").waitFor();
  });

  it("gives every control a name", async () => {
    const { page } = await enter(browser, server.web, "Ann");
    await page.locator("#rooms").getByRole("button", { name: "Lounge" }).click();
    await page.getByRole("button", { name: "Leave room" }).waitFor();
    const nameless = await page.evaluate(() => [...document.querySelectorAll("button, input, textarea")]
      .filter((node) => !(node.textContent?.trim() || node.getAttribute("aria-label") || /** @type {HTMLInputElement} */ (node).labels?.length))
      .filter((node) => node.checkVisibility())
      .map((node) => `${node.tagName} ${node.id}`));
    assert.deepEqual(nameless, []);
  });

  for (const colorScheme of /** @type {const} */ (["light", "dark"])) {
    it(`has enough contrast in ${colorScheme}`, async () => {
      const { page } = await enter(browser, server.web, "Con", { colorScheme });
      await page.locator("#rooms").getByRole("button", { name: "Lounge" }).click();
      await page.getByLabel("Message", { exact: true }).fill("how do I look?");
      await page.keyboard.press("Enter");
      await page.locator("#log .msg.mine").waitFor();
      await page.locator("#log .sending").waitFor({ state: "detached" });
      const poor = await page.evaluate(contrasts);
      assert.deepEqual(poor, []);
    });
  }
});

/** Runs in the page: texts whose contrast is below 4.5 : 1 (WCAG 2.1 AA). */
function contrasts() {
  /** @param {string} color */
  const parse = (color) => {
    const canvas = document.createElement("canvas").getContext("2d");
    if (!canvas) return [0, 0, 0, 0];
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  /** @param {number[]} rgb */
  const luminance = (rgb) => {
    const [r = 0, g = 0, b = 0] = rgb.map((value) => (value / 255 <= 0.03928 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  /** @param {Element | null} node @returns {number[]} */
  const ground = (node) => {
    for (; node; node = node.parentElement) {
      const color = parse(getComputedStyle(node).backgroundColor);
      if (color[3] === 255) return color;
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const node of document.querySelectorAll("body *")) {
    const text = [...node.childNodes].filter((child) => child.nodeType === Node.TEXT_NODE).map((child) => child.textContent?.trim()).join("");
    if (!text || !node.checkVisibility() || node.closest(".quiet")) continue;
    const [a, b] = [luminance(parse(getComputedStyle(node).color)), luminance(ground(node))].sort((x, y) => y - x);
    const ratio = (/** @type {number} */ (a) + 0.05) / (/** @type {number} */ (b) + 0.05);
    if (ratio < 4.5) poor.push(`${text}: ${ratio.toFixed(2)}`);
  }
  return poor;
}
