import type { CloseReason } from "../closeCodes.js";
import type { Connection } from "../connection.js";
import type { ClientFrame, HelloFrame, Positions, ServerFrame } from "../frames.js";
import type { comparePositions } from "../position.js";
import type { StateChange } from "../state.js";
import type { Upstream, UpstreamOwner } from "../upstream.js";
import type { Note, Ruling } from "./note.js";

/** For the other tabs to say how far they have come, when a tab begins to lead. One that is frozen is told of a gap. */
const ANSWERS_MS = 150;
/** For the leading tab to answer one that somebody looks at. Timers of tabs in the background are slow, notes are not. */
const SILENCE_MS = 5_000;
/** A timer that is later than this says that its own tab stood still. */
const LATE_MS = 1_000;

/** What tabs need of the core. It is given, not imported, so that this file is one of its own that is loaded on demand. */
export interface Core {
  connection: (owner: UpstreamOwner) => Connection;
  compare: typeof comparePositions;
  /** The socket cannot be shared here: takes a connection of its own, if it is connecting. */
  alone: (error: unknown) => void;
}

/**
 * One connection for all tabs of a browser. The tab that has a Web Lock leads: it holds the connection and passes on
 * every frame through a BroadcastChannel; the lock falls to another tab when it closes, however that happens. Each tab
 * has positions and a memory of ids of its own, so each connection begins where the slowest tab has stopped, and the
 * others drop what they have already.
 *
 * A tab that hangs keeps the lock. One that somebody opens, looks at or wakes expects an answer of the leader, and takes the
 * lock from it when none comes. So for a while there may be two that lead: the later one has the greater reign, what others
 * say counts no more, and who hears a greater one than its own steps down.
 *
 * Only the leader acknowledges: "delivered" means that its handlers are done.
 */
export class Tabs implements Upstream {
  private _name: string;
  private _core: Core;
  private _owner: UpstreamOwner;
  private _tab = Math.random().toString(36).slice(2);
  private _channel: BroadcastChannel | undefined;
  private _leaving: AbortController | undefined;
  private _release: () => void = () => {};

  private _change: StateChange = { state: "idle" }; // of the connection, here or in the leading tab
  private _session: string | undefined; // of the connection, for whoever leads next
  private _joined = false; // has what follows
  private _open = false; // the leading tab's connection takes frames; a little before the state says so
  private _hello: HelloFrame | undefined; // of that; until it came, what the last leader sent may still arrive
  private _reign = 0; // of the leading tab: when it began, Unix milliseconds
  private _former = 0; // of the one before, when that let the lock go: what it said last may come late
  private _posted = new Set<string>(); // requests of which the leading tab has said nothing yet
  private _silence: ReturnType<typeof setTimeout> | undefined; // until it has to have answered
  // While this tab leads:
  private _connection: Connection | undefined;
  private _floor: Positions = {}; // the lowest position of any tab that has answered, by stream
  private _asked = 0; // the question that they answer; 0 while the connection is open
  private _pings: string[] = []; // whose pongs are to come, oldest first

  constructor(name: string, core: Core, owner: UpstreamOwner) {
    this._name = `imtier2:${name}`; // tabs with other notes are other tabs
    this._core = core;
    this._owner = owner;
  }

  connect(): void {
    if (this._channel) return this._connection ? this._connection.connect() : this.wake();
    const channel = this._channel = new BroadcastChannel(this._name);
    channel.onmessage = ({ data }: MessageEvent<Note>) => this._heard(data);
    this._post({ note: "join", tab: this._tab });
    this._request(false);
    this._expect();
    this._set({ state: "connecting" }); // at last, since the owner may close it then
  }

  close(reason: CloseReason): void {
    this._leave();
    this._set({ state: "closed", reason });
  }

  wake(): void {
    if (this._connection) return this._connection.wake();
    this._post({ note: "wake" });
    this._expect();
  }

  send(frame: ClientFrame): boolean {
    if (this._connection) return this._pass(frame, this._tab);
    if (!this._open) return false;
    if (frame.type === "request") this._posted.add(frame.id);
    if (frame.type !== "ack") this._post({ note: "send", frame, tab: this._tab });
    return true;
  }

