import assert from "node:assert/strict";
import { join } from "node:path";
import process from "node:process";
import config from "../../deno.json" with { type: "json" };
import { fileURLToPath } from "node:url";
import { within } from "../e2e/daemon_case.ts";
import { Folder, run } from "./command_line.ts";

Deno.test("start --background returns with the daemon's address when it serves", async () => {
  await using folder = new Folder();
  const file = folder.file("app.db");
  const log = join(folder.path, "app.log");
  const { code, stdout, stderr } = await run([
    "start",
    "app.db",
    "--background",
    "--log-file",
    "app.log",
  ], {
    cwd: folder.path,
  });
  assert.equal(code, 0, stderr);
  assert.equal(stderr, "");
  assert.equal(stdout.indexOf("\n"), stdout.length - 1, "it is one line");
  const ready = JSON.parse(stdout);
  assert.deepEqual(Object.keys(ready), ["endpoint", "pid", "version", "log", "created"]);
  assert.deepEqual(ready.created, [file]);
  assert.equal(ready.endpoint, (await run(["endpoint", file])).stdout.trim());
  assert.equal(ready.version, config.version);
  assert.equal(ready.log, log);
  assert.equal(JSON.parse((await run(["status", file, "--json"])).stdout).pid, ready.pid);
  assert.match(Deno.readTextFileSync(log), /Serving/);
});

Deno.test("start --background returns the daemon that serves when one does", async () => {
  await using folder = new Folder();
  const file = folder.file("app.db");
  const first = await run(["start", file, "--background"]);
  const same = [[], ["--durability", "full", "--wal-limit", "1024MiB", "--close-idle", "300s"]];
  for (const options of same) {
    const second = await run([file, "--background", ...options]);
    assert.equal(second.code, 0, second.stderr);
    // That one has not made the file.
    const { created: _, ...ready } = JSON.parse(first.stdout);
    assert.deepEqual(JSON.parse(second.stdout), ready);
  }
});

Deno.test("start --background makes one daemon when several start at once", async () => {
  await using folder = new Folder();
  const file = folder.file("app.db");
  const outcomes = await Promise.all(
    Array.from({ length: 6 }, () => run(["start", file, "--background"])),
  );
  assert.deepEqual(outcomes.map(({ code, stderr }) => [code, stderr]), outcomes.map(() => [0, ""]));
  const ready = outcomes.map(({ stdout }) => JSON.parse(stdout));
  assert.equal(new Set(ready.map(({ pid }) => pid)).size, 1);
  assert.equal(ready.filter(({ created }) => created).length, 1);
});

Deno.test("start --background names every database when there are several", async () => {
  await using folder = new Folder();
  const files = [folder.file("a.db"), folder.file("b.db")];
  const ready = JSON.parse((await run(["start", ...files, "--background"])).stdout);
  assert.deepEqual(ready.databases.map(({ path }: { path: string }) => path), files);
  assert.equal(ready.databases[0].endpoint, ready.endpoint);
  assert.notEqual(ready.databases[1].endpoint, ready.endpoint);
});

Deno.test("start --background says the daemon's reason and exits with its code when it cannot serve", async () => {
  await using folder = new Folder();
  const file = join(folder.path, "missing", "app.db");
  const { code, stdout, stderr } = await run(["start", file, "--background"]);
  assert.equal(code, 5);
  assert.equal(stdout, "");
  assert.match(stderr, /^error: Cannot open .*missing does not exist\nhint: .*\n$/);
});

Deno.test("start --background exits with 3 when another daemon has one of the files", async () => {
  await using folder = new Folder();
  const taken = folder.file("a.db");
  await run(["start", taken, "--background"]);
  const { code, stderr } = await run(["start", taken, folder.file("b.db"), "--background"]);
  assert.equal(code, 3);
  assert.match(stderr, /^error: A daemon \(pid \d+\) serves .*\nhint: .*\n$/);
});

Deno.test("start --background leaves a daemon that a killed one's file goes on to", async () => {
  await using folder = new Folder();
  const file = folder.file("app.db");
  const first = JSON.parse((await run(["start", file, "--background"])).stdout);
  await run(["exec", file, "create table t (a)", "insert into t values (1)"]);
  process.kill(first.pid, "SIGKILL");
  const { code, stdout, stderr } = await run(["start", file, "--background"]);
  assert.equal(code, 0, stderr);
  assert.notEqual(JSON.parse(stdout).pid, first.pid);
  assert.equal((await run(["query", file, "select a from t", "--csv"])).stdout, "a\n1\n");
});

Deno.test({
  name: "start --background leaves to the daemon nothing that the shell has open",
  ignore: Deno.build.os !== "linux", // flock is a command there
  fn: async () => {
    await using folder = new Folder();
    const lock = join(folder.path, "lock");
    const { pid, said } = await startUnder(
      'exec 5>&1 9>"$LOCK"; flock -n 9 || exit 9',
      folder.file("app.db"),
      { LOCK: lock },
    );
    assert.equal(said, "", "the pipe that was 5 is closed");
    const free = await new Deno.Command("flock", { args: ["-n", lock, "true"] }).output();
    assert.equal(free.code, 0, "the lock is free");
    const open = [...Deno.readDirSync(`/proc/${pid}/fd`)].map(({ name }) =>
      linkOf(`/proc/${pid}/fd/${name}`)
    );
    assert.ok(!open.includes(lock));
    assert.equal((await run(["status", folder.file("app.db")])).code, 0);
  },
});

/** Starts in the background after `before` in a shell. What comes through its standard output is read to the end. */
async function startUnder(
  before: string,
  file: string,
  env: Record<string, string>,
): Promise<{ pid: number; said: string }> {
  const ready = `${file}.ready`;
  const main = fileURLToPath(new URL("../../daemon/main.ts", import.meta.url));
  const child = new Deno.Command("sh", {
    args: [
      "-c",
      `${before}; exec "$0" run -A --quiet "$1" start "$2" --background >"$3"`,
      Deno.execPath(),
      main,
      file,
      ready,
    ],
    env,
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const said = new Response(child.stdout).text();
  assert.equal((await child.status).code, 0);
  return {
    pid: JSON.parse(Deno.readTextFileSync(ready)).pid,
    said: await within(20_000, () => said),
  };
}

function linkOf(path: string): string {
  try {
    return Deno.readLinkSync(path);
  } catch {
    return ""; // it was closed meanwhile
  }
}
