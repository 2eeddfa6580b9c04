import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { sqlite } from "../../daemon/sqlite/ffi.ts";
import { assertBelow, type DaemonCase, daemonTest, exec, rows } from "./daemon_case.ts";
import { longestBeside } from "./longest_beside.ts";

/** Another library than the one that is built cannot be asked to end what it prepares. */
const ignore = sqlite().skylinedb_prepare === null;

/** 1 KB of SQL that SQLite expands to a million selects before it runs anything. */
const DOUBLED = [
  "with c0 as (select 1)",
  ...Array.from(
    { length: 20 },
    (_, i) => `c${i + 1} as (select * from c${i} union all select * from c${i})`,
  ),
].join() + " select count(*) from c20";

/** Takes a tenth of a second or more, and little memory. */
const WINDOWS = windows(150);

function windows(count: number): string {
  const sums = Array.from({ length: count }, (_, i) => `sum(a) over (order by a + ${i})`);
  return `select ${sums.join(", ")} from t`;
}

/** Views of which each has the one before it twice. */
async function makeViews({ client }: DaemonCase): Promise<void> {
  await exec(client, "create view v0 as select 1 as a");
  for (let i = 0; i < 20; i++) {
    const sql = `create view v${i + 1} as select * from v${i} union all select * from v${i}`;
    await exec(client, sql);
  }
}

daemonTest(
  "SQL that is expensive to prepare holds nobody, and ends for lack of memory",
  async (it) => {
    await it.exec("create table t(a)");
    for (
      const request of [
        { type: "Query", sql: DOUBLED },
        { type: "ExecBatch", stmts: [{ sql: DOUBLED }] },
        { type: "ExecBatch", stmts: [{ sql: `insert into t values (0); ${DOUBLED}` }], tx: "none" },
        { type: "ExecBatch", stmts: [{ sql: `create table u as ${DOUBLED}` }] },
      ]
    ) {
      // A Ping that was sent together with it is answered first.
      await it.client.begin(request);
      const answer = (await it.client.next())!;
      assert.deepEqual([answer.sqlite_code, answer.retry], ["SQLITE_TOOBIG", "no"]);
      await it.exec("insert into t values (1)");
    }
    assert.deepEqual(await it.rows("select count(*) from t"), [[4]]);
  },
  { ignore },
);

daemonTest("SQL that takes long to prepare is executed, with others beside it", async (it) => {
  await it.exec("create table t(a)", "insert into t values (1)");
  const other = await it.open();
  await it.client.begin({ type: "Query", sql: `${WINDOWS} union all ${WINDOWS}` });
  assert.equal((await it.client.next())?.rows?.length, 2);
  const stmts = [{ sql: "insert into t values (2)" }, { sql: WINDOWS }];
  await it.client.begin({ type: "ExecBatch", stmts, results: true });
  await exec(other, "insert into t values (3)");
  const answer = (await it.client.next())!;
  assert.equal(answer.results?.[1].rows.length, 2, JSON.stringify(answer).slice(0, 500));
  assert.deepEqual(await it.rows("select a from t order by a"), [[1], [2], [3]]);
}, { ignore });

daemonTest(
  "SQL that takes long to prepare ends at its deadline",
  async (it) => {
    await it.exec("create table t(a)");
    const long = { sql: windows(1_500) };
    for (
      const request of [{ type: "Query", ...long }, { type: "ExecBatch", stmts: [long] }]
    ) {
      const { code } = await it.client.ask({ ...request, timeout_ms: 100 });
      assert.equal(code, "TIMEOUT");
    }
    await it.exec("insert into t values (1)");
  },
  { ignore },
);

daemonTest("SQL that becomes expensive to prepare by others' views holds nobody", async (it) => {
  await it.exec("create table t(a)", "create view w as select 1 as a");
  const sql = "select count(*) from w";
  const stmts = [{ sql: `insert into t ${sql}` }];
  await it.rows(sql);
  assert.equal((await it.client.ask({ type: "ExecBatch", stmts })).status, "ok");
  await makeViews(it);
  await it.exec("drop view w", "create view w as select * from v20");
  for (const request of [{ type: "Query", sql }, { type: "ExecBatch", stmts }]) {
    await it.client.begin(request);
    const answer = (await it.client.next())!;
    assert.equal(answer.sqlite_code, "SQLITE_TOOBIG", JSON.stringify(answer));
  }
  await it.client.begin({ type: "ExecBatch", stmts: [{ sql: "alter table t rename to u" }] });
  assert.equal((await it.client.next())?.status, "error");
  await it.exec("drop view w", "create view w as select 1 as a");
  await it.client.ask({ type: "ExecBatch", stmts });
  assert.deepEqual(await rows(it.client, "select a from t"), [[1], [1]]);
}, { ignore });

daemonTest(
  "A schema of long texts, which is looked through for calls, holds nobody",
  async (it) => {
    const calls = "trim(".repeat(18_000);
    {
      using other = new DatabaseSync(it.daemon.file);
      const tables = Array.from({ length: 300 }, (_, i) => `create table t${i}(a /* ${calls} */)`);
      other.exec(`begin; ${tables.join(";")}; commit`);
    }
    await assertBelow(250, "a Ping or a write beside a change of the schema", async (attempt) => {
      return await longestBeside(it, async () => {
        await it.exec(`create table u${attempt}(a)`, `insert into u${attempt} values (1)`);
        assert.deepEqual(await it.rows(`select * from u${attempt}`), [[1]]);
      });
    });
  },
  { files: ["a.db", "b.db"] },
);
