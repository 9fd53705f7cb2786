// The left side: the list of conversations.
import { byId, keyed, make, paintAvatar } from "./dom.js";

/** @typedef {import("./conversations.js").Conversation} Conversation */

export class ListView {
  #everyone = byId("everyone", HTMLElement);
  #rooms = byId("rooms", HTMLElement);
  #people = byId("people", HTMLElement);
  #count = byId("people-count", HTMLElement);
  #nobody = byId("people-empty", HTMLElement);

  /**
   * @param {{ open: (conversation: Conversation) => void, create: (room: string) => void }} actions
   */
  constructor(actions) {
    this.actions = actions;
    const form = byId("create", HTMLFormElement);
    const name = byId("room-name", HTMLInputElement);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const room = name.value.trim();
      if (!room) return name.focus();
      name.value = "";
      actions.create(room);
    });
  }

  /**
   * @param {import("./conversations.js").Conversations} conversations
   * @param {Conversation | undefined} active
   */
  show(conversations, active) {
    const people = conversations.people;
    this.#fill(this.#everyone, [conversations.everyone], active);
    this.#fill(this.#rooms, conversations.rooms, active);
    this.#fill(this.#people, people, active);
    const others = people.filter((person) => person.online).length;
    this.#count.textContent = String(others + 1);
    this.#nobody.hidden = people.length > 0;
  }

  /**
   * @param {HTMLElement} parent
   * @param {Conversation[]} conversations
   * @param {Conversation | undefined} active
   */
  #fill(parent, conversations, active) {
    keyed(parent, conversations, (one) => one.key, (one) => this.#create(one), (node, one) => update(node, one, one === active));
  }

  /** @param {Conversation} conversation */
  #create(conversation) {
    const row = make("li");
    const button = make("button", "item");
    button.type = "button";
    const words = make("span", "grow");
    words.append(make("span", "name"), make("span", "note"));
    button.append(make("span", "avatar"), words, make("span", "badge"));
    button.addEventListener("click", () => this.actions.open(conversation));
    row.append(button);
    return row;
  }
}

/**
 * @param {HTMLElement} row
 * @param {Conversation} conversation
 * @param {boolean} active
 */
function update(row, conversation, active) {
  const [button, avatar, name, note, badge] = ["button", ".avatar", ".name", ".note", ".badge"].map((selector) =>
    row.querySelector(selector));
  if (!(button instanceof HTMLElement && avatar instanceof HTMLElement && badge instanceof HTMLElement && name && note)) return;
  button.classList.toggle("unread", conversation.unread > 0);
  button.setAttribute("aria-current", String(active));
  paintAvatar(avatar, avatarOf(conversation));
  avatar.setAttribute("aria-hidden", "true");
  setText(name, conversation.title);
  setText(note, noteOf(conversation));
  badge.hidden = conversation.unread === 0;
  setText(badge, conversation.unread > 99 ? "99+" : String(conversation.unread));
  badge.setAttribute("aria-label", `${conversation.unread} unread`);
}

/** @param {Element} node @param {string} text */
function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** @param {Conversation} conversation */
export function avatarOf(conversation) {
  const { kind, title } = conversation;
  if (kind === "everyone") return { id: "everyone", name: title, square: true, sign: "@" };
  if (kind === "room") return { id: title, name: title, square: true, sign: "#" };
  return { id: conversation.id, name: title, here: conversation.online };
}

/** @param {Conversation} conversation */
function noteOf(conversation) {
  if (conversation.kind === "room") {
    const members = plural(conversation.members, "member");
    return conversation.joined ? `${members}, you are in` : members;
  }
  if (conversation.last) return conversation.last.text;
  if (conversation.kind === "everyone") return "Broadcasts to all who are online";
  return conversation.online ? "Online" : "Offline";
}

/** @param {number} n @param {string} noun */
export function plural(n, noun) {
  return `${n} ${noun}${n === 1 ? "" : "s"}`;
}
