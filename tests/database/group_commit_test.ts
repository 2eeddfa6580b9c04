import assert from "node:assert/strict";
import { SkylineError } from "../../client/errors.ts";
import { CostlyStatements } from "../../daemon/database/costly_statements.ts";
import { DISK_WORK } from "../../daemon/database/disk_work.ts";
import { LoneCommit } from "../../daemon/database/lone_commit.ts";
import { QueuedWrite } from "../../daemon/database/queued_write.ts";
import type { WriteOutcome } from "../../daemon/database/write.ts";
import { SqliteError } from "../../daemon/sqlite/errors.ts";
import { Commits, shown } from "./commits.ts";

Deno.test("GroupCommit gives every member a revision of its own and commits once", async () => {
  using it = new Commits();
  const { settled, outcomes } = await it.group(
    "insert into t values (1)",
    "insert into t values (1)",
    "insert into t values (2)",
  );
  assert.deepEqual([settled, outcomes.map(shown)], [3, [1, "SQL_ERROR", 2]]);
  assert.deepEqual(it.commit.counts, { writes: 2, groups: 1, failures: 1 });
  assert.equal(it.writer.revision, 2);
  assert.deepEqual(
    it.temporary.another().get("select seq from _skylinedb_clients where client = ''"),
    [2],
  );
});

Deno.test("GroupCommit takes no more members once their results are over 10 MiB", async () => {
  using it = new Commits();
  const large = {
    statements: [{ sql: "select hex(zeroblob(2000000))", params: [] }],
    results: true,
  };
  const { settled, outcomes } = await it.group(large, large, large, large, large);
  assert.deepEqual([settled, outcomes.map(shown)], [3, [1, 2, 3, undefined, undefined]]);
});

Deno.test("GroupCommit commits nothing when all members failed", async () => {
  using it = new Commits();
  const { settled } = await it.group("insert into nowhere values (1)", "nonsense");
  assert.equal(settled, 2);
  assert.deepEqual(it.commit.counts, { writes: 0, groups: 0, failures: 2 });
  assert.equal(it.writer.connection.autocommit, true, "and leaves no transaction open");
});

Deno.test("GroupCommit settles those before the member that ended the transaction, then it alone", async () => {
  using it = new Commits();
  const first = await it.group(
    "insert into t values (1)",
    "insert into t values (2)",
    "insert or rollback into t values (1)",
    "insert into t values (3)",
  );
  assert.deepEqual([first.settled, first.outcomes.map(shown)], [2, [1, 2, undefined, undefined]]);
  assert.equal(it.count(), 2);
});

Deno.test("GroupCommit answers BUSY and settles nobody when another process has the lock", async () => {
  using it = new Commits();
  it.temporary.another().exec("begin immediate");
  const { settled, outcomes } = await it.group("insert into t values (1)");
  assert.deepEqual([settled, outcomes], [-1, [undefined]]);
});

/** Makes the next COMMIT fail, after or before it has happened. */
function failCommit(it: Commits, happened: boolean, code = 10): void {
  const { transaction } = it.writer;
  const commit = transaction.commit.bind(transaction);
  transaction.commit = () => {
    transaction.commit = commit;
    if (happened) commit();
    throw new SqliteError(code, "made to fail");
  };
}

Deno.test("GroupCommit acknowledges a failed COMMIT that turns out to have happened", async () => {
  using it = new Commits(() => {
    const [revision] = it.temporary.connection.get(
      "select seq from _skylinedb_clients where client = ''",
    )!;
    it.writer.revision = revision as number;
    return Promise.resolve();
  });
  failCommit(it, true);
  const { settled, outcomes } = await it.group("insert into t values (1)", "nonsense");
  assert.deepEqual([settled, outcomes.map(shown)], [2, [1, "SQL_ERROR"]]);
  assert.equal(it.count(), 1);
});

Deno.test("GroupCommit fails all members when a failed COMMIT turns out not to have happened", async () => {
  using it = new Commits();
  failCommit(it, false);
  const { outcomes } = await it.group("insert into t values (1)", "insert into t values (2)");
  assert.equal(it.reopened, 1);
  for (const outcome of outcomes) {
    assert.ok(outcome instanceof SkylineError);
    assert.deepEqual([outcome.sqliteCode, outcome.retry], ["SQLITE_IOERR", "safe"]);
  }
  assert.equal(it.count(), 0);
  assert.deepEqual((await it.group("insert into t values (1)")).outcomes.map(shown), [1]);
});

