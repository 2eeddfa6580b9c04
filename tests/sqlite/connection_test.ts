import assert from "node:assert/strict";
import { Connection } from "../../daemon/sqlite/connection.ts";
import { SqliteError } from "../../daemon/sqlite/errors.ts";
import { sqlite } from "../../daemon/sqlite/ffi.ts";
import { type BindValues, ParameterMismatchError } from "../../daemon/sqlite/statement.ts";
import { TemporaryConnection } from "./temporary_connection.ts";

/** What has to be thrown: a SqliteError of this code. */
function code(name: string): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof SqliteError, String(error));
    assert.equal(error.codeName, name);
    return true;
  };
}

Deno.test("Connection.open() throws the reason when there is no file to read", () => {
  assert.throws(() => Connection.open("/nowhere/app.db"), code("SQLITE_CANTOPEN"));
  using temporary = new TemporaryConnection();
  assert.throws(
    () => Connection.open(`${temporary.folder}/none.db`, { readOnly: true }),
    code("SQLITE_CANTOPEN"),
  );
});

Deno.test("Connection.exec() runs statements up to the one that fails", () => {
  using temporary = new TemporaryConnection();
  const { connection } = temporary;
  connection.exec(
    "create table t(a unique); -- one\n insert into t values (1);; insert into t values (2)",
  );
  assert.deepEqual(connection.get("select count(*) from t"), [2]);
  assert.throws(
    () => connection.exec("insert into t values (3); insert into t values (3)"),
    code("SQLITE_CONSTRAINT_UNIQUE"),
  );
  assert.throws(() => connection.exec("nonsense"), /near "nonsense"/);
  assert.equal(connection.get("select 1 where 0"), undefined);
});

Deno.test("Connection.prepare() gives a statement and the SQL after it", () => {
  using temporary = new TemporaryConnection();
  const { connection } = temporary;
  const cases: [sql: string, own: string | null, tail: string][] = [
    ["select 1", "select 1", ""],
    ["select 'ä;'; select 2", "select 'ä;';", " select 2"],
    ["select 1; -- é", "select 1;", " -- é"],
    ["  -- nothing", null, ""],
    ["", null, ""],
    ["select 1;", "select 1;", ""],
  ];
  for (const [sql, own, tail] of cases) {
    const prepared = connection.prepare(sql);
    assert.equal(prepared.statement?.sql ?? null, own, sql);
    assert.equal(prepared.tail, tail, sql);
    prepared.statement?.finalize();
  }
  assert.throws(() => connection.prepare("select 1\0; drop table t"), /NUL/);
});

Deno.test("Connection tells why a client's statement was refused, and refuses the daemon's own nothing", () => {
  using temporary = new TemporaryConnection();
  const { connection } = temporary;
  connection.exec("create table _skylinedb_x(a)");
  connection.principal = "client";
  assert.throws(() => connection.prepare("commit"), /COMMIT is not allowed/);
  assert.throws(() => connection.prepare("drop table _skylinedb_x"), code("SQLITE_AUTH"));
  connection.principal = "own";
  connection.exec("begin; insert into _skylinedb_x values (1); commit");
  assert.deepEqual(connection.get("select a from _skylinedb_x"), [1]);
});

Deno.test("Connection.autocommit turns true when a statement ends the transaction", () => {
  using temporary = new TemporaryConnection();
  const { connection } = temporary;
  connection.exec("create table t(a unique); insert into t values (1)");
  assert.equal(connection.autocommit, true);
  connection.exec("begin; insert into t values (2)");
  assert.equal(connection.autocommit, false);
  assert.throws(() => connection.exec("insert or rollback into t values (1)"));
  assert.equal(connection.autocommit, true);
  assert.deepEqual(connection.get("select count(*) from t"), [1]);
});

Deno.test("Connection.violatesDeferredForeignKeys says whether a COMMIT would fail", () => {
  using temporary = new TemporaryConnection();
  const { connection } = temporary;
  connection.exec(
    "pragma foreign_keys = 1; create table p(id integer primary key);" +
      "create table c(p references p deferrable initially deferred)",
  );
  connection.exec("begin");
  assert.equal(connection.violatesDeferredForeignKeys, false);
  connection.exec("insert into c values (1)");
  assert.equal(connection.violatesDeferredForeignKeys, true);
  connection.exec("insert into p values (1)");
  assert.equal(connection.violatesDeferredForeignKeys, false);
  connection.exec("commit");
});

Deno.test("Connection.changes stays while totalChanges tells that nothing happened", () => {
  using temporary = new TemporaryConnection();
  const { connection } = temporary;
  connection.exec("create table t(id integer primary key); insert into t values (5), (6)");
  const total = connection.totalChanges;
  assert.deepEqual([connection.changes, connection.lastInsertRowid], [2, 6n]);
  connection.exec("create table u(a)");
  assert.deepEqual([connection.changes, connection.totalChanges], [2, total]);
  connection.lastInsertRowid = 0n;
  assert.deepEqual(connection.get("select last_insert_rowid()"), [0]);
});

