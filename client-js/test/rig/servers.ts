// Real programs on free ports of the loopback: redis-server, webapi and imservers, which tests may kill.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { createConnection, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "./eventually.js";

const API_KEY = "test-key";
const START_MS = 20_000;
const REQUEST_MS = 15_000; // more than any request may wait
const LOWEST_PORT = 12_000;
const BLOCK = 100; // ports
const BLOCKS = 180;

export class Program {
  private _child: ChildProcess | undefined;

  constructor(readonly name: string, private _path: string, private _args: string[], private _env: Record<string, string>,
    private _log: string, private _ready: () => Promise<boolean>) {}

  async start(): Promise<void> {
    const log = openSync(this._log, "a");
    this._child = spawn(this._path, this._args, { env: { PATH: process.env["PATH"], ...this._env }, stdio: ["ignore", log, log] });
    await this.ready();
  }

  /** Waits until it answers. */
  async ready(): Promise<void> {
    await eventually(`${this.name} is ready`, () => {
      if (typeof this._child?.exitCode === "number") {
        throw new Error(`${this.name} ended with ${this._child.exitCode}:\n${readFileSync(this._log, "utf8").slice(-1_000)}`);
      }
      return this._ready().catch(() => false);
    }, START_MS);
  }

  /** Ends it, and waits until it has ended. */
  async end(signal: "SIGTERM" | "SIGKILL" = "SIGKILL"): Promise<void> {
    const child = this._child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    child.kill(signal);
    await ended;
  }

  /** Ends it with the test, however that ends. */
  killNow(): void {
    this._child?.kill("SIGKILL");
  }
}

export class Servers {
  readonly dir = mkdtempSync(join(tmpdir(), "imtier-servers-"));
  redis!: Program;
  webapi!: Program;
  nodes: Program[] = [];
  web = "";
  private _all: Program[] = [];
  private _killAll = () => this._all.forEach((one) => one.killNow());

  /** Starts Redis, webapi and some imservers, with more settings for the imservers and for webapi. */
  static async start(count = 2, nodeEnv: Record<string, string> = {}, webEnv: Record<string, string> = {}): Promise<Servers> {
    const servers = new Servers();
    process.once("exit", servers._killAll);
    const [redis, web, webAdmin, ...ports] = await freePorts(3 + 2 * count) as [number, number, number, ...number[]];
    servers.web = `http://127.0.0.1:${web}`;
    const bin = process.env["IMTIER_BIN"];
    if (!bin) throw new Error("IMTIER_BIN is not set: run the tests by npm test");
    const common = {
      IM_REDIS_URL: `redis://127.0.0.1:${redis}`, IM_LOG_LEVEL: "info",
      IM_SIGNING_KEYS: `test:${Buffer.alloc(32, "imtier").toString("base64")}`, IM_PARTITIONS: "16",
      IM_HISTORY_SIZE: "10000", // of what is sent while a client waits for its next attempt, which may be 30 s, nothing is forgotten
    };
    servers.redis = servers._program("redis", "redis-server", [
      "--port", String(redis), "--bind", "127.0.0.1", "--dir", servers.dir, "--save", "", "--appendonly", "yes", "--daemonize", "no",
    ], {}, () => pings(redis));
    servers.webapi = servers._program("webapi", join(bin, "webapi"), [], {
      ...common, IM_LISTEN: `127.0.0.1:${web}`, IM_ADMIN_LISTEN: `127.0.0.1:${webAdmin}`, IM_API_KEYS: API_KEY, ...webEnv,
    }, () => answers(`http://127.0.0.1:${webAdmin}/readyz`));
    for (let i = 0; i < count; i++) {
      const [port, admin] = ports.slice(2 * i) as [number, number];
      servers.nodes.push(servers._program(`imserver-${i}`, join(bin, "imserver"), [], {
        ...common, IM_LISTEN: `127.0.0.1:${port}`, IM_ADMIN_LISTEN: `127.0.0.1:${admin}`, IM_PUBLIC_URL: `ws://127.0.0.1:${port}/ws`,
        IM_DRAIN_TIMEOUT: "3s", ...nodeEnv,
      }, () => answers(`http://127.0.0.1:${admin}/readyz`)));
    }
    try {
      await servers.redis.start();
      await Promise.all([servers.webapi, ...servers.nodes].map((one) => one.start()));
      await eventually("webapi knows the nodes", async () => (await servers.insist("GET", "/v1/nodes")).nodes.length === count);
    } catch (error) {
      await servers.stop(); // or what has started would keep the test from ending
      throw error;
    }
    return servers;
  }

