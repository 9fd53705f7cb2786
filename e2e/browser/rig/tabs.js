// Tabs of one browser that use the SDK, without any page of ours around it.
import { eventually } from "./eventually.js";

/**
 * What a tab noted.
 * @typedef {{ ids: string[], gaps: any[], states: string[], errors: string[], receipts: any[] }} Notes
 */

export class Tab {
  /** @param {import("playwright-core").Page} page */
  constructor(page) {
    this.page = page;
  }

  /**
   * Opens a tab and connects it. The context's pages get fresh URLs by `connectUrl`, see `newWindow`.
   * @param {import("playwright-core").BrowserContext} context
   * @param {string} web
   * @param {Record<string, unknown>} options of the client
   */
  static async open(context, web, options) {
    const tab = new Tab(await context.newPage());
    await tab.page.goto(web);
    await tab.connect(options);
    return tab;
  }

  /** @param {Record<string, unknown>} options */
  async connect(options) {
    await this.page.evaluate(async (options) => {
      const page = /** @type {any} */ (window);
      const { ImClient } = await import(/** @type {any} */ ("/demo/imtier.js"));
      const sockets = page.sockets = /** @type {WebSocket[]} */ ([]);
      class Noted extends WebSocket {
        /** @param {string} url @param {string} protocol */
        constructor(url, protocol) {
          super(url, protocol);
          sockets.push(this);
        }
      }
      const notes = page.notes = /** @type {any} */ ({ ids: [], gaps: [], states: [], errors: [], receipts: [] });
      const im = page.im = new ImClient({ connectUrl: () => page.connectUrl(), WebSocket: Noted, ...options });
      im.on("message", (/** @type {any} */ m) => void notes.ids.push(m.id));
      im.on("gap", (/** @type {any} */ gap) => void notes.gaps.push(gap));
      im.on("state", (/** @type {any} */ change) => void notes.states.push(change.state));
      im.on("error", (/** @type {any} */ error) => void notes.errors.push(`${error.code} ${error.message}`));
      im.on("receipt", (/** @type {any} */ receipt) => void notes.receipts.push(receipt));
      await im.connect();
    }, options);
  }

  /** @returns {Promise<Notes>} */
  notes() {
    return this.page.evaluate(() => /** @type {any} */ (window).notes);
  }

  /** Whether this tab holds the socket. @returns {Promise<boolean>} */
  leads() {
    return this.page.evaluate(() => /** @type {any} */ (window).sockets.some((/** @type {WebSocket} */ one) => one.readyState === 1));
  }

  /** @param {string} id */
  async has(id) {
    await eventually(`a tab has ${id}`, async () => (await this.notes()).ids.includes(id), 20_000);
  }

  /** Calls a method of the client. @param {string} method @param {unknown[]} args */
  call(method, ...args) {
    return this.page.evaluate(([method, args]) => /** @type {any} */ (window).im[/** @type {string} */ (method)](...args),
      /** @type {[string, any[]]} */ ([method, args]));
  }
}

/**
 * A window whose tabs are one client.
 * @param {import("playwright-core").Browser} browser
 * @param {import("./imdev.js").Imdev} server
 * @param {string} clientId
 * @param {() => unknown} [ready] what a URL waits for
 */
export async function newWindow(browser, server, clientId, ready) {
  const context = await browser.newContext();
  await context.exposeFunction("connectUrl", async () => {
    await ready?.();
    return server.url(clientId);
  });
  return context;
}

/** Sends numbered messages to a client until it is stopped, one after the other. */
export class Publisher {
  /** @type {string[]} */
  ids = [];
  #stopped = false;
  /** @type {unknown} */
  #failure;

  /** @param {import("./imdev.js").Imdev} server @param {string} to @param {string} prefix @param {number} perSecond */
  constructor(server, to, prefix, perSecond) {
    // A test that fails leaves it running until the server is gone: that is told to whoever stops it, and to nobody else.
    this.done = this.#run(server, to, prefix, 1000 / perSecond).catch((error) => (this.#failure = error));
  }

  /** Ends, and returns the last id. */
  async stop() {
    this.#stopped = true;
    await this.done;
    if (this.#failure) throw this.#failure;
    return /** @type {string} */ (this.ids.at(-1));
  }

  /** @param {import("./imdev.js").Imdev} server @param {string} to @param {string} prefix @param {number} everyMs */
  async #run(server, to, prefix, everyMs) {
    const begin = Date.now();
    for (let n = 0; !this.#stopped; n++) {
      const id = `${prefix}-${n}`;
      await server.call("POST", "/v1/messages", { to, id, data: n });
      this.ids.push(id);
      const early = begin + n * everyMs - Date.now();
      if (early > 0) await new Promise((resolve) => setTimeout(resolve, early));
    }
  }
}
