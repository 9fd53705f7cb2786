// Runs the tests: builds, bundles the test files, builds the Go programs that some of them need, and lets Node's
// runner do the rest. Names of files in test/ as arguments run only these.
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { build } from "esbuild";
import { root } from "./files.js";

const TIMEOUT_MS = 180_000; // for one file; the long test of kills takes most of it

const wanted = process.argv.slice(2).map((path) => basename(path));
const files = wanted.length ? wanted : readdirSync(join(root, "test")).filter((name) => name.endsWith(".test.ts"));
const folder = mkdtempSync(join(tmpdir(), "imtier-client-"));
try {
  execFileSync(process.execPath, [join(root, "scripts/build.js"), "--check"], { stdio: "inherit" });
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  await build({
    absWorkingDir: root, entryPoints: files.map((name) => join("test", name)), outdir: folder, outExtension: { ".js": ".mjs" },
    bundle: true, packages: "external", platform: "node", format: "esm", target: "node20", sourcemap: "inline", logLevel: "error",
  });
  const env = { ...process.env, CLIENT_JS: root, TMPDIR: folder };
  if (files.some((name) => name.startsWith("server"))) {
    const bin = join(folder, "bin/");
    execFileSync("go", ["build", "-o", bin, "./imserver/cmd/imserver", "./webapi/cmd/webapi"], { cwd: join(root, ".."), stdio: "inherit" });
    Object.assign(env, { IMTIER_BIN: bin });
  }
  const { status } = spawnSync(process.execPath, [
    "--enable-source-maps", "--test", `--test-timeout=${TIMEOUT_MS}`, "--test-reporter=spec", ...files.map((name) => join(folder, name.replace(/\.ts$/u, ".mjs"))),
  ], { cwd: root, stdio: "inherit", env });
  process.exitCode = status ?? 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
