import assert from "node:assert/strict";
import { basename, join } from "node:path";
import { executable } from "../daemon_fixture.ts";
import { runCommand } from "../e2e/command.ts";
import { daemonTest, until } from "../e2e/daemon_case.ts";
import { connect } from "../../mod.ts";

if (!executable) console.log("Skipping tests of the executable: SKYLINEDB_TEST_EXE is not set");
const ignore = !executable || Deno.build.os === "windows";

daemonTest("executable serves, with its own SQLite inside", async (it) => {
  const { exe, version } = await it.client.ask({ type: "Ping" });
  assert.equal(exe, await Deno.realPath(executable![0]));
  const { stdout, code } = await runCommand(["--version"]);
  assert.deepEqual([stdout.trim(), code], [version, 0]);
  const status = await it.client.ask({ type: "Status" });
  assert.equal(status.sqlite_version, "3.53.2");
  await it.exec("create table t(a)", "insert into t values (1)");
  assert.deepEqual(await it.rows("select a from t"), [[1]]);
}, { ignore, env: { SKYLINEDB_SQLITE: "", SKYLINEDB_CACHE: "/nowhere", HOME: "/nowhere" } });

/** Starts the executable on a file, and waits until it says that it serves. */
async function startServing(
  file: string,
  env?: Record<string, string>,
): Promise<Deno.ChildProcess> {
  const child = new Deno.Command(executable![0], {
    args: ["start", file],
    ...(env && { env }),
    stdin: "null",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const reader = child.stdout.getReader();
  await reader.read();
  await reader.cancel();
  return child;
}

daemonTest("executable starts fast", async (it) => {
  const times: number[] = [];
  for (let i = 0; i < 5; i++) {
    const file = join(it.daemon.folder, `cold${i}.db`);
    const started = performance.now();
    const child = await startServing(file);
    const serving = performance.now() - started;
    await using db = await connect(file);
    await db.exec("create table t(a)");
    times.push(serving, performance.now() - started);
    await db.shutdown();
    assert.equal((await child.status).code, 0);
  }
  const median = (values: number[]) =>
    values.toSorted((a, b) => a - b)[values.length >> 1].toFixed(0);
  const odd = (rest: number) => times.filter((_, i) => i % 2 === rest);
  console.log(
    `  cold start: serves after ${median(odd(0))} ms, first write durable after ${
      median(odd(1))
    } ms`,
  );
}, { ignore });

daemonTest(
  "executable keeps no code in the temporary folder, and takes none from there",
  async (it) => {
    const temporary = join(it.daemon.folder, "temporary");
    Deno.mkdirSync(temporary);
    const start = async (name: string) => {
      const file = join(it.daemon.folder, name);
      const child = await startServing(file, { TMPDIR: temporary });
      await using db = await connect(file);
      await db.shutdown();
      assert.equal((await child.status).code, 0);
    };
    await start("first.db");
    assert.deepEqual([...Deno.readDirSync(temporary)].map(({ name }) => name), []);
    // Deno's name for it. Whoever opens this to read waits for somebody who writes.
    const cache = join(temporary, `deno-compile-${basename(executable![0])}.cache`);
    const { success } = await new Deno.Command("mkfifo", { args: [cache] }).output();
    assert.ok(success);
    await start("second.db");
  },
  { ignore },
);

daemonTest(
  "executable starts in the background, and is found and ended by its commands",
  async (it) => {
    const file = join(it.daemon.folder, "background.db");
    const { code, stdout, stderr, tookMs } = await runCommand(["start", "--background", file]);
    assert.equal(code, 0, stderr);
    console.log(`  background start: ready after ${tookMs.toFixed(0)} ms`);
    const { pid } = JSON.parse(stdout);
    assert.ok((await runCommand(["list", "--json"])).stdout.includes(file));
    assert.equal((await runCommand(["exec", file, "create table t(a)"])).code, 0);
    assert.equal((await runCommand(["exec", file, "insert into t values (41), (42)"])).code, 0);
    const query = await runCommand(["query", file, "--json", "select a from t order by a"]);
    assert.deepEqual(JSON.parse(query.stdout).map(({ a }: { a: number }) => a), [41, 42]);
    assert.equal((await runCommand(["ping", file])).code, 0);
    const status = JSON.parse((await runCommand(["status", file, "--json"])).stdout);
    assert.deepEqual([status.pid, status.databases[0].writes], [pid, 2]);
    assert.equal((await runCommand(["shutdown", file])).code, 0);
    await until(() => hasEnded(pid));
    assert.equal((await runCommand(["ping", file])).code, 4);
    const names = [...Deno.readDirSync(it.daemon.folder)].map(({ name }) => name);
    assert.ok(names.includes("background.db") && !names.includes("background.db-wal"));
  },
  { ignore, timeoutMs: 90_000 },
);

/** A zombie has ended: whether somebody asks for its exit code is not its own affair. */
function hasEnded(pid: number): boolean {
  try {
    return Deno.readTextFileSync(`/proc/${pid}/stat`).split(") ")[1].startsWith("Z");
  } catch {
    return true;
  }
}

daemonTest("executable understands a bad command line", async () => {
  const cases: [args: string[], code: number, message: RegExp][] = [
    [[], 2, /skylinedb-daemon/],
    [["stauts"], 2, /unknown command|stauts/],
    [["start"], 2, /file/],
    [["start", "x.db", "--nonsense"], 2, /nonsense/],
    [["start", "x.db", "--durability", "some"], 2, /durability/],
    [["query", "/nowhere/app.db", "select 1"], 4, /error: /],
    [["--help"], 0, /^/],
  ];
  for (const [args, code, message] of cases) {
    const result = await runCommand(args);
    assert.equal(result.code, code, `${args}: ${result.stderr}`);
    assert.match(result.stderr + result.stdout, message);
    assert.ok(!/^\s+at /m.test(result.stderr), "no stack");
  }
}, { ignore });
