// What a browser gives its tabs: a Web Lock and a BroadcastChannel, whose notes arrive when a test says so. The two come
// to a tab on ways of their own, so a lock may be granted before a note that was sent earlier.
interface Request {
  then: () => unknown;
  resolve: (value: unknown) => void;
  reject: (reason: Error) => void;
}

interface LockOptions {
  signal?: AbortSignal;
  steal?: boolean;
}

export class FakeTabs {
  /** Notes that are under way, oldest first. */
  private _notes: (() => void)[] = [];
  private _holder: Request | undefined; // of the lock
  private _queue: Request[] = []; // who waits for it
  private _channels = new Set<{ name: string; onmessage: ((event: { data: unknown }) => void) | null }>();
  private _hung: unknown; // the channel of a tab that stands still
  private _lost: (() => void)[] = []; // its lock, as it will be told
  private _held: (() => void)[] = []; // what it will be told when it goes on
  private _before: (PropertyDescriptor | undefined)[] = [];

  /** Takes the place of the globals; call remove at the end. */
  install(): void {
    this._before = ["BroadcastChannel", "navigator"].map((name) => Object.getOwnPropertyDescriptor(globalThis, name));
    const tabs = this; // eslint-disable-line @typescript-eslint/no-this-alias -- the class needs both
    class Channel {
      onmessage: ((event: { data: unknown }) => void) | null = null;
      constructor(readonly name: string) {
        tabs._channels.add(this);
      }
      postMessage(note: unknown): void {
        const data = structuredClone(note);
        const others = [...tabs._channels].filter((other) => other !== this && other.name === this.name);
        for (const other of others) {
          const arrive = () => tabs._channels.has(other) && other.onmessage?.({ data });
          tabs._notes.push(() => tabs._hung === other ? void tabs._held.push(arrive) : arrive());
        }
      }
      close(): void {
        tabs._channels.delete(this);
      }
    }
    const locks = { request: (_name: string, options: LockOptions, then: () => unknown) => this._request(options, then) };
    Object.defineProperty(globalThis, "BroadcastChannel", { value: Channel, configurable: true, writable: true });
    Object.defineProperty(globalThis, "navigator", { value: { locks }, configurable: true, writable: true });
  }

  remove(): void {
    ["BroadcastChannel", "navigator"].forEach((name, i) => {
      const before = this._before[i];
      if (before) Object.defineProperty(globalThis, name, before);
      else Reflect.deleteProperty(globalThis, name);
    });
  }

  /** How many channels are open. */
  get channels(): number {
    return this._channels.size;
  }

  /** Lets all notes arrive that are under way. */
  deliver(): void {
    while (this._notes.length) this._notes.shift()!();
  }

  /** The same, each in a task of its own, as a browser does it. */
  async deliverEach(): Promise<void> {
    while (this._notes.length) {
      this._notes.shift()!();
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Nothing arrives any more in the tab that was the n-th to open a channel of those that are open. */
  hang(n: number): void {
    this._hung = [...this._channels][n];
  }

  /** It goes on, and is told what happened meanwhile: that it lost the lock, or what was said. */
  async goOn(news: "lock" | "notes"): Promise<void> {
    this._hung = undefined;
    const told = news === "lock" ? this._lost : this._held;
    for (const each of told.splice(0)) each();
    await new Promise((resolve) => setImmediate(resolve));
  }

  private _request({ signal, steal }: LockOptions, then: () => unknown): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const one: Request = { then, resolve, reject };
      if (steal) {
        const loser = this._holder, lose = () => loser?.reject(new DOMException("stolen", "AbortError"));
        if (this._hung) this._lost.push(lose); // only one that hangs is stolen from
        else lose();
        this._holder = undefined;
        this._queue.unshift(one);
      } else this._queue.push(one);
      signal?.addEventListener("abort", () => {
        if (!this._queue.includes(one)) return;
        this._queue.splice(this._queue.indexOf(one), 1);
        reject(signal.reason as Error);
      });
      queueMicrotask(() => void this._grant());
    });
  }

  private async _grant(): Promise<void> {
    if (this._holder) return;
    const one = this._holder = this._queue.shift();
    if (!one) return;
    one.resolve(await one.then());
    if (this._holder !== one) return; // stolen
    this._holder = undefined;
    void this._grant();
  }
}
