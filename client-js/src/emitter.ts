type Handler = (value: never) => unknown;

/** Handlers by the name of their event. */
export class Emitter {
  private _handlers = new Map<string, Handler[]>();

  /** Adds a handler; the function that is returned removes it. */
  on(name: string, handler: Handler): () => void {
    this._handlers.set(name, [...(this._handlers.get(name) ?? []), handler]);
    return () => this.off(name, handler);
  }

  /** Removes a handler, once for each time that it was added. */
  off(name: string, handler: Handler): void {
    const list = this._handlers.get(name) ?? [], at = list.lastIndexOf(handler);
    this._handlers.set(name, list.filter((_, i) => i !== at));
  }

  has(name: string): boolean {
    return Boolean(this._handlers.get(name)?.length);
  }

  /**
   * Calls the handlers of the names with a value: all of them, also when one fails. Returns a promise when one of them did
   * or failed: it is fulfilled when all are, and rejects as soon as one fails.
   */
  emit(value: unknown, ...names: string[]): Promise<unknown> | undefined {
    const promises: PromiseLike<unknown>[] = [];
    for (const name of names) {
      for (const handler of this._handlers.get(name) ?? []) {
        try {
          const result = handler(value as never) as PromiseLike<unknown> | undefined;
          if (typeof result?.then === "function") promises.push(result);
        } catch (error) {
          promises.push(Promise.reject(error));
        }
      }
    }
    return promises.length ? Promise.all(promises) : undefined;
  }
}
