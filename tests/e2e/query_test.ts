import assert from "node:assert/strict";
import { Connection } from "../../daemon/sqlite/connection.ts";
import { daemonTest, exec, sleep } from "./daemon_case.ts";

daemonTest("Query refuses what would write, and what is not one statement", async (it) => {
  await it.exec("create table t(a unique)", "insert into t values (1)");
  const query = (sql: string) => it.client.ask({ type: "Query", sql });
  for (
    const sql of [
      "insert into t values (1)",
      "delete from t",
      "update t set a = 2 returning a",
      "create table u(a)",
      "drop table t",
      "with x as (select 1) insert into t select * from x",
      "pragma user_version = 5",
      "reindex",
      "vacuum",
    ]
  ) {
    const answer = await query(sql);
    assert.equal(answer.status, "error", sql);
    assert.equal(answer.code, "NOT_READ_ONLY", `${sql} → ${JSON.stringify(answer)}`);
  }
  for (
    const sql of ["select 1; select 2", "", ";", "-- nothing", "select", "select * from nowhere"]
  ) {
    assert.equal((await query(sql)).code, "SQL_ERROR", sql);
  }
  assert.deepEqual((await query("select a from t; -- the end")).rows, [[1]]);
  const answer = await query("select 1 as x, 2 as x, null where 0");
  assert.deepEqual(answer, { status: "ok", rev: 1, columns: ["x", "x", "null"], rows: [] });
  assert.deepEqual((await query("pragma user_version")).rows, [[0]]);
  assert.deepEqual((await query("explain query plan select * from t")).columns.length, 4);
});

daemonTest("Query sees a new schema that another connection made", async (it) => {
  await it.exec("create table t(a)", "insert into t values (1)");
  const other = await it.open();
  const select = { type: "Query", sql: "select * from t" };
  assert.deepEqual((await other.ask(select)).columns, ["a"]);
  await it.exec("alter table t add column b default 7");
  const answer = await other.ask(select);
  assert.deepEqual([answer.columns, answer.rows], [["a", "b"], [[1, 7]]]);
  const returned = async (sql: string) => (await exec(other, sql)).results[0];
  assert.deepEqual((await returned("update t set a = a returning *")).columns, ["a", "b"]);
  await it.exec("alter table t drop column a");
  const { columns, rows } = await returned("update t set b = b returning *");
  assert.deepEqual([columns, rows], [["b"], [[7]]]);
  assert.deepEqual((await other.ask(select)).rows, [[7]]);
});

daemonTest(
  "Query leaves no snapshot behind, which would keep the log from starting over",
  async (it) => {
    await it.exec("create table t(a)");
    const other = Connection.open(it.daemon.file);
    try {
      // Not by the daemon, which would copy it into the database: what is there is read without the log.
      other.exec("insert into t values (1)");
      assert.deepEqual((await it.client.ask({ type: "Query", sql: "select a from t" })).rows, [[
        1,
      ]]);
      await sleep(100);
      other.wal.truncate();
    } finally {
      other.close();
    }
  },
);