  /** Requests the lock, or takes it from the tab that has it. */
  private _request(steal: boolean): void {
    this._leaving?.abort();
    const leaving = this._leaving = new AbortController();
    navigator.locks.request(this._name, steal ? { steal } : { signal: leaving.signal }, () => {
      if (leaving.signal.aborted) return undefined;
      return new Promise<void>((resolve) => {
        this._release = resolve;
        this._lead(steal);
      });
    }).catch((error) => {
      if (leaving.signal.aborted) return; // it left, or waits no longer
      if (this._connection) return this._stepDown(); // another tab took the lock
      this._leave(); // locks are denied to some pages, such as those in a sandbox
      this._set({ state: "connecting" });
      this._core.alone(error);
    });
  }

  /** Takes the lead when the tab that has it says nothing. */
  private _expect(): void {
    if (!this._channel || this._connection || this._silence) return;
    const asked = Date.now();
    this._silence = setTimeout(() => {
      this._silence = undefined;
      if (Date.now() - asked > SILENCE_MS + LATE_MS) this.wake(); // the answer may lie here
      else this._request(true);
    }, SILENCE_MS);
  }

  private _answered(): void {
    clearTimeout(this._silence);
    this._silence = undefined;
  }

  private _lead(stolen: boolean): void {
    this._answered();
    this._begin(Math.max(Date.now(), this._reign + 1), stolen ? 0 : this._reign);
    this._rule({ note: "state", change: { state: "connecting" }, session: this._session });
    this._ask();
    const connection: Connection = this._connection = this._core.connection({
      ...this._owner,
      start: () => this._start(),
      frame: (frame) => this._relay(frame),
      state: (change) => this._lost(connection, change),
      broken: () => {
        this._rule({ note: "broken" });
        this._owner.broken();
      },
    });
    if (this._session) connection.inherit(this._session);
    setTimeout(() => {
      if (this._connection === connection) connection.connect();
    }, ANSWERS_MS);
    this._set({ state: "connecting" });
  }

  /** Another tab leads, this one or not. */
  private _begin(reign: number, former: number): void {
    this._reign = reign;
    this._former = former;
    this._hello = undefined;
    this._open = false;
  }

  /** The connection of the leading tab. What an earlier one said nothing of is not sent, and is when messages flow. */
  private _greet(hello: HelloFrame): void {
    if (!this._hello) {
      for (const id of this._posted) this._owner.unsent(id);
      this._posted.clear();
    }
    this._hello = hello;
  }

  /** Follows, until the lock comes to it again. What the next one has said meanwhile lies in the channel. */
  private _stepDown(): void {
    const connection = this._connection;
    this._connection = undefined;
    connection?.close({ by: "application", code: 1000, text: "" });
    this._release();
    this._request(false);
    this._set({ state: "connecting" });
  }

  /** Where the slowest tab has stopped. */
  private async _start(): Promise<Positions> {
    const pos = { ...(await this._owner.start()) };
    for (const stream of Object.keys(this._floor)) {
      const low = this._floor[stream]!, own = pos[stream];
      if (own === undefined || this._core.compare(low, own) < 0) pos[stream] = low;
    }
    return pos;
  }

  /** Asks all tabs where they have stopped. What still comes for an earlier question is true no more. */
  private _ask(): void {
    this._floor = {};
    this._asked = Math.random();
    this._rule({ note: "where", asked: this._asked });
  }

  /** From a tab to the server; false when nothing is open. */
  private _pass(frame: ClientFrame, tab: string): boolean {
    const sent = this._connection?.send(frame) ?? false;
    if (sent && frame.type === "ping") this._pings.push(tab);
    return sent;
  }

  /** From the server to all tabs, and a pong to the one that asked for it: it says that what this one sent before arrived. */
  private _relay(frame: ServerFrame): void {
    if (frame.type === "hello") this._greet(frame);
    if (frame.type === "started") this._pings = [];
    const tab = frame.type === "pong" ? this._pings.shift() : undefined;
    this._rule({ note: "frame", frame, tab });
    this._joined = true;
    if (!tab || tab === this._tab) this._owner.frame(frame);
  }

  /** The state of the connection that this tab holds. */
  private _lost(connection: Connection, change: StateChange): void {
    if (connection !== this._connection) return; // closed by this tab
    this._session = connection.heir;
    this._rule({ note: "state", change, session: this._session });
    if (change.state === "closed") this._leave();
    else if (change.state === "open") this._asked = 0;
    else if (!this._asked) this._ask();
    this._set(change);
  }

