// What a browser gives its tabs: a Web Lock and a BroadcastChannel, whose notes arrive when a test says so. The two come
// to a tab on ways of their own, so a lock may be granted before a note that was sent earlier.
export class FakeTabs {
  /** Notes that are under way, oldest first. */
  private _notes: (() => void)[] = [];
  private _queue: (() => Promise<void>)[] = []; // who waits for the lock; the first has it
  private _channels = new Set<{ name: string; onmessage: ((event: { data: unknown }) => void) | null }>();
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
        for (const other of others) tabs._notes.push(() => tabs._channels.has(other) && other.onmessage?.({ data }));
      }
      close(): void {
        tabs._channels.delete(this);
      }
    }
    const locks = { request: (_name: string, options: { signal: AbortSignal }, then: () => unknown) => this._request(options.signal, then) };
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

  private _request(signal: AbortSignal, then: () => unknown): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const turn = async () => {
        resolve(await then());
        this._queue.shift();
        void this._queue[0]?.();
      };
      this._queue.push(turn);
      signal.addEventListener("abort", () => {
        if (this._queue.indexOf(turn) > 0) {
          this._queue.splice(this._queue.indexOf(turn), 1);
          reject(signal.reason as Error);
        }
      });
      if (this._queue.length === 1) queueMicrotask(() => void turn());
    });
  }
}
