import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { asEnv } from "../src/dialogs/files";

// Every character that a client id may have.
const clientId = "aZ09!#$%&()*+-./;<=>?@[]^_{|}~$HOME$(id)!!%PATH%";
const secret = "gqls_example";
const page = readFileSync("../../docs/console.md", "utf8");

/** The command that the page gives for programs of this name. */
function commandFor(name: string): string {
  const row = page.split("\n").find((line) => line.startsWith("| ") && line.split("|")[1]?.includes(name));
  return row?.match(/`([^`]+My-app\.env[^`]*)`/)?.[1]?.replace(" …", "") ?? assert.fail(`no command for ${name}`);
}

function inFolder(run: (folder: string) => void) {
  const folder = mkdtempSync(join(tmpdir(), "gqls-env-"));
  try {
    writeFileSync(join(folder, "My-app.env"), asEnv({ clientId, clientName: "My app", secret, settings: null }));
    run(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

for (const shell of ["bash", "dash", "fish"]) {
  const isInstalled = spawnSync(shell, ["-c", "exit 0"]).status === 0;
  test(`${shell} reads the .env file as it was written`, { skip: !isInstalled && `${shell} is not installed` }, () => {
    inFolder((folder) => {
      const program = `"${process.execPath}" -p "JSON.stringify([process.env.CLIENT_ID, process.env.CLIENT_SECRET])"`;
      const script = `${commandFor(shell)}\n${program}`;
      const { stdout, stderr } = spawnSync(shell, ["-c", script], {
        cwd: folder,
        encoding: "utf8",
        env: { HOME: folder, PATH: process.env.PATH },
      });
      assert.deepEqual(JSON.parse(stdout || "[]"), [clientId, secret], stderr);
    });
  });
}

test("without its quotes the .env file is what docker run reads: the rest of each line", () => {
  inFolder((folder) => {
    const lines = commandFor("docker run").match(/<\((.+)\)/)?.[1] ?? assert.fail("no process substitution");
    const { stdout } = spawnSync("bash", ["-c", lines], { cwd: folder, encoding: "utf8" });
    assert.equal(stdout, `CLIENT_ID=${clientId}\nCLIENT_SECRET=${secret}\n`);
  });
});
