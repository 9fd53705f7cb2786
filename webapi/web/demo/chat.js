// One window's chat: what happens between the server, what is known, and what is shown.
import { ApiError } from "./api.js";
import { Composer } from "./composer.js";
import { Conversations } from "./conversations.js";
import { byId, paintAvatar } from "./dom.js";
import { newId } from "./ids.js";
import { ImClient } from "./imtier.js";
import { applyLobby, conversationOf, ownNotice, peerOf, toMessage } from "./inbound.js";
import { ListView } from "./list.js";
import { StatusView } from "./status.js";
import { ThreadView } from "./thread.js";

/**
 * @typedef {import("./conversations.js").Conversation} Conversation
 * @typedef {import("./conversations.js").Message} Message
 */

const REFRESH_MS = 60_000; // the lobby tells about changes; this mends what it could not tell
const NARROW = matchMedia("(max-width: 720px)");

export class Chat {
  #conversations = new Conversations();
  /** @type {Conversation} */
  #active = this.#conversations.everyone;
  #app = byId("app", HTMLElement);
  #painting = false;
  /** Ends when all that was written is sent: one after the other, so that the order stays. @type {Promise<void>} */
  #sending = Promise.resolve();
  #me = { clientId: "", name: "" };
  /** How often the lobby has told of people and rooms. */
  #told = 0;
  /** Of the one who is logged in. @type {ImClient | undefined} */
  #im;

  /**
   * @param {import("./api.js").Api} api
   * @param {(error: string) => void} signedOut
   */
  constructor(api, signedOut) {
    this.api = api;
    this.signedOut = signedOut;
    this.status = new StatusView(() => void this.#im?.connect());
    this.list = new ListView({
      open: (conversation) => this.#open(conversation),
      create: (room) => this.#open(this.#conversations.room(room)),
    });
    this.thread = new ThreadView({
      join: () => void this.#join(this.#active),
      leave: () => void this.#leave(this.#active),
      retry: (message) => this.#enqueue(this.#active, message),
    });
    this.composer = new Composer((text) => this.#write(text));
    byId("back", HTMLElement).addEventListener("click", () => history.back());
    addEventListener("popstate", () => this.#showList());
    addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.#app.classList.contains("reading")) history.back();
    });
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.#paint();
    });
    setInterval(() => void this.#refresh(), REFRESH_MS);
  }

  /**
   * @param {import("./api.js").Session} session
   * @param {string[]} rooms those the session is a member of
   */
  async begin(session, rooms) {
    this.#me = session;
    this.#conversations = new Conversations();
    this.#active = this.#conversations.everyone;
    for (const room of rooms) this.#conversations.room(room).joined = true;
    byId("me-name", HTMLElement).textContent = session.name;
    paintAvatar(byId("me-avatar", HTMLElement), { id: session.clientId, name: session.name });
    this.#app.hidden = false;
    this.#connect();
    this.#paint();
    await Promise.all([this.#refresh(), this.#loadInbox()]);
  }

  end() {
    this.#im?.close();
    this.#im = undefined;
    this.#app.hidden = true;
    document.title = "imtier chat";
  }

  #connect() {
    const im = this.#im = new ImClient({ connectUrl: () => this.#freshUrl() });
    im.on("state", (change) => this.#onState(change));
    im.on("message", (message) => this.#onMessage(message));
    im.on("gap", (gap) => this.#onGap(gap));
    im.on("error", (error) => {
      if (error.code === "handler") console.error(error); // the connection indicator tells of the others
    });
    void im.connect().catch(() => {}); // why it ended is told with the state
  }

  async #freshUrl() {
    const rooms = this.#conversations.rooms.filter((room) => room.joined).map((room) => room.id);
    try {
      return (await this.api.connect(rooms)).url;
    } catch (error) {
      this.#checkSession(error);
      throw error;
    }
  }

  /** A session that the server does not accept any more ends here. @param {unknown} error */
  #checkSession(error) {
    if (!(error instanceof ApiError) || error.status !== 401) return;
    this.end();
    this.signedOut("Your session has ended. Choose a nickname again.");
    throw Object.assign(error, { fatal: true });
  }

  /** @param {import("./imtier.js").StateChange} change */
  #onState(change) {
    this.status.show(change);
    if (change.state === "open") void this.#refresh();
  }

  /** @param {import("./imtier.js").Message<any>} received */
  #onMessage(received) {
    this.#paint();
    if (applyLobby(received, this.#conversations, this.#me.clientId)) {
      this.#told++;
      return;
    }
    const conversation = conversationOf(received, this.#conversations, this.#me.clientId);
    const message = toMessage(received);
    if (!conversation || !message) return;
    if (!conversation.add(message)) return;
    const seen = conversation === this.#active && !document.hidden && this.#reading();
    if (message.kind === "chat" && message.from !== this.#me.clientId && !seen) conversation.unread++;
  }

  /** The server cannot exclude that messages of a stream are missing. @param {import("./imtier.js").Gap} gap */
  #onGap({ stream, from }) {
    if (from === undefined) return; // this page has just begun, and loads the history anyway
    if (stream === "inbox") void this.#loadInbox();
    const conversation = conversationOf({ stream }, this.#conversations, this.#me.clientId);
    if (!conversation) return;
    conversation.add(ownNotice("Messages may be missing here"));
    if (conversation.kind === "room") void this.#loadRoom(conversation);
    this.#paint();
  }

  /** @param {Conversation} conversation */
  #open(conversation) {
    this.#active = conversation;
    if (NARROW.matches && !this.#app.classList.contains("reading")) history.pushState({ reading: true }, "");
    this.#app.classList.add("reading");
    this.#paint(true);
    if (conversation.kind === "room" && !conversation.joined) void this.#join(conversation);
    if (NARROW.matches) byId("chat-title", HTMLElement).focus(); // no keyboard over half of the screen unasked
    else this.composer.focus();
  }

  #showList() {
    this.#app.classList.remove("reading");
    this.#paint();
  }

  /** Whether the conversation is on the screen: a phone may show the list instead. */
  #reading() {
    return !NARROW.matches || this.#app.classList.contains("reading");
  }

  /** @param {Conversation} room */
  async #join(room) {
    try {
      room.members = (await this.api.join(room.id)).members;
      room.joined = true;
      await this.#loadRoom(room);
    } catch (error) {
      this.#complain(room, error);
    }
    this.#paint(true); // now: what is still hidden cannot take the focus
    if (room === this.#active && !NARROW.matches) this.composer.focus();
  }

  /** @param {Conversation} room */
  async #leave(room) {
    try {
      room.members = (await this.api.leave(room.id)).members;
      room.joined = false;
    } catch (error) {
      this.#complain(room, error);
    }
    this.#paint(true);
    byId("chat-title", HTMLElement).focus();
  }

