import assert from "node:assert/strict";
import { assertBelow, daemonTest } from "./daemon_case.ts";

daemonTest("ExecBatch undoes all its statements when one fails", async (it) => {
  await it.exec("create table t(a unique)");
  const answer = await it.client.ask({
    type: "ExecBatch",
    stmts: [
      { sql: "insert into t values (1)" },
      { sql: "create table u(a)" },
      { sql: "insert into t values (1)" },
      { sql: "insert into t values (2)" },
    ],
  });
  assert.deepEqual(
    { ...answer, message: "" },
    {
      status: "error",
      message: "",
      code: "SQL_ERROR",
      sqlite_code: "SQLITE_CONSTRAINT_UNIQUE",
      statement: 2,
      retry: "no",
    },
  );
  assert.match(answer.message, /^Statement 2: .*UNIQUE/);
  assert.deepEqual(await it.rows("select count(*) from t"), [[0]]);
  assert.deepEqual(await it.rows("select count(*) from sqlite_schema where name = 'u'"), [[0]]);
  assert.equal(
    (await it.exec("insert into t values (1)")).rev,
    2,
    "a failed one takes no revision",
  );
});

daemonTest("ExecBatch with tx none keeps the statements before the one that fails", async (it) => {
  await it.exec("create table t(a unique)");
  const stmts = ["insert into t values (1)", "insert into t values (2)", "insert into t values (1)"]
    .map((sql) => ({ sql }));
  const answer = await it.client.ask({
    type: "ExecBatch",
    tx: "none",
    stmts: [...stmts, { sql: "insert into t values (3)" }],
  });
  assert.equal(answer.code, "SQL_ERROR");
  assert.equal(answer.statement, 2);
  assert.match(answer.message, /^Statement 2: /);
  assert.equal(answer.retry, "no");
  assert.deepEqual(await it.rows("select a from t order by a"), [[1], [2]]);
  const { rev } = await it.client.ask({ type: "Ping", db: "app.db" });
  assert.equal(rev, 2, "what was kept has a revision");
  const next = await it.client.ask({
    type: "ExecBatch",
    tx: "none",
    results: true,
    stmts: [{ sql: "insert into t values (3)" }, { sql: "delete from t where a < 3 returning a" }],
  });
  assert.equal(next.rev, 3, "one request, one revision");
  assert.equal(next.rows_affected, 3);
  assert.deepEqual(next.results[1].rows.flat().sort(), [1, 2]);
});

daemonTest("ExecBatch with tx none undoes what a single failing statement did", async (it) => {
  await it.exec("create table t(a unique)", "insert into t values (5)");
  const answer = await it.client.ask({
    type: "ExecBatch",
    tx: "none",
    stmts: [{ sql: "insert or fail into t values (3), (4), (5), (6)" }],
  });
  assert.equal(answer.code, "SQL_ERROR");
  assert.deepEqual(await it.rows("select a from t"), [[5]]);
  const { rev } = await it.client.ask({ type: "Ping", db: "app.db" });
  assert.equal(rev, 1);
});

daemonTest("ExecBatch answers what each statement did when results are asked for", async (it) => {
  const answer = await it.exec(
    "create table t(id integer primary key, a)",
    "insert into t(a) values ('x'), ('y')",
    "select id, a as name, a from t order by id",
    "update t set a = 'z' where id = 1 returning id, a",
    "select 1 where 0",
    "delete from t",
    "insert into t(id, a) values (9223372036854775807, 1)",
  );
  assert.equal(answer.rev, 1);
  assert.equal(answer.rows_affected, 6);
  assert.deepEqual(answer.results.slice(0, 6), [
    { changes: 0, last_insert_rowid: 0 },
    { changes: 2, last_insert_rowid: 2 },
    {
      changes: 0,
      last_insert_rowid: 2,
      columns: ["id", "name", "a"],
      rows: [[1, "x", "x"], [2, "y", "y"]],
    },
    { changes: 1, last_insert_rowid: 2, columns: ["id", "a"], rows: [[1, "z"]] },
    { changes: 0, last_insert_rowid: 2, columns: ["1"], rows: [] },
    { changes: 2, last_insert_rowid: 2 },
  ]);
  const plain = await it.client.ask({
    type: "ExecBatch",
    stmts: [{ sql: "update t set a = 2 returning a" }],
  });
  assert.deepEqual(plain, { status: "ok", rev: 2, rows_affected: 1 });
});

