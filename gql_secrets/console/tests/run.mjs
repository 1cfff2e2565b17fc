// Bundles the unit tests (Node runs no TypeScript of its own before version 22) and gives them to `node --test`.
import { spawnSync } from "node:child_process";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { build } from "esbuild";

const here = import.meta.dirname;
// Inside of this folder, so that the bundles find node_modules.
const bundles = await mkdtemp(join(here, "bundled-"));
try {
  const names = (await readdir(here)).filter((name) => name.endsWith(".test.ts"));
  await build({
    entryPoints: names.map((name) => join(here, name)),
    bundle: true,
    platform: "node",
    format: "esm",
    packages: "external",
    outdir: bundles,
    outExtension: { ".js": ".mjs" },
    sourcemap: "inline",
    jsx: "automatic",
    jsxImportSource: "preact",
    logLevel: "error",
  });
  const tests = names.map((name) => join(bundles, name.replace(/\.ts$/, ".mjs")));
  const { status } = spawnSync(process.execPath, ["--enable-source-maps", "--test", ...tests], {
    stdio: "inherit",
    env: { ...process.env, TZ: "UTC", LANG: "en_US.UTF-8" },
  });
  process.exitCode = status ?? 1;
} finally {
  await rm(bundles, { recursive: true, force: true });
}
