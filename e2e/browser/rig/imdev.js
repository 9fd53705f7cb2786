// Runs imdev, the development program with everything in one process, on free ports.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { eventually } from "./eventually.js";

const START_MS = 30_000; // a cold machine under load
const STOP_MS = 15_000;

/** The program, which rig/run.js has built. */
function program() {
  const path = process.env["IMDEV_BIN"];
  if (!path) throw new Error("IMDEV_BIN is not set: run the tests by npm test [-- test/one.test.js]");
  return path;
}

/**
 * @param {{ args?: string[] }} [options]
 * @returns {Promise<Imdev>}
 */
export async function startImdev({ args = [] } = {}) {
  const child = spawn(program(), ["--web-listen", "127.0.0.1:0", "--node-listen", "127.0.0.1:0", ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, IM_LOG_LEVEL: "warn" },
  });
  /** @type {string[]} */
  const output = [];
  const ready = new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`imdev is not ready:\n${output.join("\n")}`)), START_MS);
    child.once("exit", (code) => reject(new Error(`imdev ended with ${code}:\n${output.join("\n")}`)));
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on("line", (line) => {
        output.push(line);
        const web = output.join("\n").match(/http:\/\/127\.0\.0\.1:\d+/u)?.[0];
        const node = output.join("\n").match(/ws:\/\/127\.0\.0\.1:\d+\/ws/u)?.[0];
        if (!web || !node) return;
        clearTimeout(timer);
        resolve({ web, node });
      });
    }
  });
  try {
    const { web, node } = await ready;
    const imdev = new Imdev(child, web, node, output);
    // The addresses are printed as soon as they are known.
    await eventually("the API answers", () => imdev.url("rig").catch(() => undefined), START_MS);
    return imdev;
  } catch (error) {
    child.kill("SIGKILL"); // or the test would wait for it
    throw error;
  }
}

export class Imdev {
  apiKey = "dev-key";

  /**
   * @param {import("node:child_process").ChildProcess} child
   * @param {string} web
   * @param {string} node
   * @param {string[]} output
   */
  constructor(child, web, node, output) {
    this.child = child;
    this.web = web;
    this.node = node;
    this.output = output;
  }

  /**
   * Calls the HTTP API.
   * @param {string} method
   * @param {string} path
   * @param {unknown} [body]
   */
  async call(method, path, body) {
    const answer = await fetch(this.web + path, {
      method,
      headers: { Authorization: `Bearer ${this.apiKey}`, ...(body === undefined ? {} : { "Content-Type": "application/json" }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return text ? JSON.parse(text) : undefined;
  }

  /** A fresh URL for a client, when there is a node: on a busy machine it may be silent for a moment. @param {string} clientId @param {object} [more] @returns {Promise<string>} */
  url(clientId, more = {}) {
    return eventually("a node", async () => {
      try {
        return (await this.call("POST", "/v1/connect", { clientId, ...more })).url;
      } catch (error) {
        if (!String(error).includes("/v1/connect: 503 ")) throw error;
      }
    }, START_MS);
  }

  async stop() {
    if (this.child.exitCode !== null) return;
    const ended = new Promise((resolve) => this.child.once("exit", resolve));
    this.child.kill("SIGTERM");
    const timer = setTimeout(() => this.child.kill("SIGKILL"), STOP_MS);
    await ended;
    clearTimeout(timer);
  }
}
