/** What was done with the file of a database while nobody used it and it was closed. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { startDaemon } from "../daemon_fixture.ts";
import { type Answer, WireClient } from "../wire_client.ts";
import { runCommand } from "./command.ts";
import { type DaemonCase, daemonTest, type DaemonTestOptions, rows, until } from "./daemon_case.ts";

const ROWS = { type: "Query", sql: "select a from t order by a" };
const SESSION = { client: "c", acked: 0 };

function insert(value: number, further: object = {}): object {
  return { type: "ExecBatch", stmts: [{ sql: `insert into t values (${value})` }], ...further };
}

/** A daemon whose database has one row, 1, and is closed. */
function closedTest(
  name: string,
  body: (it: DaemonCase) => Promise<void>,
  options: DaemonTestOptions = {},
): void {
  daemonTest(name, async (it) => {
    await it.exec("create table t(a)");
    assert.equal((await it.client.ask(insert(1, { ...SESSION, seq: 1 }))).rev, 2);
    await closed(it);
    await body(it);
  }, { args: ["--close-idle", "300ms"], ...options });
}

async function closed(it: DaemonCase): Promise<void> {
  await until(async () => !(await it.status()).open);
}

/** Makes a database with this row in the place of the daemon's. */
function replace({ daemon: { file } }: DaemonCase, row: number): void {
  using direct = new DatabaseSync(`${file}.new`);
  direct.exec(`create table t(a); insert into t values (${row})`);
  direct.close();
  Deno.renameSync(`${file}.new`, file);
}

/** What reads and writes are answered as long as the file cannot be opened, and that the daemon goes on. */
async function assertCannotOpen({ client, daemon }: DaemonCase, why: RegExp): Promise<void> {
  const before = [...Deno.readDirSync(daemon.folder)].length;
  for (const request of [ROWS, insert(9), insert(9, { ...SESSION, seq: 2 })]) {
    const answer: Answer = await client.ask(request);
    assert.equal(answer.code, "CANNOT_OPEN", JSON.stringify(answer));
    assert.match(answer.message, why);
  }
  assert.equal((await client.ask({ type: "Ping" })).status, "ok");
  assert.equal([...Deno.readDirSync(daemon.folder)].length, before, "nothing was made");
}

closedTest("a file that took the place of a closed database is served", async (it) => {
  const old = join(it.daemon.folder, "old.db");
  Deno.renameSync(it.daemon.file, old);
  replace(it, 7);
  assert.deepEqual((await it.client.ask(ROWS)).rows, [[7]]);
  assert.equal((await it.client.ask(insert(8))).rev, 1, "its own revision");
  const next = await it.client.ask(insert(9, { ...SESSION, seq: 2, acked: 1 }));
  assert.deepEqual([next.code, next.retry], ["CLIENT_FORGOTTEN", "unknown"]);
  assert.match(it.daemon.log(), /warning .*replaced while it was closed/);
  // The right to serve goes with it: nobody else may serve the new one, and anybody the old one.
  const link = join(it.daemon.folder, "link.db");
  Deno.symlinkSync(it.daemon.file, link);
  const second = await runCommand(["start", link]);
  assert.equal(second.code, 3, second.stderr);
  assert.ok(second.stderr.includes(`pid ${it.daemon.pid}`), second.stderr);
  await using other = await startDaemon({ files: [old] });
  await using client = await WireClient.open(other.endpoint);
  assert.deepEqual(await rows(client, "select a from t"), [[1]]);
  // As any database it is closed when unused, and opened again.
  await closed(it);
  assert.deepEqual((await it.client.ask(ROWS)).rows, [[7], [8]]);
});

closedTest("a closed database that is gone cannot be opened until it is back", async (it) => {
  const { file } = it.daemon;
  Deno.renameSync(file, `${file}.away`);
  await assertCannotOpen(it, /app\.db: it was moved or removed while it was closed/);
  Deno.renameSync(`${file}.away`, file);
  assert.deepEqual((await it.client.ask(ROWS)).rows, [[1]]);
  assert.equal((await it.client.ask(insert(2, { ...SESSION, seq: 2 }))).rev, 3);
  assert.doesNotMatch(it.daemon.log(), /warning/);
});

closedTest("what is no database, or has other names, is not opened in its place", async (it) => {
  const { file, folder } = it.daemon;
  const away = `${file}.away`;
  Deno.renameSync(file, away);
  Deno.writeTextFileSync(file, "This is a text, and none that SQLite knows.\n".repeat(100));
  await assertCannotOpen(it, /it is not a SQLite database/);
  Deno.removeSync(file);
  Deno.mkdirSync(file);
  await assertCannotOpen(it, /it is a folder/);
  Deno.removeSync(file);
  Deno.symlinkSync(away, file);
  await assertCannotOpen(it, /it is a link to .*app\.db\.away now/);
  Deno.removeSync(file);
  Deno.linkSync(away, file);
  await assertCannotOpen(it, /it has 2 names/);
  Deno.removeSync(away);
  assert.deepEqual((await it.client.ask(ROWS)).rows, [[1]]);
  // Half of a copy.
  await closed(it);
  Deno.writeFileSync(`${folder}/half.db`, Deno.readFileSync(file).subarray(0, 4096 + 100));
  Deno.renameSync(file, away);
  Deno.renameSync(`${folder}/half.db`, file);
  await assertCannotOpen(it, /it is damaged/);
  Deno.renameSync(away, file);
  assert.deepEqual((await it.client.ask(ROWS)).rows, [[1]]);
}, { ignore: Deno.build.os === "windows" });

closedTest("a log that is left beside a replaced database is not taken for its own", async (it) => {
  const { file } = it.daemon;
  // A program that was killed left it.
  const source = join(it.daemon.folder, "source.db");
  {
    using direct = new DatabaseSync(source);
    direct.exec("pragma journal_mode = wal; create table t(a); insert into t values (6)");
    Deno.copyFileSync(`${source}-wal`, `${file}-wal`);
  }
  replace(it, 7);
  const log = Deno.readFileSync(`${file}-wal`);
  const content = Deno.readFileSync(file);
  await assertCannotOpen(it, /it was replaced, and app\.db-wal may belong to the file before/);
  assert.deepEqual([Deno.readFileSync(file), Deno.readFileSync(`${file}-wal`)], [content, log]);
  Deno.removeSync(`${file}-wal`);
  assert.deepEqual((await it.client.ask(ROWS)).rows, [[7]]);
});

closedTest("a file that another daemon serves is not opened", async (it) => {
  const { file, folder } = it.daemon;
  const served = join(folder, "served.db");
  await using other = await startDaemon({ files: [served] });
  Deno.renameSync(file, `${file}.away`);
  Deno.renameSync(served, file);
  await assertCannotOpen(it, /another daemon serves the file that is there now/);
  await other.kill();
  Deno.removeSync(`${served}-wal`);
  Deno.removeSync(`${served}-shm`);
  assert.equal((await it.client.ask({ type: "Query", sql: "select 1" })).status, "ok");
}, { ignore: Deno.build.os === "windows" });
