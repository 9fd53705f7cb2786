// The right side: one conversation.
import { byId, keyed, make, paintAvatar } from "./dom.js";
import { nameOf } from "./ids.js";
import { avatarOf, plural } from "./list.js";
import { clockTime, dayName, fullTime, sameDay } from "./time.js";

/**
 * @typedef {import("./conversations.js").Conversation} Conversation
 * @typedef {import("./conversations.js").Message} Message
 * @typedef {{ key: string, day: string } | { key: string, message: Message, follows: boolean }} Line
 */

const TOGETHER_MS = 5 * 60_000; // messages of one sender this close stand under one name
const NEAR_PX = 80; // this close to the end counts as reading the end

export class ThreadView {
  #avatar = byId("chat-avatar", HTMLElement);
  #title = byId("chat-title", HTMLElement);
  #note = byId("chat-note", HTMLElement);
  #leave = byId("chat-leave", HTMLButtonElement);
  #scroller = byId("scroller", HTMLElement);
  #log = byId("log", HTMLElement);
  #empty = byId("empty", HTMLElement);
  #emptyTitle = byId("empty-title", HTMLElement);
  #emptyNote = byId("empty-note", HTMLElement);
  #emptyButton = byId("empty-button", HTMLButtonElement);
  #newer = byId("newer", HTMLButtonElement);
  /** @type {Conversation | undefined} */
  #shown;
  #lastId = "";

  /**
   * @param {{ join: () => void, leave: () => void, retry: (message: Message) => void }} actions
   */
  constructor(actions) {
    this.actions = actions;
    this.#leave.addEventListener("click", actions.leave);
    this.#emptyButton.addEventListener("click", actions.join);
    this.#newer.addEventListener("click", () => this.#toEnd());
    this.#scroller.addEventListener("scroll", () => {
      if (this.#atEnd()) this.#newer.hidden = true;
    });
  }

  /**
   * @param {Conversation} conversation
   * @param {string} me
   * @param {number} others people online besides me
   */
  show(conversation, me, others) {
    const opened = conversation !== this.#shown;
    const follow = opened || this.#atEnd();
    this.#shown = conversation;
    if (opened) this.#log.replaceChildren();
    this.#head(conversation, others);
    keyed(this.#log, lines(conversation.messages), (line) => line.key,
      (line) => ("day" in line ? make("li", "day", line.day) : this.#create(line.message, me)),
      (node, line) => this.#update(node, line));
    this.#placeholder(conversation);
    const last = conversation.messages.at(-1);
    const grew = last !== undefined && last.id !== this.#lastId;
    this.#lastId = last?.id ?? "";
    if (follow || (grew && last.from === me)) this.#toEnd();
    else if (grew) this.#newer.hidden = false;
  }

  /** @param {Conversation} conversation @param {number} others */
  #head(conversation, others) {
    paintAvatar(this.#avatar, avatarOf(conversation));
    this.#title.textContent = conversation.title;
    this.#leave.hidden = !conversation.joined;
    this.#note.textContent =
      conversation.kind === "everyone" ? `Broadcast to ${plural(others + 1, "person").replace("persons", "people")} online`
      : conversation.kind === "room" ? plural(conversation.members, "member")
      : conversation.online ? "Online" : "Offline, will see it when back";
  }

  /** @param {Conversation} conversation */
  #placeholder(conversation) {
    const outside = conversation.kind === "room" && !conversation.joined;
    this.#empty.hidden = !outside && conversation.messages.length > 0;
    this.#log.hidden = conversation.messages.length === 0;
    this.#emptyButton.hidden = !outside;
    if (outside) {
      this.#emptyTitle.textContent = `You are not in ${conversation.title}`;
      this.#emptyNote.textContent = "Join to read along and to write.";
      this.#emptyButton.textContent = "Join room";
    } else {
      this.#emptyTitle.textContent = conversation.kind === "person" ? `Say hello to ${conversation.title}` : "Nothing here yet";
      this.#emptyNote.textContent =
        conversation.kind === "everyone" ? "What you write here reaches everybody who is online."
        : conversation.kind === "room" ? "Be the first to write something."
        : "Only the two of you see this conversation.";
    }
  }

  /** @param {Message} message @param {string} me */
  #create(message, me) {
    if (message.kind === "notice") {
      const row = make("li", "notice", message.text);
      row.title = fullTime(message.time);
      return row;
    }
    const mine = message.from === me;
    const row = make("li", mine ? "msg mine" : "msg");
    const name = message.from ? nameOf(message.from) : "System";
    const avatar = make("span", "avatar");
    paintAvatar(avatar, { id: message.from, name });
    avatar.setAttribute("aria-hidden", "true");
    const who = make("span", mine ? "quiet" : "who", mine ? "You" : name);
    const bubble = make("div", "bubble");
    const time = make("time", "", clockTime(message.time));
    time.dateTime = new Date(message.time).toISOString();
    time.title = fullTime(message.time);
    bubble.append(make("span", "body", message.text), time);
    row.append(avatar, who, bubble);
    return row;
  }

  /** @param {HTMLElement} row @param {Line} line */
  #update(row, line) {
    if ("day" in line) return;
    const { message, follows } = line;
    row.classList.toggle("follows", follows);
    row.classList.toggle("sending", message.state === "sending");
    const failed = row.querySelector(".failed");
    if (message.state === "failed" && !failed) row.append(this.#failure(message));
    if (message.state !== "failed") failed?.remove();
  }

  /** @param {Message} message */
  #failure(message) {
    const note = make("span", "failed", "Not sent.");
    const again = make("button", "", "Try again");
    again.type = "button";
    again.addEventListener("click", () => this.actions.retry(message));
    note.append(again);
    return note;
  }

  #atEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
    return scrollHeight - scrollTop - clientHeight < NEAR_PX;
  }

  #toEnd() {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
    this.#newer.hidden = true;
  }
}

/**
 * The messages with a line for each new day.
 * @param {Message[]} messages
 */
function lines(messages) {
  /** @type {Line[]} */
  const out = [];
  /** @type {Message | undefined} */
  let before;
  for (const message of messages) {
    const newDay = !before || !sameDay(before.time, message.time);
    if (newDay) out.push({ key: `day ${message.id}`, day: dayName(message.time) });
    const follows = !newDay && before !== undefined && together(before, message);
    out.push({ key: message.id, message, follows });
    before = message;
  }
  return out;
}

/** @param {Message} a @param {Message} b */
function together(a, b) {
  return a.kind === "chat" && b.kind === "chat" && a.from === b.from && b.time - a.time < TOGETHER_MS;
}
