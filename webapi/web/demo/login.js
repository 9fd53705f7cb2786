// The first screen: choosing a nickname.
import { byId } from "./dom.js";

export class Login {
  #screen = byId("welcome", HTMLElement);
  #form = byId("login", HTMLFormElement);
  #name = byId("nickname", HTMLInputElement);
  #error = byId("login-error", HTMLElement);

  /** @param {(name: string) => Promise<void>} enter logs in; a failure's message is shown */
  constructor(enter) {
    this.#form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const name = this.#name.value.trim();
      if (!name) return this.#fail("Choose a nickname first.");
      this.#fail("");
      const button = this.#form.querySelector("button");
      if (button) button.disabled = true;
      try {
        await enter(name);
      } catch (error) {
        this.#fail(error instanceof Error ? error.message : String(error));
      } finally {
        if (button) button.disabled = false;
      }
    });
  }

  /** @param {string} name the nickname to offer @param {string} [error] */
  show(name, error = "") {
    this.#screen.hidden = false;
    this.#name.value = name;
    this.#fail(error);
    this.#name.focus();
  }

  hide() {
    this.#screen.hidden = true;
  }

  /** @param {string} message */
  #fail(message) {
    this.#error.textContent = message;
    if (message) this.#name.focus();
  }
}