Deno.test("GroupCommit gives no session a final failure that a failed COMMIT should have kept", async () => {
  const session = { client: "c", seq: 1, acked: 0 };
  const numbered = { statements: [{ sql: "nonsense", params: [] }], session };
  for (const [result, code] of [[10, "DISK_FAILED"], [13, "DISK_FULL"]] as const) {
    using it = new Commits();
    failCommit(it, false, result);
    const { outcomes } = await it.group(numbered, "insert into t values (1)", "nonsense");
    assert.deepEqual(outcomes.map(shown), [code, code, "SQL_ERROR"]);
    assert.notEqual((outcomes[0] as SkylineError).retry, "no");
    failCommit(it, false, result);
    assert.deepEqual((await it.group(numbered)).outcomes.map(shown), [code]);
    assert.deepEqual((await it.group(numbered)).outcomes.map(shown), ["SQL_ERROR"]);
  }
});

Deno.test("LoneCommit gives no session a final failure that a failed COMMIT should have kept", async () => {
  using it = new Commits();
  const { transaction } = it.writer;
  const commit = transaction.commitOffLoop.bind(transaction);
  transaction.commitOffLoop = () => {
    transaction.commitOffLoop = commit;
    return Promise.reject(new SqliteError(10, "made to fail"));
  };
  const lone = new LoneCommit(it.commit, new CostlyStatements());
  const outcomes: WriteOutcome[] = [];
  const numbered = {
    statements: [{ sql: "nonsense", params: [] }],
    atomic: true,
    results: false,
    units: 100,
    deadline: performance.now() + 10_000,
    session: { client: "c", seq: 1, acked: 0 },
  };
  for (let times = 0; times < 2; times++) {
    await lone.run(new QueuedWrite(numbered, (outcome) => outcomes.push(outcome)));
  }
  assert.deepEqual(outcomes.map(shown), ["DISK_FAILED", "SQL_ERROR"]);
});

Deno.test("GroupCommit answers OUTCOME_UNKNOWN when a failed COMMIT cannot be looked into", async () => {
  using it = new Commits(() => Promise.reject(new Error("no")));
  failCommit(it, false);
  const { outcomes } = await it.group("insert into t values (1)", "nonsense");
  assert.deepEqual(outcomes.map(shown), ["OUTCOME_UNKNOWN", "SQL_ERROR"]);
  assert.equal((outcomes[0] as SkylineError).retry, "unknown");
});

Deno.test("GroupCommit answers DISK_FULL to all members when the COMMIT finds the disk full", async () => {
  using it = new Commits();
  failCommit(it, false, 13);
  const { outcomes } = await it.group("insert into t values (1)", "insert into t values (2)");
  assert.deepEqual(outcomes.map(shown), ["DISK_FULL", "DISK_FULL"]);
  assert.equal(it.reopened, 0);
  assert.equal(it.count(), 0);
});

Deno.test("GroupCommit does not start a member whose deadline has passed", async () => {
  using it = new Commits();
  const { outcomes } = await it.group(
    {
      statements: [{ sql: "insert into t values (1)", params: [] }],
      deadline: performance.now() - 1,
    },
    "insert into t values (2)",
  );
  assert.deepEqual(outcomes.map(shown), ["TIMEOUT", 1]);
});

Deno.test("GroupCommit commits off the loop while slow writes of another database may keep the disk busy", async () => {
  using it = new Commits();
  using other = new Commits();
  const { connection } = it.writer;
  let offLoop = 0;
  const real = connection.offLoop.bind(connection);
  connection.offLoop = (work) => {
    offLoop++;
    return real(work);
  };
  await it.group("insert into t values (1)");
  assert.equal(offLoop, 0);
  // The commit of a lone write, and before it a step that is off the loop.
  const vacuum = { statements: [{ sql: "vacuum", params: [] }] };
  const insert = { statements: [{ sql: "insert into t values (1)", params: [] }] };
  for (const slow of [vacuum, insert]) {
    const before: number = offLoop;
    const slowly = other.lone(slow);
    for (let i = 0; i < 1_000 && !DISK_WORK.isUnderWay; i++) await Promise.resolve();
    await it.group("insert into t values (null)");
    assert.equal(offLoop, before + 1);
    await slowly;
    await it.group("insert into t values (null)");
    assert.equal(offLoop, before + 1);
  }
});