daemonTest(
  "ExecBatch answers no changes and no rowid that another request left behind",
  async (it) => {
    await it.exec("create table t(id integer primary key, a)", "create table u(a unique)");
    await it.exec("insert into t(id, a) values (41, 1), (42, 2)");
    const answer = await it.exec("select last_insert_rowid()", "select 1", "create table v(a)");
    assert.equal(answer.rows_affected, 0);
    assert.deepEqual(answer.results[0].rows, [[0]], "SQL's own function tells nothing either");
    assert.deepEqual(answer.results.map(({ changes }: { changes: number }) => changes), [0, 0, 0]);
    assert.deepEqual(
      answer.results.map((r: { last_insert_rowid: number }) => r.last_insert_rowid),
      [0, 0, 0],
    );
    // A request that is undone in the same group leaves its own behind.
    const other = await it.open();
    it.client.send({
      type: "ExecBatch",
      stmts: [{ sql: "insert into t(id) values (77)" }, { sql: "insert into nowhere values (1)" }],
    });
    it.client.send({
      type: "ExecBatch",
      stmts: [{ sql: "select last_insert_rowid()" }, { sql: "delete from t where 0" }],
      results: true,
    });
    other.send({
      type: "ExecBatch",
      stmts: [{ sql: "create table if not exists u(a)" }],
      results: true,
    });
    assert.equal((await it.client.next())?.status, "error");
    const after = await it.client.next();
    assert.deepEqual(after?.results[0].rows, [[0]]);
    assert.equal(after?.rows_affected, 0);
    assert.equal((await other.next())?.rows_affected, 0);
  },
);

daemonTest("ExecBatch counts a trigger's rows as SQLite does", async (it) => {
  await it.exec(
    "create table t(a); create table log(a);" +
      "create trigger tt after insert on t begin insert into log values (new.a), (new.a); end",
  );
  const { results } = await it.exec("insert into t values (1), (2), (3)");
  assert.equal(results[0].changes, 3);
  assert.deepEqual(await it.rows("select count(*) from log"), [[6]]);
});

daemonTest("ExecBatch undoes all when an expectation is not met", async (it) => {
  await it.exec("create table t(id integer primary key, stock)", "insert into t values (1, 1)");
  const take = (expect: unknown) =>
    it.client.ask({
      type: "ExecBatch",
      stmts: [
        { sql: "insert into t values (null, 0)" },
        { sql: "update t set stock = stock - 1 where id = 1 and stock > 0", expect },
      ],
    });
  assert.equal((await take({ changes: 1 })).status, "ok");
  const failed = await take({ changes: 1 });
  assert.equal(failed.code, "EXPECTATION_FAILED");
  assert.equal(failed.statement, 1);
  assert.equal(failed.retry, "no");
  assert.match(failed.message, /expected 1 changes, there were 0/);
  assert.deepEqual(await it.rows("select count(*), min(stock) from t"), [[2, 0]]);
  assert.equal((await take({ changes: 0 })).status, "ok");
  const select = (expect: unknown) =>
    it.client.ask({ type: "ExecBatch", stmts: [{ sql: "select * from t", expect }] });
  assert.equal((await select({ rows: 3 })).status, "ok");
  assert.equal((await select({ rows: 3, changes: 0 })).status, "ok");
  assert.equal((await select({ rows: 2 })).code, "EXPECTATION_FAILED");
  assert.equal((await select({ rows: 3, changes: 1 })).code, "EXPECTATION_FAILED");
});

