// The API of a mini-program over the server in memory. It insists on what the real ones insist on.
import assert from "node:assert/strict";
import type { MiniProgram, SocketTask } from "../../src/mini.js";
import type { FakeServer, FakeSocket } from "./fakeServer.js";

export class FakeMini implements MiniProgram {
  network: ((status: { isConnected: boolean }) => void)[] = [];
  show: (() => void)[] = [];
  hide: (() => void)[] = [];
  storage = new Map<string, unknown>();
  /** Reports failures by onError alone, without a close. */
  errorOnly = false;

  constructor(private _server: FakeServer) {}

  connectSocket(options: Parameters<MiniProgram["connectSocket"]>[0]): SocketTask {
    assert.ok(options.success || options.fail, "uni-app returns a promise when there is no callback");
    assert.ok(Array.isArray(options.protocols));
    const socket: FakeSocket = new this._server.Socket(options.url, options.protocols[0]!);
    let opened = false;
    const on = (name: "onopen" | "onmessage" | "onclose", handler: (event: never) => void) => {
      socket[name] = handler;
    };
    const errors: ((event: object) => void)[] = [];
    return {
      onOpen: (handler) => on("onopen", () => { opened = true; handler(); }),
      onMessage: (handler) => on("onmessage", (event: { data: unknown }) => handler({ data: event.data })),
      onClose: (handler) => on("onclose", (event: object) => {
        if (!opened) for (const error of errors) error({ errMsg: "fail" });
        if (opened || !this.errorOnly) handler(event);
      }),
      onError: (handler) => void errors.push(handler),
      send: ({ data, fail }) => {
        assert.equal(typeof data, "string");
        try {
          socket.send(data);
        } catch {
          fail?.();
        }
      },
      close: ({ code, fail }) => {
        assert.ok(code === undefined || code === 1000 || code >= 3000);
        if (!opened) fail?.();
        socket.close();
      },
    };
  }

  onNetworkStatusChange(handler: (status: { isConnected: boolean }) => void): void { this.network.push(handler); }
  offNetworkStatusChange(handler: unknown): void { this.network = this.network.filter((one) => one !== handler); }
  onAppShow(handler: () => void): void { this.show.push(handler); }
  offAppShow(handler: unknown): void { this.show = this.show.filter((one) => one !== handler); }
  onAppHide(handler: () => void): void { this.hide.push(handler); }
  offAppHide(handler: unknown): void { this.hide = this.hide.filter((one) => one !== handler); }
  getStorageSync(key: string): unknown { return this.storage.get(key) ?? ""; }
  setStorageSync(key: string, value: unknown): void { this.storage.set(key, structuredClone(value)); }
}
