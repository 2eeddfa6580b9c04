import assert from "node:assert/strict";
import { daemonTest } from "./daemon_case.ts";

daemonTest("ExecBatch refuses to end or nest transactions, wherever it is written", async (it) => {
  await it.exec("create table t(a)");
  const refused = [
    "commit",
    "COMMIT;",
    "end",
    "rollback",
    "begin",
    "begin immediate",
    "savepoint x",
    "release x",
    "release request",
    "rollback to request",
    "  /* hidden */ commit",
    "-- hidden\ncommit",
    "insert into t values (1); commit",
    "insert into t values (1); commit; begin",
    "insert into t values (1);rollback;insert into t values (2)",
    "; commit",
  ];
  for (const tx of ["atomic", "none"]) {
    for (const sql of refused) {
      const answer = await it.client.ask({
        type: "ExecBatch",
        tx,
        stmts: [{ sql: "insert into t values (0)" }, { sql }],
      });
      assert.equal(answer.code, "NOT_ALLOWED", `${tx}: ${sql} → ${JSON.stringify(answer)}`);
      assert.equal(answer.statement, 1);
      assert.equal(answer.retry, "no");
      const expected = tx === "none" ? 1 : 0;
      assert.deepEqual(await it.rows("select count(*) from t"), [[expected]], sql);
      await it.exec("delete from t");
    }
  }
  const acknowledged = await it.exec("insert into t values (1)");
  assert.equal(acknowledged.rows_affected, 1);
  await it.client.ask({ type: "Shutdown" });
  await it.daemon.child.status;
  const { DatabaseSync } = await import("node:sqlite");
  using direct = new DatabaseSync(it.daemon.file);
  assert.equal(direct.prepare("select count(*) as n from t").get()!.n, 1, "and not lost");
});

daemonTest("ExecBatch refuses to attach, to load, and to leave the database", async (it) => {
  const { folder } = it.daemon;
  await it.exec("create table t(a)");
  const refused = [
    `attach '${folder}/other.db' as other`,
    `ATTACH  DATABASE  '${folder}/other.db' AS other`,
    `attach ':memory:' as other`,
    "detach main",
    `vacuum into '${folder}/other.db'`,
    "select load_extension('x')",
    "create temp table x(a)",
    "create temporary view x as select 1",
    "create temp trigger x after insert on main.t begin select 1; end",
    "create table temp.x(a)",
  ];
  for (const sql of refused) {
    for (const request of [{ type: "ExecBatch", stmts: [{ sql }] }, { type: "Query", sql }]) {
      const { code, message } = await it.client.ask(request);
      const accepted = sql.startsWith("vacuum")
        ? ["NOT_ALLOWED", "NOT_READ_ONLY"]
        : sql.includes("load_extension")
        ? ["NOT_ALLOWED", "SQL_ERROR"]
        : ["NOT_ALLOWED"];
      assert.ok(accepted.includes(code), `${request.type} ${sql} → ${code}: ${message}`);
    }
  }
  assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name).sort(), [
    "app.db",
    "app.db-shm",
    "app.db-wal",
  ]);
});

daemonTest(
  "ExecBatch refuses to touch the daemon's own tables, and leaves other names free",
  async (it) => {
    const [[own]] = await it.rows("select name from sqlite_schema where name like '%skylinedb%'")
      .catch(() => [["_skylinedb_clients"]]);
    const refused = [
      `drop table ${own}`,
      `delete from ${own}`,
      `update ${own} set seq = 7`,
      `select * from ${own}`,
      `SELECT * FROM "_SkylineDB_State"`,
      `insert into ${own} values (2, 2)`,
      `alter table ${own} rename to mine`,
      `alter table ${own} add column x`,
      `create index i on ${own}(revision)`,
      `create trigger tr after update on ${own} begin select 1; end`,
      `create view v as select * from ${own}; select * from v`,
      `create table _skylinedb_mine(a)`,
      `create table t as select * from ${own}`,
      "pragma writable_schema = on",
      `delete from sqlite_schema where name = '${own}'`,
    ];
    for (const sql of refused) {
      const answer = await it.client.ask({ type: "ExecBatch", stmts: [{ sql }], results: true });
      assert.ok(
        ["NOT_ALLOWED", "SQL_ERROR"].includes(answer.code),
        `${sql} → ${JSON.stringify(answer)}`,
      );
    }
    // What the existing daemon took for itself.
    assert.equal((await it.exec("create table meta(a)", "insert into meta values (1)")).rev, 1);
    assert.equal((await it.exec("drop table meta")).rev, 2);
    assert.equal((await it.exec("create table xskylinedb_a(a)")).rev, 3);
  },
);

