import assert from "node:assert/strict";
import { LIMITS } from "../../daemon/process/limits.ts";
import { RESULT, SqliteError } from "../../daemon/sqlite/errors.ts";
import { Sweeper } from "../../daemon/database/sweeper.ts";
import { Commits } from "./commits.ts";

const COUNTS = `select (select count(*) from _skylinedb_clients where client <> ''),
  (select count(*) from _skylinedb_keys where id > 0)`;

/** So many sessions and keys, a day old. */
function backlog({ temporary: { connection } }: Commits, count: number): void {
  const at = Math.floor(Date.now() / 1000) - LIMITS.rememberSeconds - 100;
  const prepare = (sql: string) => connection.prepare(sql).statement!;
  const session = prepare("insert into _skylinedb_clients values ('c' || ?, 1, '1 1', ?)");
  const key = prepare("insert into _skylinedb_keys values (null, 'k' || ?, '', '1 1', ?)");
  connection.exec("begin");
  for (let i = 0; i < count; i++) for (const each of [session, key]) each.run([i, at]);
  connection.exec("commit");
  for (const each of [session, key]) each.finalize();
}

const counts = (it: Commits) => it.temporary.connection.get(COUNTS);

/** Its sweep is interrupted by nothing, however busy the machine. */
async function sweep(it: Commits): Promise<boolean> {
  const { now } = performance;
  const stopped = now.call(performance);
  performance.now = () => stopped;
  try {
    return await it.commit.sweep();
  } finally {
    performance.now = now;
  }
}

Deno.test("Commit.sweep() forgets what is too old, and then has nothing to do until more may be", async () => {
  using it = new Commits();
  backlog(it, 1_000);
  const young = Math.floor(Date.now() / 1000) - LIMITS.rememberSeconds + 1_000;
  it.temporary.connection.exec(
    `insert into _skylinedb_clients values ('young', 1, '1 1', ${young})`,
  );
  assert.equal(it.writer.once.isSweepDue, true);
  assert.equal(await sweep(it), true);
  assert.deepEqual(counts(it), [1, 0]);
  assert.deepEqual(it.commit.counts, { writes: 0, groups: 0, failures: 0 });
  assert.equal(it.writer.once.isSweepDue, false);
  const clock = Date.now;
  try {
    Date.now = () => clock() + 1_002_000;
    assert.equal(it.writer.once.isSweepDue, true);
    await sweep(it);
  } finally {
    Date.now = clock;
  }
  assert.deepEqual(counts(it), [0, 0]);
});

Deno.test("Commit.sweep() writes nothing where nothing is too old", async () => {
  using it = new Commits();
  const { connection } = it.temporary;
  connection.wal.watch();
  connection.exec("create table u(a)");
  const { frames } = connection.wal;
  assert.ok(frames > 0);
  assert.equal(await sweep(it), true);
  assert.equal(connection.wal.frames, frames);
  assert.equal(it.writer.once.isSweepDue, false);
});

for (const code of [RESULT.IOERR, RESULT.FULL]) {
  Deno.test(`Commit.sweep() begins anew after a COMMIT that failed with ${code}`, async () => {
    using it = new Commits();
    backlog(it, 500);
    const { transaction } = it.writer;
    const commit = transaction.commit.bind(transaction);
    transaction.commit = () => {
      throw new SqliteError(code, "failed");
    };
    assert.equal(await sweep(it), false);
    transaction.commit = commit;
    assert.equal(it.reopened, code === RESULT.FULL ? 0 : 1);
    assert.deepEqual(counts(it), [500, 500]);
    assert.equal(await sweep(it), true);
    assert.deepEqual(counts(it), [0, 0]);
  });
}

Deno.test("Commit.sweep() has a client's goodbye done with", async () => {
  using it = new Commits();
  await it.group({ session: { client: "a", seq: 1, acked: 0 } });
  await sweep(it);
  assert.equal(it.writer.once.isSweepDue, false);
  it.writer.once.leave("a");
  assert.equal(it.writer.once.isSweepDue, true);
  await sweep(it);
  assert.deepEqual(counts(it), [0, 0]);
});

Deno.test("Commit.sweep() leaves all as it is while another process holds the lock", async () => {
  using it = new Commits();
  backlog(it, 100);
  const other = it.temporary.another();
  other.exec("begin immediate");
  assert.equal(await sweep(it), false);
  other.exec("rollback");
  assert.deepEqual(counts(it), [100, 100]);
  assert.equal(await sweep(it), true);
  assert.deepEqual(counts(it), [0, 0]);
});

Deno.test("Sweeper writes nothing while the log is full", async () => {
  using it = new Commits();
  backlog(it, 100);
  let mayWrite = false;
  const sweeper = new Sweeper(it.commit, { wake: () => {}, mayWrite: () => mayWrite });
  await sweeper.run();
  assert.deepEqual(counts(it), [100, 100]);
  mayWrite = true;
  await sweeper.run();
  sweeper.stop();
  assert.notDeepEqual(counts(it), [100, 100]);
});

Deno.test("Commit.sweep() reads no further once its time is over, however large the rows are", async () => {
  using it = new Commits();
  backlog(it, 500);
  const { now } = performance;
  let time = 0;
  // Every look at the clock is a millisecond later.
  performance.now = () => time++;
  try {
    for (let sweeps = 0; it.writer.once.isSweepDue; sweeps++) {
      const [before] = counts(it)!;
      assert.ok(await it.commit.sweep());
      const [after] = counts(it)!;
      assert.ok(Number(before) - Number(after) < 2 * LIMITS.sweepHoldMs, `${before} to ${after}`);
      assert.ok(sweeps < 2_000, "it comes to an end");
    }
  } finally {
    performance.now = now;
  }
  assert.deepEqual(counts(it), [0, 0]);
});

Deno.test("Commit.sweep() does not hold the loop where the disk is slow", async () => {
  using it = new Commits();
  backlog(it, 100);
  Object.defineProperty(it.commit, "isSlow", { value: true });
  assert.equal(await sweep(it), true);
  assert.deepEqual(counts(it), [0, 0]);
});
