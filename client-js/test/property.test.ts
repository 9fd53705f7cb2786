// Whatever happens, in whatever order: each message once, in the order of its stream, nothing missing that no gap told of,
// and nothing acknowledged that was not handled.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import fc from "fast-check";
import { comparePositions, ImClient, type Message } from "../src/index.js";
import { remember } from "../src/remember.js";
import { advance, restoreTime, settle, stopTime } from "./rig/clock.js";
import { FakeServer } from "./rig/fakeServer.js";

type Step =
  | { do: "publish"; stream: string; from: string; again: boolean; receipt: boolean }
  | { do: "drop" | "migrate" | "trim" | "lose" | "forget" | "wait" | "hold" | "flush" | "settle" | "dead" };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6, arbitrary: fc.record({
      do: fc.constant("publish" as const), stream: fc.constantFrom("inbox", "group:room", "all"), from: fc.constantFrom("bob", "carol"),
      again: fc.integer({ min: 0, max: 9 }).map((n) => n === 0), receipt: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.constantFrom("drop" as const, "migrate" as const).map((what) => ({ do: what })) },
  {
    weight: 3,
    arbitrary: fc.constantFrom("trim" as const, "lose" as const, "forget" as const, "wait" as const, "hold" as const, "flush" as const,
      "settle" as const, "dead" as const).map((what) => ({ do: what })),
  },
);

/** What makes a message another one. */
const keyOf = (stream: string, { from, id }: Pick<Message, "from" | "id">) => `${stream} ${from} ${id}`;

/** How each handler ends: at once, later, or by failing the first time. */
const kinds = fc.infiniteStream(fc.constantFrom("now", "now", "now", "later", "throws", "rejects"));

async function run(steps: Step[], kind: Iterator<string>, mayLose: boolean): Promise<void> {
  const server = new FakeServer();
  server.logs.set("group:room", []);
  const published = new Map<string, string[]>(); // keys by stream
  const ids = new Set<string>();
  const first: Message[] = []; // each first time that a handler was called
  const handled = new Set<string>(); // by position
  const failed = new Set<string>();
  const lossy = new Set<string>(); // streams with a gap
  const open: (() => void)[] = [];
  const im = new ImClient<string>({ connectUrl: server.connectUrl, WebSocket: server.Socket });
  im.on("error", () => {});
  im.on("gap", ({ stream }) => lossy.add(stream));
  im.on("message", (m) => {
    const key = keyOf(m.stream, m);
    assert.ok(!handled.has(key), `${key} was handled before`);
    if (failed.has(key)) return void handled.add(key);
    assert.ok(!first.some((one) => keyOf(one.stream, one) === key), `${key} came twice`);
    first.push(m);
    switch (kind.next().value) {
      case "later": return new Promise<void>((resolve) => open.push(() => { handled.add(key); resolve(); }));
      case "throws": failed.add(key); throw new Error("broken");
      case "rejects": failed.add(key); return Promise.reject(new Error("broken"));
      default: return void handled.add(key);
    }
  });
  server.onFrame = (_, frame) => {
    if (frame.type !== "ack") return;
    for (const [stream, pos] of Object.entries(frame.pos)) {
      for (const m of first) {
        if (m.stream !== stream || lossy.has(stream) || comparePositions(m.pos!, pos) > 0) continue;
        assert.ok(handled.has(keyOf(stream, m)), `${m.id} was acknowledged and not handled`);
      }
    }
  };
  void im.connect();
  await advance(50);
  let n = 0;
  for (const one of steps) {
    switch (one.do) {
      case "publish": {
        const id = one.again && ids.size ? [...ids][n % ids.size]! : `m${n++}`;
        const key = keyOf(one.stream, { from: one.from, id }), before = published.get(one.stream) ?? [];
        if (!before.includes(key)) published.set(one.stream, [...before, key]);
        ids.add(id);
        server.publish(one.stream, id, { from: one.from, ...(one.receipt ? { receipt: "delivered" } : {}) });
        break;
      }
      case "drop": server.drop([1006, 4000, 4003][n % 3]); break;
      case "migrate": server.open.at(-1)?.give({ type: "migrate", url: server.url(), withinMs: 1_000 }); break;
      case "trim": if (mayLose) server.trim("inbox", 1); break;
      case "lose": if (mayLose) server.lose("group:room", 1); break;
      case "forget": server.forgetTokens(); break;
      case "wait": await advance(600); break;
      case "hold": server.hold = true; break;
      case "flush": server.hold = false; server.flush(); break;
      case "settle": for (const end of open.splice(0)) end(); await settle(); break;
      case "dead": if (server.open.length) server.last.dead = true; break;
    }
    if (n % 3 === 0) await settle();
  }
  server.hold = false;
  server.flush();
  for (const end of open.splice(0)) end();
  await advance(50_000, 500); // a dead connection is found after 35 s; in small steps this would be most of what the test costs
  for (let i = 0; i < 2; i++) { // what failed comes again
    server.drop();
    await advance(3_000, 100);
    for (const end of open.splice(0)) end();
    await advance(1_500, 100);
  }
  im.close();
  for (const stream of ["inbox", "group:room", "all"]) {
    const want = published.get(stream) ?? [];
    const own = first.filter((m) => m.stream === stream);
    const places = own.map((m) => m.pos!);
    assert.deepEqual(places, [...places].sort(comparePositions), `the order of ${stream}`);
    if (mayLose && lossy.has(stream)) continue;
    assert.equal(lossy.has(stream), false, `${stream}: a gap without a loss`);
    assert.deepEqual(own.map((m) => keyOf(stream, m)), want, `nothing of ${stream} is missing, and nothing else is there`);
    const end = server.logs.get(stream)?.at(-1)?.pos;
    if (end) assert.equal(server.acked[stream], end, `all of ${stream} is acknowledged in the end`);
  }
}

describe("whatever happens", () => {
  before(stopTime);
  after(restoreTime);
  for (const mayLose of [false, true]) {
    it(mayLose ? "what is lost is told" : "each message comes once, in order, and is acknowledged when it was handled", async () => {
      await fc.assert(fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 60 }), kinds, (steps, kind) => run(steps, kind, mayLose)),
        { numRuns: Number(process.env["RUNS"] ?? 60), ...(process.env["SEED"] ? { seed: Number(process.env["SEED"]) } : {}) });
    });
  }
});

describe("what is remembered", () => {
  it("is bounded, and forgets the oldest first", () => {
    fc.assert(fc.property(fc.array(fc.integer({ min: 0, max: 30 })), (ids) => {
      const seen = new Set<string>();
      const model: number[] = [];
      for (const id of ids) {
        assert.equal(remember(seen, String(id), 10), !model.includes(id));
        if (model.includes(id)) continue;
        model.push(id);
        if (model.length > 10) model.shift();
      }
    }));
  });
});
