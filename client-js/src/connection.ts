import { backoff, longestWait } from "./backoff.js";
import { left } from "./clock.js";
import { CLOSE_CODES, DRAINING, isFinal, MISUSE, TOO_BIG, type CloseName, type CloseReason } from "./closeCodes.js";
import { ImError, textOf } from "./errors.js";
import type { ClientFrame, Positions, ServerFrame } from "./frames.js";
import { Link, type LinkOwner } from "./link.js";
import type { SocketConstructor } from "./socket.js";
import type { State, StateChange } from "./state.js";
import type { Upstream, UpstreamOwner } from "./upstream.js";

const URL_MS = 10_000; // for connectUrl
const START_MS = 15_000; // from dialling to started
const SESSION_MS = 5_000; // the same for a session: its node may be gone without a word
const SESSION_LIFE_MS = 120_000; // the server forgets a session this long after its socket closed
// Who is away for longer may have been offline, and out of the groups that last until then: a fresh URL, with which the
// backend may give them again, comes first. Below the server's usual grace of 5 s.
const SESSION_FIRST_MS = 4_000;
const STEADY_MS = 3_000; // a connection that was open for this long starts the backoff over
const CALM_MS = 1_000; // between attempts that are made because somebody looks or the network changed

/** What a connection needs. */
export interface ConnectionOptions {
  /** Gives a fresh URL. */
  connectUrl: () => string | Promise<string>;
  Socket: SocketConstructor;
  /** Whether the machine knows that it has no network. */
  offline: () => boolean;
}

interface Session {
  url: string; // works once
  until: number; // Unix milliseconds
}

/**
 * Keeps one link open: dials, waits, resumes by the session first and by a fresh URL when that is refused (or the other
 * way round after a longer absence), follows `migrate` by opening the new link before the old one closes.
 *
 * A browser does not say why a handshake failed, so any link by a session that ends before it has started counts as
 * refused, and is followed by a fresh URL at once.
 *
 * The owner may close it, and connect again, in whatever it is told: then the round is another one.
 */
export class Connection implements Upstream, LinkOwner {
  private _options: ConnectionOptions;
  private _owner: UpstreamOwner;
  private _state: State = "idle";
  private _session: Session | undefined; // of the link that ended last, to resume by
  private _link: Link | undefined;
  private _next: Link | undefined; // replaces _link when it has started
  private _spare = 0; // how often another replacement may be tried
  private _round = 0; // what was begun in an earlier one is over
  private _attempt = 0;
  private _dialledAt = 0;
  private _openedAt = 0;
  private _bySession = false; // how the link under way was dialled
  private _triedSession = false; // in this attempt
  private _woken = false; // during this attempt, which may fail for what is over
  private _timer: ReturnType<typeof setTimeout> | undefined; // of connectUrl, or of the wait

  constructor(options: ConnectionOptions, owner: UpstreamOwner) {
    this._options = options;
    this._owner = owner;
  }

  connect(): void {
    if (this._state === "connecting" || this._state === "open") return;
    this._attempt = 0;
    this._dial();
  }

  close(reason: CloseReason): void {
    this._round++;
    clearTimeout(this._timer);
    this._link?.close();
    this._next?.close();
    this._link = this._next = undefined;
    this._session = undefined; // the next connect may be another user's
    this._set({ state: "closed", reason });
  }

  wake(): void {
    if (!this._options.offline()) {
      this._woken = this._state === "connecting";
      if (this._state === "waiting") this._hurry();
    }
    this._link?.probe();
  }

  /** The URL to resume by if this connection ended now. */
  get heir(): string | undefined {
    return this._link?.session ? sessionUrl(this._link) : this._session?.url;
  }

  /** Resumes by the URL of a connection that has just ended. */
  inherit(url: string): void {
    this._session = { url, until: Date.now() + SESSION_LIFE_MS };
  }

  send(frame: ClientFrame): boolean {
    return this._link?.send(frame) ?? false;
  }

  // LinkOwner

  start(): Positions | Promise<Positions> {
    return this._owner.start();
  }

  frame(link: Link, frame: ServerFrame): void {
    if (frame.type === "migrate") return this._migrate(frame.url);
    if (frame.type === "started") this._begin(link);
    this._owner.frame(frame);
    if (frame.type === "started" && link === this._link) this._set({ state: "open" });
  }

  lost(link: Link, code: number, text: string): void {
    // Before the start 4503 may say no more than that it came late: the page stood still, or its store did.
    if (isFinal(code) && (code !== MISUSE || link.started)) return this.close({ by: "server", code, name: (CLOSE_CODES as Record<number, CloseName>)[code], text });
    if (code === TOO_BIG) this._owner.broken(); // a request was, perhaps: none that was sent then is sure of its reply
    if (link === this._next) this._next = undefined;
    else this._link = undefined;
    if (this._link) { // the replacement failed: one more, while there is time
      if (this._spare-- > 0) this._fresh();
      return;
    }
    if (this._next) return; // it takes over
    this._remember(link, code);
    if (this._state === "connecting" && this._bySession) return this._fresh();
    this._retry();
  }

