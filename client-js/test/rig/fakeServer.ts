// A server in memory that speaks the protocol: logs, positions, sessions, and sockets that a test can break.
import { comparePositions, type SocketLike } from "../../src/index.js";
import type { ClientFrame, MessageFrame, Positions } from "../../src/frames.js";

type Entry = MessageFrame & { pos: string };

export class FakeServer {
  clientId = "ann";
  epoch = 1000;
  /** What was appended and is kept, by stream. */
  logs = new Map<string, Entry[]>([["inbox", []], ["all", []]]);
  /** Every socket that was ever opened, also refused ones. */
  sockets: FakeSocket[] = [];
  /** What the client acknowledged. */
  acked: Positions = {};
  /** Ids that the client has read. */
  read: string[] = [];
  issued = 0;
  /** Refuses handshakes as a browser sees it: nothing but 1006. */
  refuse = false;
  /** Refuses as the WebSocket of Node.js 22 tells it: an error, and no close. */
  errorOnly = false;
  /** Does not answer handshakes at all. */
  hang = false;
  /** Accepts, but says no hello. */
  mute = false;
  /** Live messages wait until flush, as when the network is slow. */
  hold = false;
  onFrame: (socket: FakeSocket, frame: ClientFrame) => void = () => {};

  private _tokens = new Set<string>();
  private _ends = new Map<string, string>(); // the last position ever, also of what was trimmed
  private _n = 0;

  /** The option WebSocket. */
  get Socket() {
    const server = this; // eslint-disable-line @typescript-eslint/no-this-alias -- the class needs both
    return class extends FakeSocket {
      constructor(url: string, protocol: string) {
        super(server, url, protocol);
      }
    };
  }

  /** The option connectUrl. */
  connectUrl = (): Promise<string> => {
    this.issued++;
    return Promise.resolve(this.url());
  };

  url(node = "node"): string {
    return `ws://${node}/ws?token=${this.token()}`;
  }

  token(): string {
    const token = `t${++this._n}`;
    this._tokens.add(token);
    return token;
  }

  /** Uses a token up. */
  take(url: string): boolean {
    return this._tokens.delete(/[?&](?:token|session)=([^&]*)/u.exec(url)?.[1] ?? "");
  }

  /** No session is known any more. */
  forgetTokens(): void {
    this._tokens.clear();
  }

  /** The sockets that are open. */
  get open(): FakeSocket[] {
    return this.sockets.filter((socket) => socket.live);
  }

  /** The newest socket. */
  get last(): FakeSocket {
    return this.sockets.at(-1)!;
  }

  /** Appends and delivers a message. */
  publish(stream: string, id: string, more: Partial<MessageFrame> = {}): Entry {
    const log = this.logs.get(stream) ?? [];
    this.logs.set(stream, log);
    const [epoch, seq] = this.end(stream).split("-").map(Number) as [number, number];
    const pos = epoch < this.epoch ? `${this.epoch}-1` : `${epoch}-${seq + 1}`;
    const entry: Entry = { type: "message", stream, pos, id, time: Date.now(), data: id, ...more };
    log.push(entry);
    this._ends.set(stream, pos);
    if (!this.hold) this.flush();
    return entry;
  }

  /** Gives every started socket what it has not got yet. */
  flush(): void {
    for (const socket of this.open) socket.catchUp();
  }

  /** Follows a group from now on. */
  join(group: string): void {
    const stream = `group:${group}`;
    this.logs.set(stream, []);
    for (const socket of this.open) {
      socket.at[stream] = this.end(stream);
      socket.give({ type: "joined", group, pos: this.end(stream) });
    }
  }

  leave(group: string): void {
    const stream = `group:${group}`;
    this.logs.delete(stream);
    for (const socket of this.open) {
      socket.at[stream] = undefined;
      socket.give({ type: "left", group });
    }
  }

  end(stream: string): string {
    return this._ends.get(stream) ?? `${this.epoch}-0`;
  }

  /** Forgets the oldest messages of a stream. */
  trim(stream: string, count: number): void {
    this.logs.get(stream)?.splice(0, count);
  }

  /** Loses the newest messages of a stream, as a Redis that restarts may; positions go on in a new epoch. */
  lose(stream: string, count: number): Entry[] {
    const log = this.logs.get(stream) ?? [];
    const lost = log.splice(Math.max(0, log.length - count));
    this.epoch++;
    const last = log.at(-1);
    if (last) this._ends.set(stream, last.pos);
    else this._ends.delete(stream);
    return lost;
  }