Deno.test("Connection does not wait for another's lock", () => {
  using temporary = new TemporaryConnection();
  temporary.connection.exec("create table t(a); begin immediate");
  const other = temporary.another();
  const tookMs = Array.from({ length: 5 }, () => {
    const started = performance.now();
    assert.throws(() => other.exec("begin immediate"), code("SQLITE_BUSY"));
    return performance.now() - started;
  });
  assert.ok(Math.min(...tookMs) < 50, `${tookMs} ms`);
  temporary.connection.exec("commit");
});

Deno.test("Connection that is read-only cannot write", () => {
  using temporary = new TemporaryConnection();
  temporary.connection.exec("create table t(a)");
  const reader = temporary.another({ readOnly: true });
  assert.equal(reader.readOnly, true);
  assert.equal(temporary.connection.readOnly, false);
  assert.throws(() => reader.exec("insert into t values (1)"), code("SQLITE_READONLY"));
});

const ENDLESS =
  "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n";

Deno.test("StepClock ends a step that runs past its time, and no other", () => {
  using temporary = new TemporaryConnection();
  const { connection } = temporary;
  const statement = connection.prepare(ENDLESS).statement!;
  const started = performance.now();
  connection.clock.until = started + 20; // for a library that is not ours
  assert.throws(() => statement.stepWithin(20), code("SQLITE_INTERRUPT"));
  assert.ok(performance.now() - started < 5_000);
  statement.finalize();
  connection.clock.until = Infinity;
  const long = ENDLESS.replace("from n)", "from n where i < 300000)");
  assert.deepEqual(connection.get(long), [300_000]);
});

Deno.test({
  name: "StepClock ends a step after few operations, where each of them takes long",
  ignore: sqlite().skylinedb_look_at_clock === null,
  fn() {
    using temporary = new TemporaryConnection();
    const { connection } = temporary;
    connection.exec("create table t(a)");
    // Some 20 operations a row, of 5 ms.
    const statement = connection.prepare(
      "insert into t with recursive n(i) as (select 1 union all select i + 1 from n where i < 100) " +
        "select i from n where length(hex(zeroblob(4000000 + i))) > 0",
    ).statement!;
    assert.throws(() => statement.stepWithin(5), code("SQLITE_INTERRUPT"));
    statement.finalize();
    // It stays where the row itself was undone.
    assert.ok(connection.lastInsertRowid < 30n, `${connection.lastInsertRowid} rows`);
  },
});

Deno.test("Connection.interrupt() ends a step off the loop, which goes on meanwhile", async () => {
  using temporary = new TemporaryConnection();
  const { connection } = temporary;
  const { statement } = connection.prepare(ENDLESS);
  let turns = 0;
  const timer = setInterval(() => {
    if (++turns > 5) connection.interrupt();
  }, 20);
  await assert.rejects(
    connection.offLoop(() => statement!.stepOffLoop()),
    code("SQLITE_INTERRUPT"),
  );
  clearInterval(timer);
  statement!.finalize();
  assert.deepEqual(connection.get("select 1"), [1]);
});

Deno.test("Connection.cache() keeps the statements that were used last", () => {
  using temporary = new TemporaryConnection();
  const { connection } = temporary;
  const sqlOf = (i: number) => `select ${i}`;
  for (let i = 0; i < 300; i++) {
    connection.cache(sqlOf(i), connection.prepare(sqlOf(i), { persistent: true }).statement!);
    assert.ok(connection.cached(sqlOf(0)), "one that is used all the time stays");
  }
  assert.equal(connection.cached(sqlOf(50)), undefined);
  assert.ok(connection.cached(sqlOf(299)));
  connection.releaseMemory();
  assert.equal(connection.cached(sqlOf(299)), undefined, "one that was finalized");
});

Deno.test("Statement.bind() throws for parameters that do not fit", () => {
  using temporary = new TemporaryConnection();
  const { connection } = temporary;
  const { statement } = connection.prepare("select :a, @b, $c");
  const misfits: BindValues[] = [
    [],
    [1, 2],
    [1, 2, 3, 4],
    { a: 1 },
    { a: 1, b: 2, c: 3, d: 4 },
    { ":a": 1 },
  ];
  for (const values of misfits) {
    assert.throws(() => statement!.bind(values), ParameterMismatchError, JSON.stringify(values));
  }
  statement!.bind({ c: 3, b: 2, a: 1 });
  assert.ok(statement!.step());
  assert.equal(statement!.rowJson(), "[1,2,3]");
  statement!.finalize();
  const nameless = connection.prepare("select ?, :a").statement!;
  assert.throws(() => nameless.bind({ a: 1 }), /parameter 1 .* has no name/);
  nameless.finalize();
});

Deno.test("Connection.autocommit is true after close()", () => {
  using temporary = new TemporaryConnection();
  const connection = Connection.open(temporary.file);
  connection.exec("begin immediate");
  assert.ok(!connection.autocommit);
  connection.close();
  assert.ok(connection.autocommit);
});

Deno.test("Connection.close() throws when a statement is left", () => {
  const temporary = new TemporaryConnection();
  const { statement } = temporary.connection.prepare("select 1");
  assert.throws(() => temporary.connection.close(), code("SQLITE_BUSY"));
  statement!.finalize();
  temporary[Symbol.dispose]();
});
