/**
 * Files that may not grow, though the disk has space. SQLite takes these for broken disks; who reads that looks in the wrong
 * place.
 */
import assert from "node:assert/strict";
import { executable, source, startDaemon } from "../daemon_fixture.ts";
import { SmallDisk, whyNoSmallDisk } from "../faults/small_disk.ts";
import { Trace, whyNoTrace } from "../faults/strace.ts";
import { type Answer, WireClient } from "../wire_client.ts";
import { type DaemonCase, daemonTest, exec, sleep, until } from "./daemon_case.ts";

const MIB = 1024 * 1024;
const ROW = "insert into t values (zeroblob(1000000))";

/** Bounds the size of the daemon's files from now on. */
async function limitFiles({ daemon }: DaemonCase, bytes: number | "unlimited"): Promise<void> {
  const { success, stderr } = await new Deno.Command("prlimit", {
    args: ["--pid", String(daemon.pid), `--fsize=${bytes}:unlimited`],
  }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
}

const hasPrlimit = Deno.build.os === "linux" &&
  await new Deno.Command("prlimit", { args: ["--fsize"], stdout: "null" }).output()
    .then(({ success }) => success, () => false);

function insert({ client }: DaemonCase, sql: string): Promise<Answer> {
  return client.ask({ type: "ExecBatch", stmts: [{ sql }] });
}

/** Inserts rows until one is refused, which it gives; and how many were not. */
async function insertAll(it: DaemonCase): Promise<{ refused: Answer; count: number }> {
  for (let count = 0;; count++) {
    assert.ok(count < 100);
    const refused = await insert(it, ROW);
    if (refused.status !== "ok") return { refused, count };
  }
}

const FILE_TOO_LARGE = /a file of the database has the largest size .*ulimit -f.*FAT/;

daemonTest("A COMMIT past the limit of a file's size is DISK_FULL and says so", async (it) => {
  await it.exec("create table t(a)");
  // The log comes first: it is copied from 4 MB on.
  await limitFiles(it, 3 * MIB);
  const { refused, count } = await insertAll(it);
  assert.deepEqual([refused.code, refused.retry], ["DISK_FULL", "safe"]);
  assert.match(refused.message, FILE_TOO_LARGE);
  assert.match(refused.hint, /^Raise that limit/);
  const small = await insert(it, "insert into t values (1)");
  assert.equal(small.status, "ok", JSON.stringify(small));
  assert.deepEqual(await it.rows("select count(*) from t"), [[count + 1]]);
  await limitFiles(it, "unlimited");
  assert.equal((await insert(it, ROW)).status, "ok");
}, { ignore: !hasPrlimit });

daemonTest(
  "A log that is full because the database may not grow is DISK_FULL, not WAL_FULL",
  async (it) => {
    await it.exec("create table t(a)");
    await limitFiles(it, 20 * MIB);
    const { refused, count } = await insertAll(it);
    assert.deepEqual([refused.code, refused.retry], ["DISK_FULL", "safe"]);
    assert.match(refused.message, /^The write-ahead log has reached its limit of 16777216 bytes, /);
    assert.match(refused.message, FILE_TOO_LARGE);
    assert.deepEqual(await it.rows("select count(*) from t"), [[count]]);
    await sleep(300);
    await insert(it, ROW); // asks for one more checkpoint
    await limitFiles(it, "unlimited");
    await until(async () => (await insert(it, ROW)).status === "ok");
    assert.deepEqual(await it.rows("select count(*) from t"), [[count + 1]]);
    await until(() => it.daemon.log().includes("Checkpoints succeed again"));
    assert.equal(it.daemon.log().match(/Checkpoint failed/g)?.length, 1);
  },
  { ignore: !hasPrlimit, args: ["--wal-limit", "16MiB"] },
);

daemonTest("A disk quota that is used up is DISK_FULL and says so", async (it) => {
  await it.exec("create table t(a)");
  {
    await using _trace = await Trace.attach(it.daemon.pid, [
      ...["-e", "trace=pwrite64", "-e", "inject=pwrite64:error=EDQUOT"],
    ]);
    const refused = await insert(it, "insert into t values (1)");
    assert.deepEqual([refused.code, refused.retry], ["DISK_FULL", "safe"]);
    assert.match(refused.message, /quota .* is used up/);
  }
  assert.equal((await insert(it, "insert into t values (1)")).status, "ok");
  assert.deepEqual(await it.rows("select count(*) from t"), [[1]]);
}, { ignore: await whyNoTrace() !== undefined });

daemonTest(
  "A full disk is DISK_FULL also where it is the log's index that cannot grow",
  async (it) => {
    await it.exec("create table t(a)");
    const shm = `${it.daemon.file}-shm`;
    const rows = "with n(i) as (select 1 union all select i + 1 from n where i < 20)";
    {
      await using _trace = await Trace.attach(it.daemon.pid, [
        ...["-P", shm, "-e", "trace=pwrite64", "-e", "inject=pwrite64:error=ENOSPC"],
      ]);
      // 5,000 frames: the index has room for 4,062, then it has to grow.
      const refused = await insert(it, `insert into t ${rows} select zeroblob(1000000) from n`);
      assert.deepEqual([refused.code, refused.sqlite_code, refused.retry], [
        ...["DISK_FULL", "SQLITE_IOERR_SHMSIZE", "safe"],
      ]);
      assert.match(refused.message, /the disk is full/);
      assert.match(refused.hint, /^Free some space/);
      assert.deepEqual(await it.rows("select count(*) from t"), [[0]]);
    }
    assert.equal((await insert(it, "insert into t values (1)")).status, "ok");
  },
  { ignore: await whyNoTrace() !== undefined },
);

Deno.test({
  name:
    "A file that was closed as unused is DISK_FULL on a full disk, and served when there is space",
  ignore: await whyNoSmallDisk() !== undefined,
  fn: async () => {
    await using disk = await SmallDisk.mount(1);
    await using daemon = await startDaemon({
      files: [`${disk.folder}/app.db`],
      program: disk.inside(executable ?? source),
      args: ["--close-idle", "100ms"],
    });
    await using client = await WireClient.open(daemon.endpoint);
    await exec(client, "create table t(a)");
    const status = { type: "Status" };
    await until(async () => !(await client.ask(status)).databases[0].open);
    disk.fill(0);
    for (const type of ["ExecBatch", "Query"]) {
      const refused = await client.ask(
        type === "Query"
          ? { type, sql: "select * from t" }
          : { type, stmts: [{ sql: "insert into t values (1)" }] },
      );
      assert.deepEqual([refused.code, refused.retry], ["DISK_FULL", "safe"], type);
    }
    disk.free();
    await exec(client, "insert into t values (1)");
  },
});