  /** @param {Conversation} room */
  async #loadRoom(room) {
    const { messages } = await this.api.history(room.id);
    room.merge(messages.map(toMessage).filter((message) => message !== undefined));
    this.#paint();
  }

  async #loadInbox() {
    try {
      const { messages } = await this.api.history();
      /** @type {Map<Conversation, Message[]>} */
      const found = new Map();
      for (const stored of messages) {
        const conversation = peerOf(stored, this.#conversations, this.#me.clientId);
        const message = toMessage(stored);
        if (conversation && message) found.set(conversation, [...(found.get(conversation) ?? []), message]);
      }
      for (const [conversation, stored] of found) conversation.merge(stored);
      this.#paint();
    } catch {
      // Without it the page still works; the connection indicator tells when the server is away.
    }
  }

  async #refresh(again = true) {
    if (this.#im?.state === "closed" || this.#app.hidden) return;
    const told = this.#told;
    try {
      const [rooms, people] = await Promise.all([this.api.rooms(), this.api.people()]);
      if (told !== this.#told && again) return void this.#refresh(false); // what was told meanwhile may be newer than the answers
      this.#conversations.setRooms(rooms.rooms);
      this.#conversations.setPeople(people.people, this.#me.clientId);
      this.#paint();
      for (const room of this.#conversations.rooms) if (room.joined && !room.loaded) await this.#loadRoom(room);
    } catch {
      // Tried again at the next tick or connection.
    }
  }

  /** @param {string} text */
  #write(text) {
    /** @type {Message} */
    const message = { id: newId(), from: this.#me.clientId, time: Date.now(), text, kind: "chat", state: "sending" };
    this.#active.add(message);
    this.#enqueue(this.#active, message);
  }

  /** @param {Conversation} conversation @param {Message} message */
  #enqueue(conversation, message) {
    message.state = "sending";
    this.#paint();
    this.#sending = this.#sending.then(() => this.#post(conversation, message));
  }

  /**
   * Sends a message. The server recognises the id when it was sent before, so trying again never doubles it.
   * @param {Conversation} conversation
   * @param {Message} message
   */
  async #post(conversation, message) {
    const { kind, id } = conversation;
    const to = kind === "room" ? { room: id } : kind === "person" ? { person: id } : { everyone: /** @type {const} */ (true) };
    try {
      await this.api.send({ id: message.id, to, text: message.text });
      message.state = "sent";
    } catch (error) {
      if (/** @type {Message} */ (message).state !== "sent") message.state = "failed";
      this.#complain(conversation, error);
    }
    this.#paint();
  }

  /** @param {Conversation} conversation @param {unknown} error */
  #complain(conversation, error) {
    try {
      this.#checkSession(error);
    } catch {
      return;
    }
    conversation.add(ownNotice(error instanceof Error ? error.message : String(error)));
  }

  /** Shows everything, once per frame however much changed. @param {boolean} [now] */
  #paint(now = false) {
    if (now) return this.#paintNow();
    if (this.#painting) return;
    this.#painting = true;
    // A hidden page gets no animation frames, and its title shows the unread messages.
    if (document.hidden) setTimeout(() => this.#paintNow());
    else requestAnimationFrame(() => this.#paintNow());
  }

  #paintNow() {
    this.#painting = false;
    if (this.#app.hidden) return;
    if (!document.hidden && this.#reading()) this.#active.unread = 0;
    this.list.show(this.#conversations, this.#active);
    this.thread.show(this.#active, this.#me.clientId, this.#conversations.people.filter((one) => one.online).length);
    this.composer.show(this.#active);
    const { unread } = this.#conversations;
    document.title = unread ? `(${unread}) imtier chat` : "imtier chat";
  }
}
