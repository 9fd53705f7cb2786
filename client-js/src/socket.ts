/** The part of a WebSocket that is used. The browser's and that of the package `ws` fit. */
export interface SocketLike {
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  send(text: string): void;
  close(code?: number, reason?: string): void;
}

/** Makes a socket that connects to a URL and offers one sub-protocol. */
export type SocketConstructor = new (url: string, protocol: string) => SocketLike;
