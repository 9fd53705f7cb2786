// What npm pack makes: it installs into a fresh project, works there in all formats, has its types, and is small.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { runInNewContext } from "node:vm";
import { gzipSync } from "node:zlib";

const root = process.env["CLIENT_JS"]!;
const CORE_BYTES = 6 * 1024; // gzip

describe("the package", () => {
  let project = "";
  const run = (command: string, ...args: string[]) => execFileSync(command, args, { cwd: project, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });

  before(() => {
    project = mkdtempSync(join(tmpdir(), "imtier-project-"));
    writeFileSync(join(project, "package.json"), '{ "name": "fresh", "private": true }');
    const [packed] = JSON.parse(execFileSync("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", project], { cwd: root, encoding: "utf8" }));
    run("npm", "install", "--offline", "--no-audit", "--no-fund", `./${packed.filename}`);
  });
  after(() => rmSync(project, { recursive: true, force: true }));

  it("brings no dependencies", () => {
    assert.deepEqual(JSON.parse(run("npm", "ls", "--all", "--json")).dependencies["@imtier/client"].dependencies, undefined);
  });

  it("works by import and by require", () => {
    const use = "const im = new ImClient({ connectUrl: () => '' }); console.log(im.state, typeof miniProgram, comparePositions('2-1', '10-1') < 0);";
    const names = ["ImClient, comparePositions", "@imtier/client", "miniProgram", "@imtier/client/mini"];
    writeFileSync(join(project, "a.mjs"), `import { ${names[0]} } from "${names[1]}"; import { ${names[2]} } from "${names[3]}"; ${use}`);
    writeFileSync(join(project, "b.cjs"), `const { ${names[0]} } = require("${names[1]}"); const { ${names[2]} } = require("${names[3]}"); ${use}`);
    for (const file of ["a.mjs", "b.cjs"]) assert.equal(run(process.execPath, file), "idle function true\n");
  });

  it("comes back soon after a refusal with the WebSocket of Node.js, which tells it by an error alone", () => {
    writeFileSync(join(project, "refused.mjs"), `
      import { createServer } from "node:http";
      import { ImClient } from "@imtier/client";
      const server = createServer().on("upgrade", (_, socket) => socket.end("HTTP/1.1 409 Conflict\\r\\ncontent-length: 0\\r\\n\\r\\n"));
      server.listen(0, "127.0.0.1", () => {
        let asked = 0;
        const end = (text) => { console.log(text); process.exit(); };
        setTimeout(() => end("too late"), 10_000);
        const im = new ImClient({ connectUrl: () => ++asked === 3 ? end("asked again") : "ws://127.0.0.1:" + server.address().port });
        im.connect().catch(end);
      });`);
    assert.equal(run(process.execPath, "--experimental-websocket", "refused.mjs"), "asked again\n"); // the flag is for Node.js 20
  });

  it("works as a script, in one file", () => {
    const context: Record<string, unknown> = {};
    runInNewContext(readFileSync(join(project, "node_modules/@imtier/client/dist/imtier.global.js"), "utf8")
      + "; this.state = new imtier.ImClient({ connectUrl() {} }).state; this.type = typeof imtier.webStorage", context);
    assert.deepEqual([context["state"], context["type"]], ["idle", "function"]);
  });

  it("has types for both, in strict projects", () => {
    const use = `
      const im = new ImClient<{ text: string }>({ connectUrl: async () => "ws://x", ...miniProgram({} as MiniProgram), shared: true });
      im.on("group:room", async (m) => m.data.text.length);
      im.on("state", (change) => { if (change.state === "closed") console.log(change.reason.by); });
      const reply: Promise<number> = im.request<number>({ a: 1 });
      // @ts-expect-error -- there is no such event
      im.on("nothing", () => {});
      export { reply };`;
    for (const name of ["types.mts", "types.cts"]) {
      writeFileSync(join(project, name), `import { ImClient } from "@imtier/client"; import { miniProgram, type MiniProgram } from "@imtier/client/mini";${use}`);
    }
    writeFileSync(join(project, "types.ts"), readFileSync(join(project, "types.mts")));
    for (const [module, resolution, ...files] of [
      ["nodenext", "nodenext", "types.mts", "types.cts"], ["esnext", "bundler", "types.mts"],
      ["esnext", "node10", "types.ts", "--ignoreDeprecations", "6.0"], // which looks into no exports
    ] as const) {
      run(process.execPath, join(root, "node_modules/typescript/bin/tsc"), "--noEmit", "--skipLibCheck", "--strict", "--exactOptionalPropertyTypes",
        "--target", "es2020", "--lib", "es2022,dom", "--module", module, "--moduleResolution", resolution, ...files);
    }
  });

  it("has a core of 6 KB at most", () => {
    const bytes = gzipSync(readFileSync(join(root, "dist/esm/index.js")), { level: 9 }).length;
    assert.ok(bytes <= CORE_BYTES, `${bytes} bytes`);
    const source = readFileSync(join(root, "dist/esm/index.js"), "utf8");
    assert.deepEqual([...source.matchAll(/(?:from|import)\s*\(?["']([^"']+)["']/gu)].map(([, name]) => name!.split("-")[0]), ["./tabs"],
      "nothing else is loaded, and that only when it is asked for");
  });

  it("shows code in its README that type-checks", () => {
    const readme = readFileSync(join(root, "README.md"), "utf8");
    const connectUrl = "declare const connectUrl: () => Promise<string>;\n";
    const imported = 'import { ImClient } from "@imtier/client";\n';
    // Under each heading the first piece of code, and what it takes for given.
    const pieces: [heading: string, before: string][] = [
      ["# @imtier/client", "declare function show(from: string | undefined, data: unknown): void;\n"],
      ["### React", connectUrl],
      ["### A message that has to be stored", "declare const im: import('@imtier/client').ImClient, db: { put(table: string, value: object): Promise<void> };\n"],
      ["### Receipts", `declare const im: import("@imtier/client").ImClient; declare function mark(id: string, state: string): void;
        declare function show(m: import("@imtier/client").Message): void;
        declare function whenSeen(m: import("@imtier/client").Message, then: () => void): void;\n`],
      ["### Node.js", imported + connectUrl],
      ["### WeChat", `${imported}declare const wx: import("@imtier/client/mini").MiniProgram & { request(options: object): void };\n`],
    ];
    const folder = join(project, "readme");
    mkdirSync(folder, { recursive: true });
    symlinkSync(join(root, "node_modules/@types"), join(project, "node_modules/@types"));
    const files = pieces.map(([heading, before], i) => {
      const [, kind, code] = /```(tsx?)\n([^]*?)```/u.exec(readme.slice(readme.indexOf(`${heading}\n`)))!;
      writeFileSync(join(folder, `${i}.${kind}`), `${before}${code}\nexport {};\n`);
      return `readme/${i}.${kind}`;
    });
    run(process.execPath, join(root, "node_modules/typescript/bin/tsc"), "--noEmit", "--skipLibCheck", "--strict", "--target", "es2022", "--lib", "es2022,dom",
      "--jsx", "react-jsx", "--types", "node", "--module", "esnext", "--moduleResolution", "bundler", ...files);
  });
});
