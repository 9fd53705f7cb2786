/**
 * For WeChat mini-programs, uni-app and others whose sockets have the shape of `wx.connectSocket`:
 *
 * ```ts
 * import { ImClient } from "@imtier/client";
 * import { miniProgram } from "@imtier/client/mini";
 *
 * const im = new ImClient({ ...miniProgram(wx), connectUrl }); // or miniProgram(uni)
 * ```
 *
 * @module
 */
import type { Host } from "./host.js";
import type { SocketConstructor, SocketLike } from "./socket.js";
import type { PositionStore, Saved } from "./store.js";

/** What `connectSocket` returns. */
export interface SocketTask {
  onOpen(handler: () => void): void;
  onMessage(handler: (event: { data: unknown }) => void): void;
  onClose(handler: (event: { code?: number; reason?: string }) => void): void;
  onError(handler: (event: { errMsg?: string }) => void): void;
  send(options: { data: string; fail?: () => void }): void;
  close(options: { code?: number; reason?: string; fail?: () => void }): void;
}

/** The part of `wx`, or of `uni`, that is used. What is absent is done without. */
export interface MiniProgram {
  connectSocket(options: { url: string; protocols: string[]; success?: () => void; fail?: (error: { errMsg?: string }) => void }): SocketTask;
  onNetworkStatusChange?(handler: (status: { isConnected: boolean }) => void): void;
  offNetworkStatusChange?(handler: (status: { isConnected: boolean }) => void): void;
  onAppShow?(handler: () => void): void;
  offAppShow?(handler: () => void): void;
  onAppHide?(handler: () => void): void;
  offAppHide?(handler: () => void): void;
  getStorageSync?(key: string): unknown;
  setStorageSync?(key: string, value: unknown): void;
}

/** The options `WebSocket` and `host` for a mini-program. */
export function miniProgram(api: MiniProgram): { WebSocket: SocketConstructor; host: Host } {
  return { WebSocket: socketOf(api), host: hostOf(api) };
}

/** Keeps positions in a mini-program's storage, for the option `store`. */
export function miniStorage(api: MiniProgram, key = "imtier.positions"): PositionStore {
  return {
    load: () => (api.getStorageSync?.(key) || undefined) as Saved | undefined,
    save: (saved) => api.setStorageSync?.(key, saved),
  };
}

/** A socket constructor over `connectSocket`. */
function socketOf(api: MiniProgram): SocketConstructor {
  return class implements SocketLike {
    onopen: ((event: never) => void) | null = null;
    onmessage: ((event: never) => void) | null = null;
    onclose: ((event: never) => void) | null = null;
    onerror: ((event: never) => void) | null = null;
    private _task: SocketTask;
    private _over = false;

    constructor(url: string, protocol: string) {
      const failed = () => this._end({});
      // With a callback, uni-app returns a task and not a promise.
      const task = this._task = api.connectSocket({ url, protocols: [protocol], success: () => {}, fail: failed });
      task.onOpen(() => this.onopen?.(undefined as never));
      task.onMessage(({ data }) => this.onmessage?.({ data } as never));
      task.onClose((event) => this._end(event));
      task.onError(failed); // not every platform says close after it
    }

    send(data: string): void {
      this._task.send({ data, fail: () => this.close() });
    }

    close(code = 1000): void {
      this._task.close({ code, fail: () => this._end({}) }); // fails on one that never opened
    }

    private _end({ code = 1006, reason = "" }: { code?: number; reason?: string }): void {
      if (this._over) return;
      this._over = true;
      (this.onclose as ((event: object) => void) | null)?.({ code, reason });
    }
  };
}

/** Wakes the client when the app is shown or the network changes. */
function hostOf(api: MiniProgram): Host {
  let connected = true;
  return {
    watch(wake, hide) {
      const changed = ({ isConnected }: { isConnected: boolean }) => {
        connected = isConnected;
        wake();
      };
      api.onNetworkStatusChange?.(changed);
      api.onAppShow?.(wake);
      api.onAppHide?.(hide);
      return () => {
        api.offNetworkStatusChange?.(changed);
        api.offAppShow?.(wake);
        api.offAppHide?.(hide);
        connected = true; // nobody says any more
      };
    },
    offline: () => !connected,
  };
}