daemonTest("ExecBatch with if_rev takes effect only at that revision", async (it) => {
  const { rev } = await it.exec("create table t(n)", "insert into t values (0)");
  const increment = (ifRev: number) => ({
    type: "ExecBatch",
    stmts: [{ sql: "update t set n = n + 1" }],
    if_rev: ifRev,
  });
  assert.equal((await it.client.ask(increment(rev))).rev, rev + 1);
  const late = await it.client.ask(increment(rev));
  assert.equal(late.code, "REVISION_CHANGED");
  assert.equal(late.retry, "no");
  assert.equal((await it.client.ask(increment(rev + 9))).code, "REVISION_CHANGED");
  // Read, decide, write: of many at once exactly one gets through.
  const clients = await Promise.all(Array.from({ length: 20 }, () => it.open()));
  const answers = await Promise.all(clients.map((client) => client.ask(increment(rev + 1))));
  assert.equal(answers.filter(({ status }) => status === "ok").length, 1);
  // In one group: the second of these sees the revision that the first will have.
  it.client.send(increment(rev + 2));
  it.client.send(increment(rev + 3));
  it.client.send(increment(rev + 3));
  assert.deepEqual(
    [await it.client.next(), await it.client.next(), await it.client.next()]
      .map((answer) => answer?.rev ?? answer?.code),
    [rev + 3, rev + 4, "REVISION_CHANGED"],
  );
  assert.deepEqual(await it.rows("select n from t"), [[4]]);
});

daemonTest("ExecBatch with if_rev works for a statement that runs alone", async (it) => {
  const { rev } = await it.exec("create table t(n)");
  const stmts = [{ sql: "insert into t values (1)" }, { sql: "insert into t values (2)" }];
  const none = { type: "ExecBatch", tx: "none", stmts };
  assert.equal((await it.client.ask({ ...none, if_rev: rev })).rev, rev + 1);
  assert.equal((await it.client.ask({ ...none, if_rev: rev })).code, "REVISION_CHANGED");
  const reindex = { type: "ExecBatch", stmts: [{ sql: "reindex" }] };
  assert.equal((await it.client.ask({ ...reindex, if_rev: rev })).code, "REVISION_CHANGED");
  assert.deepEqual(await it.rows("select count(*) from t"), [[2]]);
});

daemonTest("ExecBatch runs a script of several statements", async (it) => {
  const script = `
    -- a schema; with a semicolon in a comment
    create table t(a, b default ';');
    /* and ; another */ create index i on t(a);
    insert into t(a) values ('a;b'), ('it''s');
    create trigger tr after insert on t begin update t set b = 'x;' where a = new.a; end;
    insert into t(a) values ('last');;
    ;  -- the end`;
  const answer = await it.exec(script);
  assert.equal(answer.rows_affected, 3);
  assert.equal(answer.rev, 1);
  assert.deepEqual(await it.rows("select a, b from t order by rowid"), [
    ["a;b", ";"],
    ["it's", ";"],
    ["last", "x;"],
  ]);
  const failed = await it.client.ask({
    type: "ExecBatch",
    stmts: [{ sql: "delete from t; insert into nowhere values (1); delete from t" }],
  });
  assert.equal(failed.statement, 0);
  assert.deepEqual(await it.rows("select count(*) from t"), [[3]]);
  for (const sql of ["", "  ", ";", "-- nothing", "/* nothing */"]) {
    const empty = await it.client.ask({ type: "ExecBatch", stmts: [{ sql }] });
    assert.ok(["ok", "error"].includes(empty.status), sql);
    assert.ok(empty.code === undefined || empty.code === "SQL_ERROR", JSON.stringify(empty));
  }
  const cut = await it.client.ask({ type: "ExecBatch", stmts: [{ sql: "delete from t; delete" }] });
  assert.equal(cut.code, "SQL_ERROR");
  assert.deepEqual(await it.rows("select count(*) from t"), [[3]]);
});