daemonTest("ExecBatch refuses PRAGMAs that would change what the daemon promises", async (it) => {
  const refused = [
    "pragma synchronous = off",
    "pragma journal_mode = delete",
    "pragma journal_mode = off",
    "pragma foreign_keys = off",
    "pragma defer_foreign_keys = on",
    "pragma locking_mode = exclusive",
    "pragma wal_autocheckpoint = 5",
    "pragma wal_checkpoint",
    "pragma busy_timeout = 5000",
    "pragma cache_size = 1000000",
    "pragma mmap_size = 1000000000",
    "pragma temp_store_directory = '/etc'",
    "pragma schema_version = 1",
    "pragma query_only = on",
    "pragma ignore_check_constraints = on",
    "pragma recursive_triggers = on",
    "pragma trusted_schema = on",
    "pragma case_sensitive_like = on",
    "pragma auto_vacuum = full",
    "pragma page_size = 8192",
    "pragma main.synchronous = off",
    "PRAGMA  /* x */  Synchronous(0)",
    "pragma shrink_memory",
    "pragma soft_heap_limit = 1",
    "pragma hard_heap_limit = 1",
    "pragma threads = 8",
  ];
  for (const sql of refused) {
    const answer = await it.client.ask({ type: "ExecBatch", stmts: [{ sql }], results: true });
    assert.equal(answer.code, "NOT_ALLOWED", `${sql} → ${JSON.stringify(answer)}`);
  }
  const allowed = await it.exec(
    "pragma user_version = 7",
    "pragma user_version",
    "pragma application_id = 9",
    "pragma table_info(sqlite_schema)",
    "pragma integrity_check",
    "pragma foreign_key_check",
    "pragma page_size",
    "pragma journal_mode",
    "pragma synchronous",
    "pragma foreign_keys",
    "pragma optimize",
  );
  assert.deepEqual(allowed.results[1].rows, [[7]]);
  assert.deepEqual(
    allowed.results.slice(7, 10).map(({ rows }: { rows: unknown[][] }) => rows[0][0]),
    ["wal", 2, 1],
  );
});

daemonTest("ExecBatch takes innocent data that looks like what is refused", async (it) => {
  await it.exec("create table t(a)");
  const innocent = [
    "COMMIT",
    "x; COMMIT;",
    "ATTACH 'a' AS b",
    "begin",
    "_skylinedb_clients",
    "VACUUM",
  ];
  for (const text of innocent) {
    await it.exec(["insert into t values (?)", text]);
    await it.exec(`insert into t values ('${text.replaceAll("'", "''")}')`);
    await it.exec(`/* ${text} */ insert into t values (1) -- ${text}`);
  }
  await it.exec(`create table "commit"("begin" text)`, `insert into "commit" values ('end')`);
  assert.deepEqual(await it.rows("select count(*) from t"), [[innocent.length * 3]]);
});

daemonTest("ExecBatch does not let a refused statement deny what comes after it", async (it) => {
  await it.exec("create table t(a)");
  for (let i = 0; i < 30; i++) {
    // A schema change makes statements be prepared anew, the daemon's own as well.
    const answer = await it.client.ask({
      type: "ExecBatch",
      stmts: [
        { sql: `create table u${i}(a)` },
        { sql: "insert into t values (1)" },
        { sql: i % 2 ? "commit" : "drop table _skylinedb_clients" },
      ],
    });
    assert.equal(answer.code, "NOT_ALLOWED");
    assert.equal((await it.exec("insert into t values (2)", `create table v${i}(a)`)).rev, i + 2);
  }
  assert.deepEqual(await it.rows("select count(*), max(a) from t"), [[30, 2]]);
});

daemonTest("Query is refused what would write through a function or a view", async (it) => {
  await it.exec("create table t(a)", "create view v as select * from t");
  for (const sql of ["insert into v values (1)", "select load_extension('x')", "attach 'x' as y"]) {
    assert.equal((await it.client.ask({ type: "Query", sql })).status, "error", sql);
  }
  const table = await it.client.ask({ type: "Query", sql: "select * from pragma_table_info('t')" });
  assert.equal(table.status, "ok", JSON.stringify(table));
});