  private _heard(note: Note): void {
    if ("reign" in note && !this._counts(note)) return;
    switch (note.note) {
      case "join": return this._welcome(note.tab);
      case "welcome":
        if (note.tab !== this._tab || this._connection) return;
        this._answered();
        this._joined = true;
        for (const frame of note.frames) this._take(frame);
        return this._follow(note.change, note.session);
      case "frame":
        if (note.frame.type === "hello" && note.reign === this._reign) this._greet(note.frame);
        if (note.frame.type === "hello" || note.frame.type === "started") this._joined = true;
        if (this._joined && (note.tab ?? this._tab) === this._tab) this._take(note.frame);
        return;
      case "state":
        this._answered();
        return this._follow(note.change, note.session);
      case "send": {
        if (!this._connection) return;
        const { frame, tab } = note, ok = this._pass(frame, tab);
        if (frame.type === "request") this._rule({ note: "sent", id: frame.id, tab, ok });
        return;
      }
      case "sent":
        if (note.tab === this._tab && this._posted.delete(note.id) && !note.ok) this._owner.unsent(note.id);
        return;
      case "broken": return this._owner.broken();
      case "wake":
        this._hurry();
        this._connection?.wake();
        return this._tell();
      case "where":
        return void Promise.resolve(this._owner.start()).then((pos) => this._post({ note: "here", asked: note.asked, pos }));
      case "here":
        if (note.asked !== this._asked) return;
        for (const stream of Object.keys(note.pos)) {
          const low = this._floor[stream], pos = note.pos[stream]!;
          if (low === undefined || this._core.compare(pos, low) < 0) this._floor[stream] = pos;
        }
    }
  }

  /**
   * Whether what a leader said counts: not when another leads since then. Of one that let go by itself what was on its way
   * counts until the next one has a connection, and always that all have to stay away.
   */
  private _counts(note: Note & { reign: number; after: number }): boolean {
    if (note.reign < this._reign) {
      return note.reign === this._former
        && (note.note === "state" ? note.change.state === "closed" : (note.note === "frame" || note.note === "sent") && !this._hello);
    }
    if (note.reign > this._reign) {
      this._begin(note.reign, note.after);
      if (this._connection) this._stepDown();
    }
    return this._channel !== undefined; // the owner may have closed it
  }

  /** A frame that the leading tab had. The owner sends what waited when it is told that messages flow. */
  private _take(frame: ServerFrame): void {
    if (frame.type === "started") this._open = true;
    this._owner.frame(frame);
  }

  /** Tells a new tab where this one is. Before it is connected, it asks how far that tab has come: all are told when it is. */
  private _welcome(tab: string): void {
    if (!this._connection) return;
    if (this._change.state !== "open" || !this._hello) {
      this._hurry(); // somebody is there
      this._rule({ note: "where", asked: this._asked });
      return this._tell();
    }
    const started: ServerFrame = { type: "started", pos: this._owner.tops(), recovered: {} };
    this._rule({ note: "welcome", tab, frames: [this._hello, started], change: this._change, session: this._session });
  }

  /**
   * What the leading tab's connection does. A browser may grant the lock before it brings what the last leader said with
   * it still: of that, only that all have to stay away counts for a tab that leads.
   */
  private _follow(change: StateChange, session: string | undefined): void {
    if (this._connection && change.state !== "closed") return;
    this._session = session;
    if (change.state !== "open") this._open = false;
    if (change.state === "open" && !this._joined) return; // the welcome comes
    if (change.state === "closed") this._leave();
    this._set(change);
  }

  private _leave(): void {
    const connection = this._connection;
    this._connection = this._hello = undefined;
    connection?.close({ by: "application", code: 1000, text: "" });
    this._joined = this._open = false;
    this._answered();
    this._posted.clear();
    this._leaving?.abort();
    this._release();
    this._channel?.close();
    this._channel = undefined;
  }

  /** Waits no longer. */
  private _hurry(): void {
    if (this._change.state === "waiting") this._connection?.connect();
  }

  /** Says the state, if this tab leads. */
  private _tell(): void {
    if (this._connection) this._rule({ note: "state", change: this._change, session: this._session });
  }

  /** As the leader. */
  private _rule(ruling: Ruling): void {
    this._post({ ...ruling, reign: this._reign, after: this._former });
  }

  private _post(note: Note): void {
    this._channel?.postMessage(note);
  }

  private _set(change: StateChange): void {
    if (change.state === this._change.state && change.state !== "waiting") return;
    this._change = change;
    this._owner.state(change);
  }
}
