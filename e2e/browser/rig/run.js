// Runs the tests: builds imdev once, unless IMDEV_BIN names one, and lets Node's test runner do the rest.
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const here = join(import.meta.dirname, "..");
const folder = mkdtempSync(join(tmpdir(), "imtier-"));
const built = join(folder, "imdev");
try {
  if (!process.env["IMDEV_BIN"]) {
    execFileSync("go", ["build", "-o", built, "./cmd/imdev"], { cwd: join(here, "../../dev"), stdio: "inherit" });
  }
  const files = process.argv.length > 2 ? process.argv.slice(2)
    : readdirSync(join(here, "test")).filter((name) => name.endsWith(".test.js")).map((name) => join("test", name));
  const { status } = spawnSync(process.execPath, ["--test", "--test-concurrency=1", "--test-reporter=spec", ...files], {
    cwd: here, stdio: "inherit", env: { ...process.env, IMDEV_BIN: process.env["IMDEV_BIN"] ?? built },
  });
  process.exitCode = status ?? 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
