import type { CloseReason } from "./closeCodes.js";
import { Confirmations } from "./confirmations.js";
import { Connection, type ConnectionOptions } from "./connection.js";
import { Delivery } from "./delivery.js";
import { Emitter } from "./emitter.js";
import { ImError } from "./errors.js";
import { streamOfGroup, type Positions, type ServerFrame } from "./frames.js";
import { browserHost, type Host } from "./host.js";
import type { ImEvents, Options } from "./options.js";
import { isId, isStream } from "./names.js";
import { comparePositions, isPosition } from "./position.js";
import { Requests } from "./requests.js";
import type { SocketConstructor } from "./socket.js";
import type { State, StateChange } from "./state.js";
import { webStorage, type PositionStore } from "./store.js";
import type { Upstream, UpstreamOwner } from "./upstream.js";

const REQUEST_MS = 10_000;
const LOAD_MS = 5_000; // for the store: the server waits for start as long again

/**
 * A client of imtier: messages reach your handlers once and in order, across reconnects and the death of nodes.
 *
 * ```ts
 * const im = new ImClient({ connectUrl: () => fetch("/my/connect", { method: "POST" }).then((r) => r.json()).then((r) => r.url) });
 * im.on("message", (m) => show(m.from, m.data));
 * await im.connect();
 * ```
 *
 * Add handlers before you connect: a message that finds no handler counts as handled.
 *
 * @typeParam Data what your messages carry
 */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- what messages carry is the application's; unknown would need a cast in every page
export class ImClient<Data = any> {
  /** Who this is; known once the server has said hello. */
  clientId: string | undefined;
  /** The connection's id, to leave it out of your own sends (`exceptConn`). Changes with every connection. */
  connId: string | undefined;

  private _host: Host;
  private _Socket: SocketConstructor | undefined;
  private _emitter = new Emitter();
  private _confirmations = new Confirmations((frame) => this._upstream.send(frame), () => void this._save());
  private _requests = new Requests((frame) => this._upstream.send(frame));
  private _delivery = new Delivery(
    this._emitter, (stream, pos, urgent) => this._confirmations.ack(stream, pos, urgent), (error) => this._error(error),
  );
  private _own: Connection;
  private _upstream: Upstream; // that, or one that tabs share
  private _share: (() => Promise<void>) | undefined; // makes the upstream a shared one; once
  private _change: StateChange = { state: "idle" };
  private _opening: Promise<void> | undefined; // what connect returned
  private _opened: (error?: ImError) => void = () => {}; // settles it
  private _store: PositionStore | undefined;
  private _loading: Promise<void> | undefined;
  private _owner: string | undefined; // whose positions and confirmations these are
  private _unwatch: (() => void) | undefined;

  constructor(options: Options) {
    if (typeof options?.connectUrl !== "function") throw new TypeError("ImClient: connectUrl has to be a function");
    this._host = options.host ?? browserHost;
    const { store } = options, globals = globalThis as Partial<typeof globalThis>;
    if (store && store !== "memory") this._store = store === "localStorage" ? webStorage() : store;
    this._Socket = options.WebSocket ?? globals.WebSocket as SocketConstructor | undefined;
    const connection: ConnectionOptions = {
      connectUrl: options.connectUrl,
      Socket: this._Socket!, // connect sees to it
      offline: () => this._host.offline(),
    };
    const owner: UpstreamOwner = {
      start: () => this._start(),
      frame: (frame) => this._frame(frame),
      state: (change) => this._changed(change),
      error: (error) => this._error(error),
      broken: () => this._requests.fail(new ImError("lost", "the connection was lost before the reply")),
      unsent: (id) => this._requests.unsent(id),
      tops: () => this._delivery.tops(),
    };
    this._upstream = this._own = new Connection(connection, owner);
    const name = options.shared === true ? "default" : options.shared;
    if (name && globals.BroadcastChannel && globals.navigator?.locks) {
      this._share = async () => {
        const { Tabs } = await import("./shared/tabs.js");
        await this._loading; // other tabs say at once where they are
        if (!this._share) return; // after another connect
        this._share = undefined;
        this._upstream = new Tabs(name, {
          connection: (of) => new Connection(connection, of), compare: comparePositions, alone: (error) => this._alone(error),
        }, owner);
      };
    }
  }

  /** The state. What belongs to it comes with the event `state`. */
  get state(): State {
    return this._change.state;
  }

  /** Adds a handler; the function that is returned removes it. The same handler may be added several times. */
  on<Name extends keyof ImEvents<Data>>(event: Name, handler: (value: ImEvents<Data>[Name]) => unknown): () => void {
    return this._emitter.on(event, handler);
  }

  /** Removes a handler. */
  off<Name extends keyof ImEvents<Data>>(event: Name, handler: (value: ImEvents<Data>[Name]) => unknown): void {
    this._emitter.off(event, handler);
  }

  /**
   * Connects, and keeps connected until {@link close} or until the server says to stay away. The promise is fulfilled
   * when messages flow and rejects when the client is closed before; failed attempts are repeated meanwhile. Calling
   * it again is harmless; while the client waits for its next attempt that begins at once.
   *
   * @throws {@link ImError} `closed`; `socket` when there is no WebSocket here and none was given, at once
   */
  connect(): Promise<void> {
    if (this.state === "open") return Promise.resolve();
    if (!this._Socket) {
      const error = new ImError("socket", "there is no WebSocket here: give one as the option WebSocket");
      this._changed({ state: "closed", reason: { by: "application", code: 0, text: error.message } });
      return Promise.reject(error);
    }
    const promise = this._opening = this._opening ?? new Promise((resolve, reject) => {
      this._opened = (error) => (error ? reject(error) : resolve());
    });
    promise.catch(() => {}); // who does not wait for it sees the state
    this._loading = this._loading ?? this._load();
    this._unwatch = this._unwatch ?? this._host.watch(() => this._upstream.wake(), () => this._confirmations.flush());
    if (this._share) void this._connectShared(this._share);
    else this._upstream.connect();
    return promise;
  }

