/** What a client wants to know of the machine it runs on. A page, a worker and Node.js are known; give your own elsewhere. */
export interface Host {
  /**
   * Begins to watch. `wake` when something may have become of the connection: the network came, changed or went, the
   * page is looked at again, the machine slept. `hide` when the page may be gone soon. Returns what ends watching.
   */
  watch(wake: () => void, hide: () => void): () => void;
  /** Whether the machine knows that it has no network. */
  offline(): boolean;
}

/** The host that most have: a browser's page or worker; nothing to watch where there are no such events. */
export const browserHost: Host = {
  watch(wake, hide) {
    const pairs: [EventTarget | undefined, string, () => void][] = [];
    const page = globalThis as unknown as Partial<Window>;
    const { document } = page;
    const at = (target: unknown, name: string, handler: () => void) => {
      if (typeof (target as EventTarget | undefined)?.addEventListener !== "function") return;
      (target as EventTarget).addEventListener(name, handler);
      pairs.push([target as EventTarget, name, handler]);
    };
    for (const name of ["online", "offline", "pageshow"]) at(page, name, wake);
    at(page, "pagehide", hide);
    at(document, "resume", wake); // after a freeze
    at(document, "visibilitychange", () => (document?.visibilityState === "hidden" ? hide() : wake()));
    return () => pairs.forEach(([target, name, handler]) => target?.removeEventListener(name, handler));
  },
  offline: () => typeof navigator !== "undefined" && navigator.onLine === false,
};
