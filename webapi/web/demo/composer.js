// The field that messages are written in.
import { byId } from "./dom.js";

export class Composer {
  #form = byId("composer", HTMLFormElement);
  #text = byId("text", HTMLTextAreaElement);
  /** What was begun in each conversation. @type {Map<string, string>} */
  #drafts = new Map();
  #key = "";

  /** @param {(text: string) => void} send */
  constructor(send) {
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      const text = this.#text.value.trim();
      if (!text || this.#text.disabled) return;
      this.#text.value = "";
      this.#grow();
      send(text);
      this.#text.focus();
    });
    this.#text.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#form.requestSubmit();
    });
    this.#text.addEventListener("input", () => this.#grow());
  }

  /** @param {import("./conversations.js").Conversation} conversation */
  show(conversation) {
    if (conversation.key !== this.#key) {
      this.#drafts.set(this.#key, this.#text.value);
      this.#key = conversation.key;
      this.#text.value = this.#drafts.get(this.#key) ?? "";
      this.#grow();
    }
    const outside = conversation.kind === "room" && !conversation.joined;
    this.#form.hidden = outside;
    this.#text.placeholder = conversation.kind === "everyone" ? "Broadcast to everyone" : `Message ${conversation.title}`;
  }

  focus() {
    this.#text.focus();
  }

  /** Follows the text's height where the browser does not do so by itself. */
  #grow() {
    if (CSS.supports("field-sizing", "content")) return;
    this.#text.style.height = "auto";
    this.#text.style.height = `${this.#text.scrollHeight + 2}px`;
  }
}