  /**
   * Acknowledges what was handled and closes. Positions are kept in this object: {@link connect} goes on where it
   * stopped. For another user make a new client.
   */
  close(): void {
    this._confirmations.flush();
    this._upstream.close({ by: "application", code: 1000, text: "" });
  }

  /**
   * The network came back or the user looks again: tries at once instead of waiting, and checks an open connection.
   * Pages need not call it.
   */
  wake(): void {
    this._upstream.wake();
  }

  /**
   * Says that the user has seen messages, for senders that asked for it. Sent at once; kept while there is no
   * connection, as long as this object lives.
   *
   * @throws TypeError for what is no message's id: 1–64 bytes without control characters
   */
  markRead(ids: string | string[]): void {
    const list = typeof ids === "string" ? [ids] : ids;
    for (const id of list) if (!isId(id)) throw new TypeError(`markRead: no message has the id ${JSON.stringify(id)}`);
    this._confirmations.read(list);
  }

  /**
   * Asks the backend, when the URL was issued with `mayRequest`. While there is no connection it waits for one; when the
   * connection breaks it waits for the reply on the next one, if that continues the session.
   *
   * @param data any JSON value; it may be changed after the call
   * @param options `timeoutMs`, 10,000 unless given, counts from the call
   * @returns what the backend answered
   * @throws {@link ImError} `timeout`, `lost` (perhaps carried out; also what is larger than the server takes), `request` (the
   * backend's error is its `cause`), `closed`; a TypeError, at once, for what JSON cannot hold
   */
  request<Reply = unknown>(data: unknown, { timeoutMs = REQUEST_MS }: { timeoutMs?: number } = {}): Promise<Reply> {
    if (this.state === "closed") return Promise.reject(new ImError("closed", "the client is closed"));
    return this._requests.request(data, timeoutMs) as Promise<Reply>;
  }

  /** Connects when the code for sharing is there, or on its own, from then on, when that cannot be loaded. */
  private async _connectShared(share: () => Promise<void>): Promise<void> {
    if (this.state === "connecting") return;
    this._changed({ state: "connecting" });
    try {
      await share();
      if ((this.state as State) === "connecting") this._upstream.connect(); // and was not closed meanwhile
    } catch (error) {
      this._alone(error);
    }
  }

  private _alone(error: unknown): void {
    this._share = undefined;
    this._upstream = this._own;
    this._error(new ImError("socket", "the socket cannot be shared", error));
    if (this.state === "connecting") this._own.connect();
  }

  private async _start(): Promise<Positions> {
    await this._loading;
    return this._delivery.positions();
  }

  private _frame(frame: ServerFrame): void {
    switch (frame.type) {
      case "hello":
        this.clientId = frame.clientId;
        this.connId = frame.connId;
        return this._belongTo(frame.clientId);
      case "started":
        this._delivery.started(frame);
        void this._save();
        this._confirmations.repeat();
        return this._requests.flush();
      case "reply": return this._requests.reply(frame);
      case "pong": return this._confirmations.pong();
      case "joined": case "left":
        this._confirmations.forget(streamOfGroup(frame.group));
        this._delivery.accept(frame);
        return void this._save();
      default: this._delivery.accept(frame);
    }
  }

  /** Positions and confirmations of another client are of no use. */
  private _belongTo(clientId: string): void {
    if (this._owner !== undefined && this._owner !== clientId) {
      this._delivery.reset({});
      this._confirmations.clear();
    }
    this._owner = clientId;
  }

  private _changed(change: StateChange): void {
    this._change = change;
    if (change.state === "open") {
      this._opening = undefined;
      this._opened();
    }
    if (change.state === "closed") this._end(change.reason);
    this._tell("state", change);
  }

  private _end({ by, code, text }: CloseReason): void {
    this._unwatch?.();
    this._unwatch = undefined;
    this._confirmations.stop();
    const error = new ImError("closed", `closed by the ${by}: ${text || code}`);
    this._requests.fail(error, true);
    this._opening = undefined;
    this._opened(error);
  }

  private async _load(): Promise<void> {
    if (!this._store) return;
    let timer;
    try {
      const saved = await Promise.race([this._store.load(), new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new Error(`no answer within ${LOAD_MS} ms`)), LOAD_MS);
      })]);
      if (!saved || (this._owner !== undefined && this._owner !== saved.clientId)) return;
      this._owner = saved.clientId;
      // The server would refuse all of them for one that it does not know, each time.
      this._delivery.reset(Object.fromEntries(Object.entries(saved.pos).filter(([stream, pos]) => isStream(stream) && isPosition(pos))));
    } catch (error) {
      this._error(new ImError("store", "positions could not be read", error));
    } finally {
      clearTimeout(timer);
    }
  }

  private async _save(): Promise<void> {
    if (!this._store || this._owner === undefined) return;
    try {
      await this._store.save({ clientId: this._owner, pos: this._delivery.positions() });
    } catch (error) {
      this._error(new ImError("store", "positions could not be kept", error));
    }
  }

  private _error(error: ImError): void {
    this._tell("error", error);
    if (!this._emitter.has("error")) console.error(error);
  }

  /** Calls handlers that nothing waits for. */
  private _tell(event: "state" | "error", value: unknown): void {
    this._emitter.emit(value, event)?.catch((error) => console.error(error));
  }
}