daemonTest("ExecBatch binds named parameters by their bare names", async (it) => {
  await it.exec("create table t(a, b, c)");
  const run = (sql: string, params: unknown) =>
    it.client.ask({ type: "ExecBatch", stmts: [{ sql, params }] });
  const insert = await run("insert into t values (:a, @b, $c)", { c: 3, a: 1, b: [2] });
  assert.equal(insert.status, "ok", JSON.stringify(insert));
  assert.equal((await run("insert into t values (:a, :a, :a)", { a: "x" })).status, "ok");
  const numbered = await run("insert into t values (?2, ?1, ?2)", ["one", "two"]);
  assert.equal(numbered.status, "ok", JSON.stringify(numbered));
  const proto = await it.client.ask({
    type: "Query",
    sql: "select :toString, :constructor",
    params: { toString: 1, constructor: 2 },
  });
  assert.deepEqual(proto.rows, [[1, 2]]);
  const missing = await it.client.ask({ type: "Query", sql: "select :toString", params: {} });
  assert.equal(missing.code, "PARAMETER_MISMATCH");
  it.client.sendText(`{"type":"Query","sql":"select :__proto__","params":{"__proto__":7}}`);
  assert.deepEqual((await it.client.next())?.rows, [[7]]);
  assert.deepEqual(await it.rows("select * from t"), [
    [1, "[2]", 3],
    ["x", "x", "x"],
    ["two", "one", "two"],
  ]);
});

daemonTest("ExecBatch serves many statements in one request", async (it) => {
  await it.exec("create table t(a)");
  const stmts = Array.from({ length: 30_000 }, (_, i) => ({
    sql: "insert into t values (?)",
    params: [i],
  }));
  const other = await it.open();
  await assertBelow(400, "a Ping", async () => {
    it.client.send({ type: "ExecBatch", stmts });
    let longest = 0;
    for (let i = 0; i < 10; i++) {
      const started = performance.now();
      await other.ask({ type: "Ping" });
      longest = Math.max(longest, performance.now() - started);
    }
    assert.equal((await it.client.next())?.rows_affected, 30_000);
    assert.deepEqual(await it.rows("select count(*), sum(a) from t"), [[30_000, 449_985_000]]);
    await it.exec("delete from t");
    return longest;
  });
});

daemonTest("ExecBatch undoes all when its answer would be over 10 MiB", async (it) => {
  await it.exec("create table t(a)");
  const large = await it.client.ask({
    type: "ExecBatch",
    results: true,
    stmts: [
      { sql: "insert into t values (1)" },
      { sql: "select hex(zeroblob(3000000)) union all select hex(zeroblob(3000001))" },
    ],
  });
  assert.equal(large.code, "RESULT_TOO_LARGE", JSON.stringify(large).slice(0, 200));
  assert.equal(large.statement, 1);
  assert.deepEqual(await it.rows("select count(*) from t"), [[0]]);
  const query = await it.client.ask({
    type: "Query",
    sql: "with recursive n(i) as (select 1 union all select i + 1 from n limit 200) " +
      "select hex(zeroblob(30000)) from n",
  });
  assert.equal(query.code, "RESULT_TOO_LARGE");
  // Each character takes six bytes in JSON.
  const control = await it.client.ask({
    type: "Query",
    sql: "select replace(hex(zeroblob(1500000)), '0', char(1))",
  });
  assert.equal(control.code, "RESULT_TOO_LARGE");
  const fits = await it.client.ask({ type: "Query", sql: "select hex(zeroblob(5000000))" });
  assert.equal(fits.rows[0][0].length, 10_000_000);
  const without = await it.client.ask({
    type: "ExecBatch",
    stmts: [{ sql: "insert into t values (1)" }, { sql: "select hex(zeroblob(6000000))" }],
  });
  assert.equal(without.status, "ok", "without results nothing is returned that could be too large");
});
