import type { ImError } from "./errors.js";
import type { Host } from "./host.js";
import type { Gap, Message, Receipt } from "./message.js";
import type { Position } from "./position.js";
import type { SocketConstructor } from "./socket.js";
import type { StateChange } from "./state.js";
import type { PositionStore } from "./store.js";

/** Options of a client. Only `connectUrl` is required. */
export interface Options {
  /**
   * Asks your backend for a URL (`POST /v1/connect`); called for each attempt that cannot resume by its session. It
   * has 10 seconds. When it fails it is called again after a pause, for ever, unless the error has a property `fatal`
   * that is true, such as when your user is signed out: then the client is closed.
   */
  connectUrl: () => string | Promise<string>;
  /** The WebSocket to use where there is no global one (Node.js before 22: that of the package `ws`), or another. */
  WebSocket?: SocketConstructor | undefined;
  /**
   * Where positions are kept, so that a page that is loaded again goes on where it stopped: `memory` (the default:
   * they are not kept), `localStorage` (under the key `imtier.positions`), or a store of your own, see
   * {@link webStorage}.
   */
  store?: "memory" | "localStorage" | PositionStore | undefined;
  /**
   * One socket for all tabs of the browser that use the same name (`true` is the name `default`): one of them holds
   * it, all get every message. Give each of your users a name of his own. Where the browser has no Web Locks or no
   * BroadcastChannel (pages without https) each tab has its own socket.
   */
  shared?: boolean | string | undefined;
  /** Watches the machine; the default knows browsers and does nothing elsewhere. */
  host?: Host | undefined;
}

/** The events, and what handlers are given. */
export interface ImEvents<Data> {
  /** Each message, of all streams. What a handler returns is waited for before the message is acknowledged. */
  message: Message<Data>;
  /** What became of a message that this client sent with a receipt. */
  receipt: Receipt;
  /** Messages may be missing: load the state of things from your backend. */
  gap: Gap;
  /** The state changed. */
  state: StateChange;
  /** This client became a member of a group; messages after `pos` come. */
  joined: { group: string; pos: Position };
  /** This client is no member of a group any more. */
  left: { group: string };
  /** Something failed; the client goes on. Without a handler it is written to the console. */
  error: ImError;
  /** The messages of the inbox only. */
  inbox: Message<Data>;
  /** The broadcasts only. */
  all: Message<Data>;
  /** The messages of one group only. */
  [group: `group:${string}`]: Message<Data>;
}