  /** Keeps the session of a link that ended. A node that drains refuses it. */
  private _remember(link: Link, code: number): void {
    if (link.session && code !== DRAINING) this.inherit(sessionUrl(link));
    else if (link.opened) this._session = undefined;
  }

  private _dial(): void {
    clearTimeout(this._timer);
    this._dialledAt = Date.now();
    this._triedSession = this._woken = false;
    const round = this._round;
    this._set({ state: "connecting" });
    if (round === this._round && !this._resume(SESSION_FIRST_MS)) this._fresh();
  }

  /** Opens a link by the session. False when something else is to be tried: none ended within some time, or it was tried. */
  private _resume(withinMs: number): boolean {
    const session = this._session, round = this._round;
    if (!session || this._triedSession || Date.now() >= session.until - SESSION_LIFE_MS + withinMs) return false;
    this._triedSession = true;
    this._link = this._open(session.url, SESSION_MS);
    this._bySession = this._link !== undefined;
    return this._bySession || round !== this._round;
  }

  /** Opens a link by a fresh URL: the link, or one that is to replace it. */
  private _fresh(): void {
    const round = ++this._round;
    this._bySession = false;
    const end = (then: (next: number) => void) => {
      if (round !== this._round) return;
      clearTimeout(this._timer);
      then(++this._round);
    };
    const failed = (error: unknown) => end((next) => {
      this._owner.error(new ImError("connect_url", `connectUrl: ${textOf(error)}`, error));
      if (next !== this._round) return;
      if ((error as { fatal?: unknown } | undefined)?.fatal) {
        this.close({ by: "backend", code: 0, text: textOf(error) });
      } else if (!this._link && !this._resume(SESSION_LIFE_MS)) this._retry();
    });
    clearTimeout(this._timer);
    this._timer = setTimeout(() => failed(new Error(`no answer within ${URL_MS} ms`)), URL_MS);
    Promise.resolve().then(this._options.connectUrl).then((url) => end((next) => {
      this._session = undefined; // there is a network, and yet it did not work
      const link = this._open(url, START_MS);
      if (this._link) this._next = link;
      else if (link) this._link = link;
      else if (next === this._round) this._retry();
    })).catch(failed);
  }

  private _open(url: string, startMs: number): Link | undefined {
    try {
      if (!url || typeof url !== "string") throw new Error("connectUrl gave no URL");
      return new Link(url, this._options.Socket, startMs, this);
    } catch (error) {
      this._owner.error(new ImError("socket", textOf(error), error));
      return undefined;
    }
  }

  /** A link delivers from now on. */
  private _begin(link: Link): void {
    if (link === this._next) {
      this._link?.close(); // replies that are still to come go to the new one
      this._link = link;
      this._next = undefined;
    }
    if (!SESSION.test(link.url)) this._owner.broken();
    this._round++; // no other is needed
    clearTimeout(this._timer);
    this._session = undefined;
    this._woken = false;
    this._openedAt = Date.now();
  }

  private _migrate(url: string): void {
    if (this._next) return;
    this._spare = 1;
    this._next = this._open(url, START_MS);
  }

  private _retry(): void {
    if (this._openedAt && left(this._openedAt, STEADY_MS) <= 0) this._attempt = 0;
    this._openedAt = 0;
    const wait = this._options.offline() ? longestWait(Infinity) : backoff(this._attempt);
    this._attempt++;
    if (this._woken) this._hurry();
    else this._wait(wait);
  }

  /** Dials as soon as CALM_MS allow. */
  private _hurry(): void {
    const wait = left(this._dialledAt, CALM_MS);
    if (wait > 0) this._wait(wait);
    else this._dial();
  }

  private _wait(ms: number): void {
    clearTimeout(this._timer);
    this._timer = setTimeout(() => this._dial(), ms);
    this._set({ state: "waiting", retryAt: Date.now() + ms, attempt: this._attempt });
  }

  private _set(change: StateChange): void {
    if (change.state === this._state && change.state !== "waiting") return;
    this._state = change.state;
    this._owner.state(change);
  }
}

const SESSION = /[?&]session=/u;
const TOKEN = /([?&])(?:token|session)=[^&#]*/u;

/** The URL of a link's node with its session. No URL class: mini-programs have none. */
function sessionUrl({ url, session }: Link): string {
  return url.replace(TOKEN, `$1session=${encodeURIComponent(session!)}`);
}
