// Tabs that share a socket, where the order matters in which a browser lets them know things. Real browsers: e2e/browser.
import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it, mock } from "node:test";
import { ImClient, type ImError, type Options, type StateChange } from "../src/index.js";
import { advance, restoreTime, setBack, settle, stopTime } from "./rig/clock.js";
import { FakeServer } from "./rig/fakeServer.js";
import { FakeTabs } from "./rig/fakeTabs.js";

describe("tabs that share a socket", () => {
  let server: FakeServer;
  let browser: FakeTabs;
  let tabs: { im: ImClient; states: StateChange[]; ids: string[]; gaps: unknown[] }[];

  function client(options: Partial<Options> = {}): ImClient {
    const im = new ImClient({ connectUrl: server.connectUrl, WebSocket: server.Socket, shared: true, ...options });
    const states: StateChange[] = [];
    im.on("state", (change) => void states.push(change));
    const ids: string[] = [], gaps: unknown[] = [];
    im.on("message", (message) => void ids.push(message.id));
    im.on("gap", (gap) => void gaps.push(gap));
    tabs.push({ im, states, ids, gaps });
    return im;
  }

  async function open(options?: Partial<Options>): Promise<void> {
    const opened = client(options).connect();
    await halfASecond();
    await opened;
  }

  const halfASecond = () => pass(500);

  /** Time goes by, and notes arrive. */
  async function pass(ms: number): Promise<void> {
    for (let i = 0; i < ms; i += 50) {
      await advance(50);
      browser.deliver();
    }
  }

  /** A tab asks something, and the server answers. The list has both. */
  function ask(im: ImClient | undefined): unknown[] {
    const list: unknown[] = [];
    server.onFrame = (socket, frame) => {
      if (frame.type !== "request") return;
      list.push(frame.data);
      socket.give({ type: "reply", id: frame.id, data: "answer" });
    };
    im?.request("question").then((reply) => list.push(reply), (error: ImError) => list.push(error.code));
    return list;
  }

  beforeEach(async () => {
    stopTime();
    server = new FakeServer();
    browser = new FakeTabs();
    browser.install();
    tabs = [];
    for (let i = 0; i < 3; i++) await open();
    assert.equal(server.open.length, 1);
  });
  afterEach(async () => {
    for (const { im } of tabs) im.close();
    await settle();
    browser.remove();
    restoreTime();
  });

  /** Every tab is closed for the server's reason, and nothing connects again. */
  async function allStayAway(): Promise<void> {
    for (let i = 0; i < 10; i++) {
      browser.deliver();
      await advance(1_000);
    }
    for (const { states } of tabs) {
      const change = states.at(-1)!;
      assert.ok(change.state === "closed", change.state);
      assert.deepEqual(change.reason, { by: "server", code: 4500, name: "forced offline", text: "go" });
    }
    assert.equal(server.open.length, 0);
  }

  it("stay away when that comes before the lock", async () => {
    server.drop(4500, "go");
    browser.deliver();
    await allStayAway();
    assert.equal(server.sockets.length, 1);
  });

  it("stay away when the next one leads already", async () => {
    server.drop(4500, "go");
    await settle();
    await allStayAway();
    assert.equal(server.sockets.length, 1);
  });

  it("stay away when the next one has connected already", async () => {
    server.drop(4500, "go");
    await advance(1_000);
    assert.equal(server.sockets.length, 2);
    await allStayAway();
  });

  it("come back when one of them is told to", async () => {
    server.drop(4500, "go");
    await allStayAway();
    for (const { im } of tabs) void im.connect();
    await halfASecond();
    assert.deepEqual(tabs.map(({ im }) => im.state), ["open", "open", "open"]);
    assert.equal(server.open.length, 1);
  });

  it("have what was on its way when the next one began to lead", async () => {
    server.publish("inbox", "on its way");
    server.drop(4500, "go");
    await settle(); // the second tab has the lock, and no note yet
    await allStayAway();
    assert.deepEqual(tabs.map(({ ids }) => ids), tabs.map(() => ["on its way"]));
  });

  it("lose nothing when the first to come back has more than one that comes a little later", async () => {
    const [first, , third] = tabs;
    third?.im.on("message", () => new Promise(() => {})); // it never comes to an end with any
    server.publish("inbox", "a");
    server.drop(4500, "go");
    await allStayAway();
    server.publish("inbox", "b");
    void first?.im.connect();
    await settle(); // it leads, and asked when nobody was there
    void third?.im.connect();
    await halfASecond();
    assert.deepEqual(server.last.got[0], { type: "start", pos: { all: "1000-0", inbox: "1000-0" } });
    assert.deepEqual([first, third].map((tab) => tab?.ids), [["a", "b"], ["a", "b"]]);
    assert.deepEqual(third?.gaps, []);
  });

  it("have only their own connection's id when the last leader's comes late", async () => {
    const [first, second] = tabs;
    server.drop();
    await advance(2_000); // the first connects again, and nobody hears of it yet
    first?.im.close();
    await advance(1_000);
    assert.equal(server.open.length, 1);
    browser.deliver();
    await settle();
    assert.equal(second?.im.connId, `c${server.sockets.length}`);
  });

  for (const when of ["connection", "wait for the next one"]) {
    it(`are not set back by a late answer that comes during the ${when}`, async () => {
      const [first, ...others] = tabs;
      first?.im.close();
      await advance(1_000); // the second has asked and connected; the third is busy
      if (when === "connection") await browser.deliverEach();
      for (let i = 0; i < 50; i++) server.publish("inbox", `m${i}`);
      if (when === "connection") await browser.deliverEach();
      server.trim("inbox", 40);
      server.drop();
      await browser.deliverEach();
      await halfASecond();
      await halfASecond();
      assert.deepEqual(server.last.got[0], { type: "start", pos: { all: "1000-0", inbox: "1000-50" } });
      assert.deepEqual(others.map(({ ids, gaps }) => [ids.length, gaps]), [[50, []], [50, []]]);
    });
  }

  it("get again what a handler failed with, in any of them", async () => {
    const second = tabs[1]!;
    let broken = true;
    second.im.on("error", () => {});
    second.im.on("inbox", () => {
      if (broken) throw new Error("busy");
    });
    server.publish("inbox", "a");
    await halfASecond();
    broken = false;
    server.drop();
    await browser.deliverEach();
    await halfASecond();
    await halfASecond();
    server.publish("inbox", "b");
    await halfASecond();
    assert.deepEqual(tabs.map(({ ids }) => ids), [["a", "b"], ["a", "a", "b"], ["a", "b"]]);
  });

  it("join where their store says, however long that takes", async () => {
    for (const id of ["a", "b", "c"]) server.publish("inbox", id);
    await halfASecond();
    const saved = { clientId: "ann", pos: { inbox: "1000-1", all: "1000-0" } };
    const slow = () => new Promise<typeof saved>((resolve) => setTimeout(() => resolve(saved), 200));
    for (const load of [() => saved, slow]) await open({ store: { load, save() {} } });
    server.publish("inbox", "d");
    await halfASecond();
    const joined = tabs.slice(3);
    assert.deepEqual(joined.map(({ ids }) => ids), [["d"], ["d"]]);
    assert.deepEqual(joined.map(({ gaps }) => gaps), Array(2).fill([{ stream: "inbox", from: "1000-1", to: "1000-3" }]));
  });

  it("have a socket of their own, once and for all, when the code for sharing cannot be loaded", async () => {
    const im = client();
    im.on("error", () => {});
    const share = im["_share"]!;
    im["_share"] = () => {
      im["_share"] &&= share; // it could be loaded the next time
      return Promise.reject(new Error("no such file"));
    };
    server.refuse = true;
    void im.connect();
    await advance(50);
    while (im.state !== "waiting") await advance(50);
    server.refuse = false;
    void im.connect();
    await halfASecond();
    assert.equal(im.state, "open");
    assert.equal(server.open.length, 2);
    im.close();
    await halfASecond();
    assert.equal(server.open.length, 1);
  });

  for (const what of ["locks", "channels"]) it(`have a socket of their own where ${what} are denied, and say so`, async () => {
    const denied = new Error("denied");
    if (what === "locks") (navigator as unknown as { locks: object }).locks = { request: () => Promise.reject(denied) };
    else globalThis.BroadcastChannel = function denies() { throw denied; } as never;
    const im = client();
    const errors: ImError[] = [];
    im.on("error", (error) => void errors.push(error));
    const opened = im.connect();
    await halfASecond();
    await opened;
    assert.deepEqual(errors.map(({ code, cause }) => [code, cause]), [["socket", denied]]);
    assert.equal(server.open.length, 2);
    assert.equal(browser.channels, 3);
    server.publish("inbox", "a");
    assert.deepEqual(tabs.at(-1)?.ids, ["a"]);
    im.close();
    void im.connect();
    await halfASecond();
    assert.deepEqual([im.state, server.open.length, errors.length], ["open", 2, 1]);
  });

  it("are in it once when they are closed and connect again while that code is loaded", async () => {
    for (let wait = 0; wait < 30; wait++) {
      const im = client();
      const pause = async () => {
        for (let i = 0; i < wait; i++) await Promise.resolve();
      };
      void im.connect();
      await pause();
      im.close();
      void im.connect();
      await halfASecond();
      assert.equal(im.state, "open");
      im.close();
      assert.equal(browser.channels, 3, `after ${wait}`);
    }
  });

  it("send what waited for a connection, as soon as there is one", async () => {
    server.onFrame = (socket, frame) => {
      if (frame.type === "request") socket.give({ type: "reply", id: frame.id, data: frame.data });
    };
    const replies: unknown[] = [];
    const ask = (im: ImClient, what: string) => void im.request(what).then((reply) => replies.push(reply), () => {});
    server.refuse = true;
    server.drop();
    await halfASecond();
    const [, second] = tabs;
    second?.im.markRead("b");
    ask(second!.im, "of one that waited");
    server.refuse = false;
    for (const { im } of tabs) void im.connect();
    await halfASecond();
    ask(client(), "of one that joins");
    void tabs[3]?.im.connect();
    await halfASecond();
    assert.deepEqual([replies, server.read], [["of one that waited", "of one that joins"], ["b"]]);
  });

  for (const wait of [0, 50, 100, 150, 200, 250]) {
    for (const resumed of [true, false]) {
      it(`send once what one asks ${wait} ms after the leading one went, ${resumed ? "with" : "without"} its session`, async () => {
        if (!resumed) server.forgetTokens();
        tabs[0]?.im.close();
        await pass(wait);
        const list = ask(tabs[2]?.im);
        await pass(1_000);
        assert.deepEqual(list, ["question", "answer"]);
      });
    }
  }

  it("send what the leading one could not", async () => {
    const { last } = server, send = last.send.bind(last);
    last.send = (text) => {
      if (text.includes("request")) throw new Error("closing");
      send(text);
    };
    const list = ask(tabs[1]?.im);
    await pass(200);
    server.forgetTokens(); // what was sent would be lost now
    server.drop();
    await pass(2_500);
    assert.deepEqual(list, ["question", "answer"]);
  });

  it("connect at once when a tab joins while the leading one waits", async () => {
    mock.method(Math, "random", () => 0.99);
    server.refuse = true;
    server.drop();
    await pass(9_000);
    assert.equal(tabs[0]?.im.state, "waiting");
    server.refuse = false;
    void client().connect();
    await halfASecond();
    mock.restoreAll();
    assert.deepEqual(tabs.map(({ im }) => im.state), Array(4).fill("open"));
  });

  for (const news of [["lock", "notes"], ["notes", "lock"]] as const) {
    it(`go on without a leading one that hangs, and with it when it is back and hears of the ${news.join(", then of the ")}`, async () => {
      const [first, second, third] = tabs, old = server.last;
      server.publish("inbox", "a");
      await pass(200);
      browser.hang(0);
      old.dead = true;
      server.publish("inbox", "b");
      second?.im.wake();
      third?.im.wake();
      await pass(6_000);
      server.publish("inbox", "c");
      await pass(200);
      assert.deepEqual([second, third].map((tab) => [tab?.im.state, tab?.ids]), Array(2).fill(["open", ["a", "b", "c"]]));
      assert.equal(server.sockets.length, 2);
      server.publish("inbox", "d");
      await browser.goOn(news[0]);
      assert.ok(old.closedByClient);
      await browser.goOn(news[1]);
      await pass(1_000);
      assert.deepEqual(tabs.map(({ im, ids, gaps }) => [im.state, ids, gaps]), Array(3).fill(["open", ["a", "b", "c", "d"], []]));
      assert.equal(server.sockets.length, 2);
      second?.im.close();
      third?.im.close();
      server.publish("inbox", "e");
      await pass(1_000);
      assert.deepEqual([first?.ids.at(-1), first?.gaps], ["e", []]);
    });
  }

  it("are not held up by one that hangs when they open", async () => {
    browser.hang(0);
    server.last.dead = true;
    void client().connect();
    await pass(6_000);
    assert.deepEqual(tabs.slice(1).map(({ im }) => im.state), Array(3).fill("open"));
  });

  for (const code of [4004, 4501]) {
    it(`hear no more of one that hung and was closed with ${code}`, async () => {
      const old = server.last;
      browser.hang(0);
      old.dead = true;
      const list = ask(tabs[2]?.im);
      tabs[1]?.im.wake();
      await pass(6_000);
      assert.deepEqual(list, ["question", "answer"]);
      const told = tabs.slice(1).map(({ states }) => states.length);
      old.end(code);
      browser.deliver();
      await settle();
      for (const news of ["lock", "notes"] as const) await browser.goOn(news);
      await pass(1_000);
      assert.deepEqual(tabs.slice(1).map(({ im }) => im.state), ["open", "open"]);
      assert.deepEqual(tabs.slice(1).map(({ states }) => states.length), told);
      if (code === 4004) assert.equal(tabs[0]?.im.state, "open");
      assert.equal(server.open.length, 1);
    });
  }

  it("leave the lead to one that answers, also when the one that asks stood still itself", async () => {
    for (const { im } of tabs) im.wake();
    await pass(10_000);
    tabs[1]?.im.wake();
    browser.hang(1); // its timers go on, late by a minute
    browser.deliver();
    setBack(-60_000);
    await advance(5_500);
    await browser.goOn("notes");
    await pass(5_500);
    mock.restoreAll();
    assert.deepEqual([server.sockets.length, tabs.map(({ im }) => im.state)], [1, Array(3).fill("open")]);
  });

  it("keep what one has read until its own pong, not another's", async () => {
    server.onFrame = (socket, frame) => {
      if (frame.type !== "ping") return;
      socket.give({ type: "pong" });
      socket.dead = true; // what comes after the first is lost
    };
    const [, second, third] = tabs;
    second?.im.markRead("b");
    third?.im.markRead("c");
    await halfASecond();
    assert.deepEqual(server.read, ["b"]);
    server.onFrame = () => {};
    for (let i = 0; i < 2; i++) { // what had its pong is not said again
      server.drop();
      for (let j = 0; j < 3; j++) await halfASecond();
      assert.deepEqual(server.read, ["b", "c"]);
    }
  });

  it("may close in a handler of the state connecting", async () => {
    const third = tabs[2]!;
    third.im.close();
    third.im.on("state", ({ state }) => state === "connecting" && third.im.close());
    void third.im.connect();
    for (const { im } of tabs.slice(0, 2)) im.close(); // nobody else has the lock
    await halfASecond();
    assert.equal(third.im.state, "closed");
    assert.equal(server.open.length, 0);
  });

  it("hear the next leader when they come back", async () => {
    const [first] = tabs;
    first?.im.close();
    await halfASecond();
    void first?.im.connect();
    await halfASecond();
    server.publish("inbox", "a");
    await halfASecond();
    assert.deepEqual(tabs.map(({ ids }) => ids), tabs.map(() => ["a"]));
  });
});