  /** Calls webapi. */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- answers of many shapes
  async call(method: string, path: string, body?: unknown): Promise<any> {
    const answer = await fetch(this.web + path, {
      method, headers: { authorization: `Bearer ${API_KEY}`, "content-type": "application/json" },
      body: body === undefined ? null : JSON.stringify(body), signal: AbortSignal.timeout(REQUEST_MS),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return text ? JSON.parse(text) : undefined;
  }

  /**
   * Calls webapi until the answer is not 503: on a busy machine it may lose sight of Redis for a moment. For what may be
   * done twice.
   */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- answers of many shapes
  async insist(method: string, path: string, body?: unknown): Promise<any> {
    let answer: unknown;
    await eventually(`an answer other than 503 to ${method} ${path}`, async () => {
      try {
        answer = await this.call(method, path, body);
        return true;
      } catch (error) {
        if (!String(error).includes(`${path}: 503 `)) throw error;
        return false;
      }
    });
    return answer;
  }

  /** The option connectUrl of a client. */
  connectUrl(clientId: string, more: object = {}): () => Promise<string> {
    return async () => (await this.call("POST", "/v1/connect", { clientId, ...more })).url;
  }

  /** Which node holds a client. */
  async nodeOf(clientId: string): Promise<Program> {
    let found: Program | undefined;
    await eventually(`a node has ${clientId}`, async () => {
      const { connections } = await this.insist("GET", `/v1/clients/${clientId}`);
      const { nodes } = await this.insist("GET", "/v1/nodes");
      const url = nodes.find((one: { id: string }) => one.id === connections.at(-1)?.node)?.url;
      found = this.nodes.find((node) => node["_env"]["IM_PUBLIC_URL"] === url);
      return found;
    });
    return found!;
  }

  async stop(): Promise<void> {
    await Promise.all(this._all.map((one) => one.end()));
    process.off("exit", this._killAll);
    rmSync(this.dir, { recursive: true, force: true });
  }

  private _program(name: string, path: string, args: string[], env: Record<string, string>, ready: () => Promise<boolean>): Program {
    const program = new Program(name, path, args, env, join(this.dir, `${name}.log`), ready);
    this._all.push(program);
    return program;
  }
}

/**
 * Ports that nobody listens on, below those that the kernel gives to outgoing connections. Test files may run side by side:
 * each takes from a block of its own, of which it holds the first until it ends.
 */
async function freePorts(count: number): Promise<number[]> {
  for (;;) {
    const first = LOWEST_PORT + BLOCK * Math.floor(Math.random() * BLOCKS);
    const holder = createServer().unref();
    if (!await listens(holder, first)) continue;
    const found: number[] = [];
    for (let port = first + 1; port < first + BLOCK && found.length < count; port++) {
      const server = createServer();
      if (await listens(server, port)) found.push(port);
      server.close();
    }
    if (found.length === count) return found;
    holder.close();
  }
}

/** Whether a server can listen on a port, on all addresses. */
function listens(server: Server, port: number): Promise<boolean> {
  return once(server.listen(port), "listening").then(() => true, () => false);
}

async function answers(url: string): Promise<boolean> {
  return (await fetch(url, { signal: AbortSignal.timeout(1_000) })).ok;
}

function pings(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(port, "127.0.0.1", () => socket.write("PING\r\n"));
    socket.once("data", (data) => {
      socket.destroy();
      resolve(data.toString().startsWith("+PONG"));
    });
    socket.once("error", () => resolve(false));
  });
}
