// The connection indicator and the banner above the messages.
import { byId } from "./dom.js";

/** What to tell about close codes that say: stay away. */
const STAYED_AWAY = new Map([
  [4500, "The server signed you out."],
  [4501, "You are connected from another window with this session."],
  [4502, "Your access was revoked."],
  [4503, "The connection was closed because of a protocol error."],
  [4504, "The connection was closed because it sent too much."],
]);

export class StatusView {
  #pill = byId("status", HTMLElement);
  #text = byId("status-text", HTMLElement);
  #live = byId("status-live", HTMLElement);
  #banner = byId("banner", HTMLElement);
  #bannerText = byId("banner-text", HTMLElement);
  #button = byId("banner-button", HTMLButtonElement);
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #countdown;

  /** @param {() => void} again connects now */
  constructor(again) {
    this.#button.addEventListener("click", again);
  }

  /** @param {import("./imtier.js").StateChange} change */
  show(change) {
    clearInterval(this.#countdown);
    this.#pill.dataset.state = change.state;
    switch (change.state) {
      case "open":
        this.#say("Online");
        this.#banner.hidden = true;
        break;
      case "connecting": // a banner that is up stays up until the connection is
        this.#say("Connecting");
        break;
      case "waiting":
        this.#say("Offline");
        this.#tell("Not connected. Trying again by itself.", "Try now");
        this.#tick(change.retryAt);
        this.#countdown = setInterval(() => this.#tick(change.retryAt), 250);
        break;
      case "closed": {
        this.#say("Disconnected");
        const { code, text } = change.reason;
        const why = STAYED_AWAY.get(code) ?? (text || "The connection was closed.");
        this.#tell(`${why} (${code})`, "Connect again");
      }
    }
  }

  /** Screen readers hear a change of state, not every second of the countdown. @param {string} text */
  #say(text) {
    this.#text.textContent = text;
    if (this.#live.textContent !== text) this.#live.textContent = text;
  }

  /** @param {number} until */
  #tick(until) {
    const seconds = Math.ceil((until - Date.now()) / 1000);
    this.#text.textContent = seconds > 0 ? `Offline, retry in ${seconds} s` : "Offline";
  }

  /** @param {string} text @param {string} button */
  #tell(text, button) {
    if (this.#bannerText.textContent !== text) this.#bannerText.textContent = text;
    this.#button.textContent = button;
    this.#banner.hidden = false;
  }
}
