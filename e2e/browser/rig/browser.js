// Real Chromium windows with the demo page.
import { existsSync } from "node:fs";
import { chromium } from "playwright-core";
import { startImdev } from "./imdev.js";

const FLAGS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
];
const TIMEOUT_MS = 30_000; // some of it the pause after some attempts to connect, or the grace of those who went offline
const PLACES = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/** Starts Chromium: CHROMIUM, or where it usually is. */
export function startBrowser() {
  const executablePath = process.env["CHROMIUM"] ?? PLACES.find((path) => existsSync(path));
  if (!executablePath) throw new Error("no Chromium found: install it, or set CHROMIUM to its path");
  return chromium.launch({ executablePath, args: FLAGS });
}

/**
 * Starts imdev and Chromium, both or none.
 * @returns {Promise<[import("./imdev.js").Imdev, import("playwright-core").Browser]>}
 */
export async function startBoth() {
  const server = await startImdev();
  try {
    return [server, await startBrowser()];
  } catch (error) {
    await server.stop(); // or the test would wait for it
    throw error;
  }
}

/**
 * A window of its own, like a separate person's browser.
 * @typedef {{ page: import("playwright-core").Page, name: string, id: string, asked: string[], errors: string[] }} Window
 *   asked: every URL the window asked for; errors: what the page threw or the browser complained about
 */

/**
 * @param {import("playwright-core").Browser} browser
 * @param {string} web
 * @param {import("playwright-core").BrowserContextOptions} [options]
 */
export async function openPage(browser, web, options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.setDefaultTimeout(TIMEOUT_MS);
  /** @type {string[]} */
  const asked = [];
  /** @type {string[]} */
  const errors = [];
  page.on("request", (request) => asked.push(request.url()));
  page.on("websocket", (socket) => asked.push(socket.url()));
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => {
    // 503: on a busy machine the server may lose sight of Redis for a moment. The page tries again.
    if (message.type() === "error" && !/ 503\b/u.test(message.text())) errors.push(message.text());
  });
  // Lets a test cut the connection, and keep the page away: with window.away set, sockets go where nobody listens.
  await page.addInitScript(() => {
    const sockets = /** @type {WebSocket[]} */ ([]);
    Object.assign(window, { sockets });
    const Original = window.WebSocket;
    window.WebSocket = class extends Original {
      /** @param {string | URL} url @param {string | string[]} [protocols] */
      constructor(url, protocols) {
        super(/** @type {any} */ (window).away ? "ws://127.0.0.1:1/" : url, protocols);
        if (!(/** @type {any} */ (window).away)) sockets.push(this);
      }
    };
  });
  await page.goto(web);
  return { page, asked, errors };
}

/**
 * Opens the page, chooses a nickname and waits until it is online.
 * @param {import("playwright-core").Browser} browser
 * @param {string} web
 * @param {string} name
 * @param {import("playwright-core").BrowserContextOptions} [options]
 * @returns {Promise<Window>}
 */
export async function enter(browser, web, name, options) {
  const { page, asked, errors } = await openPage(browser, web, options);
  await page.getByLabel("Nickname").fill(name);
  await page.keyboard.press("Enter");
  await online(page);
  const id = await page.evaluate(() => JSON.parse(sessionStorage.getItem("imtier.session") ?? "{}").clientId);
  return { page, name, id, asked, errors };
}

/** @param {import("playwright-core").Page} page */
export function online(page) {
  return page.locator("#status[data-state=open]").waitFor({ state: "attached" });
}

/** @param {Window} window @param {string} name */
export async function openRoom({ page }, name) {
  await page.locator("#rooms").getByRole("button", { name }).click();
  await page.getByRole("button", { name: "Leave room" }).waitFor();
}

/** @param {Window} window @param {string} name */
export async function openPerson({ page }, name) {
  await page.locator("#people").getByRole("button", { name }).click();
  await page.locator("#chat-title", { hasText: name }).waitFor();
}

/** @param {Window} window @param {string} text */
export async function say({ page }, text) {
  await page.getByLabel("Message", { exact: true }).fill(text);
  await page.keyboard.press("Enter");
}

/** Waits for a message or notice in the open conversation. @param {Window} window @param {string} text */
export function sees({ page }, text) {
  return page.locator("#log").getByText(text, { exact: true }).first().waitFor();
}