  /** Ends every connection. */
  drop(code = 1006, text = ""): void {
    for (const socket of this.open) socket.end(code, text);
  }

  start(socket: FakeSocket, pos: Positions): void {
    const started: Positions = {}, recovered: Record<string, boolean> = {};
    for (const [stream, log] of this.logs) {
      const end = this.end(stream);
      let asked = pos[stream] ?? (stream === "inbox" ? this.acked[stream] ?? "0-0" : end);
      if (asked === "0-0" && log.length === 0) asked = end;
      const beyond = comparePositions(asked, end) > 0;
      started[stream] = beyond ? end : asked;
      const next = log.find((entry) => comparePositions(entry.pos, asked) > 0);
      const sameLife = asked === "0-0" || Number(asked.split("-")[0]) >= this.epoch;
      recovered[stream] = sameLife && !beyond
        && (asked === end || asked === "0-0" || (next !== undefined && follows(asked, next.pos)));
    }
    socket.at = started;
    socket.give({ type: "started", pos: { ...started }, recovered });
    socket.catchUp();
  }
}

function follows(a: string, b: string): boolean {
  const [ea, sa] = a.split("-").map(Number), [eb, sb] = b.split("-").map(Number);
  return ea === eb && sb === sa! + 1; // an empty stream too: a later epoch is a later life here
}

export class FakeSocket implements SocketLike {
  onopen: ((event: never) => void) | null = null;
  onmessage: ((event: never) => void) | null = null;
  onclose: ((event: never) => void) | null = null;
  onerror: ((event: never) => void) | null = null;
  live = false;
  started = false;
  /** How the client closed it. */
  closedByClient = false;
  /** What the client sent. */
  got: ClientFrame[] = [];
  /** What was delivered of each stream. */
  at: Record<string, string | undefined> = {};
  /** Swallows what the client sends and answers nothing: half open. */
  dead = false;
  readonly session: string;
  private _over = false;

  constructor(readonly server: FakeServer, readonly url: string, readonly protocol: string) {
    server.sockets.push(this);
    this.session = server.token();
    queueMicrotask(() => this._handshake());
  }

  send(text: string): void {
    if (!this.live) throw new Error("not open");
    if (this.dead) return;
    const frame = JSON.parse(text) as ClientFrame;
    this.got.push(frame);
    queueMicrotask(() => {
      if (this.live && !this.dead) this._receive(frame);
    });
  }

  close(): void {
    this.closedByClient = true;
    if (!this.dead) queueMicrotask(() => this.end(1000, ""));
  }

  /** Sends a frame to the client. */
  give(frame: object): void {
    if (this.live && !this.dead) (this.onmessage as ((event: object) => void) | null)?.({ data: JSON.stringify(frame) });
  }

  catchUp(): void {
    if (!this.started) return;
    for (const [stream, log] of this.server.logs) {
      for (const entry of log) {
        const from = this.at[stream];
        if (from === undefined || comparePositions(entry.pos, from) <= 0) continue;
        if (!follows(from, entry.pos) && from !== "0-0") this.give({ type: "gap", stream, from, to: entry.pos });
        this.at[stream] = entry.pos;
        this.give(entry);
      }
    }
  }

  end(code: number, text = ""): void {
    if (this._over) return;
    this._over = true;
    this.live = this.started = false;
    (this.onclose as ((event: object) => void) | null)?.({ code, reason: text });
  }

  private _handshake(): void {
    if (this.server.hang || this._over) return;
    if (this.server.refuse || !this.server.take(this.url)) {
      this.onerror?.(undefined as never);
      return this.server.errorOnly ? undefined : this.end(1006);
    }
    this.live = true;
    this.onopen?.(undefined as never);
    if (this.server.mute) return;
    const { clientId } = this.server;
    this.give({ type: "hello", clientId, connId: `c${this.server.sockets.length}`, node: "n", session: this.session, ping: 25 });
  }

  private _receive(frame: ClientFrame): void {
    this.server.onFrame(this, frame);
    if (frame.type === "start") {
      this.started = true;
      this.server.start(this, frame.pos);
    }
    if (frame.type === "ack") Object.assign(this.server.acked, frame.pos);
    if (frame.type === "read") this.server.read.push(...frame.ids);
    if (frame.type === "ping") this.give({ type: "pong" });
  }
}
