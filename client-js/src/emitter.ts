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

  /** Calls the handlers of a name, for which nothing waits; `failed` is told of what one of them threw or rejected with. */
  tell(value: unknown, name: string, failed: (error: unknown) => void): void {
    try {
      this.emit(value, name)?.catch(failed);
    } catch (error) {
      failed(error);
    }
  }

  /**
   * Calls the handlers of the names with a value: all of them, also when one fails. Throws what the first of them
   * threw. Returns a promise when one of them did, which is settled when all are, and rejects when one does.
   */
  emit(value: unknown, ...names: string[]): Promise<unknown> | undefined {
    const failures: unknown[] = [];
    const promises: PromiseLike<unknown>[] = [];
    for (const name of names) {
      for (const handler of this._handlers.get(name) ?? []) {
        try {
          const result = handler(value as never) as PromiseLike<unknown> | undefined;
          if (typeof result?.then === "function") promises.push(result);
        } catch (error) {
          failures.push(error);
        }
      }
    }
    const all = promises.length
      ? Promise.allSettled(promises).then((ends) => {
        for (const end of ends) if (end.status === "rejected") throw end.reason;
      })
      : undefined;
    if (failures.length) {
      all?.catch(() => {}); // one failure is reported, the first
      throw failures[0];
    }
    return all;
  }
}
