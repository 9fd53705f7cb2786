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
    const page = globalThis as unknown as Partial<Window>;
    const { document } = page;
    const watched: [Partial<EventTarget> | undefined, string, () => void][] = [
      [page, "online", wake], [page, "offline", wake], [page, "pageshow", wake], [page, "pagehide", hide],
      [document, "resume", wake], // after a freeze
      [document, "visibilitychange", () => (document?.visibilityState === "hidden" ? hide() : wake())],
    ];
    const each = (method: "addEventListener" | "removeEventListener") =>
      watched.forEach(([target, name, handler]) => target?.[method]?.(name, handler));
    each("addEventListener");
    return () => each("removeEventListener");
  },
  offline: () => (globalThis as unknown as Partial<Window>).navigator?.onLine === false,
};
