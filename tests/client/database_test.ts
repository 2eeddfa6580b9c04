/** The client against the real daemon: real socket, real file. */
import assert from "node:assert/strict";
import { basename, dirname } from "node:path";
import { connect, type Database, json, real, SkylineError, type SqlParameter } from "../../mod.ts";
import { bounded } from "./bounded.ts";
import { type DaemonFixture, startDaemon } from "../daemon_fixture.ts";

function test(
  name: string,
  body: (db: Database, file: string, daemon: DaemonFixture) => Promise<void>,
): void {
  Deno.test(
    name,
    bounded(async () => {
      await using daemon = await startDaemon();
      await using db = await connect(daemon.file);
      await db.exec(
        `create table note (id integer primary key, text text not null unique, size real);
         create table log (note_id integer references note (id), at any)`,
      );
      await body(db, daemon.file, daemon);
    }),
  );
}

function fails(code: string, more: Partial<SkylineError> = {}): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof SkylineError, String(error));
    const { retry, sqliteCode, statement } = { retry: "no", ...more };
    assert.deepEqual([error.code, error.retry], [code, retry], error.message);
    if (sqliteCode) assert.equal(error.sqliteCode, sqliteCode);
    if (statement !== undefined) assert.equal(error.statement, statement);
    return true;
  };
}

test("run() gives changes, the rowid and a revision that rises by one", async (db) => {
  const first = await db.run("insert into note (text) values (?)", ["a"]);
  const second = await db.run("insert into note (id, text) values (:id, :text)", {
    id: 2n ** 60n,
    text: "b",
  });
  assert.deepEqual(first, { changes: 1, lastInsertRowid: 1, rev: first.rev, replayed: false });
  assert.deepEqual(second, {
    changes: 1,
    lastInsertRowid: 2n ** 60n,
    rev: first.rev + 1,
    replayed: false,
  });
  const update = await db.run("update note set size = 1");
  assert.deepEqual([update.changes, update.rev], [2, first.rev + 2]);
});

test("every kind of value comes back as it was sent, and as SQLite's type", async (db) => {
  const values: [SqlParameter, unknown, string][] = [
    [null, null, "null"],
    [0, 0, "integer"],
    [-1, -1, "integer"],
    [2 ** 53 - 1, 2 ** 53 - 1, "integer"],
    [2n ** 53n, 2n ** 53n, "integer"],
    [2n ** 63n - 1n, 2n ** 63n - 1n, "integer"],
    [-(2n ** 63n), -(2n ** 63n), "integer"],
    [true, 1, "integer"],
    [1.5, 1.5, "real"],
    [real(1), 1, "real"],
    [2 ** 53, 2 ** 53, "real"],
    [1e300, 1e300, "real"],
    [5e-324, 5e-324, "real"],
    [Infinity, Infinity, "real"],
    ["", "", "text"],
    ["é\0\ufeff𝄞", "é\0\ufeff𝄞", "text"],
    [json({ a: [1.5, null] }), '{"a":[1.5,null]}', "text"],
    [new Uint8Array(0), new Uint8Array(0), "blob"],
    [new Uint8Array([0, 255]), new Uint8Array([0, 255]), "blob"],
  ];
  const columns = values.map((_, i) => `?${i + 1}, typeof(?${i + 1})`).join();
  const [row] = await db.values(`select ${columns}`, values.map(([sent]) => sent));
  assert.deepStrictEqual(row, values.flatMap(([, back, type]) => [back, type]));
});

test("all(), get() and values() see the writes that were made before, not awaited", async (db) => {
  const writes = ["a", "b"].map((text) => db.run("insert into note (text) values (?)", [text]));
  assert.deepEqual(await db.all("select id, text from note order by id"), [
    { id: 1, text: "a" },
    { id: 2, text: "b" },
  ]);
  await Promise.all(writes);
  assert.deepEqual(await db.get("select text from note where id = ?", [2]), { text: "b" });
  assert.equal(await db.get("select text from note where id = ?", [3]), undefined);
  assert.deepEqual(await db.values("select id, text from note where id = $id", { id: 1 }), [[
    1,
    "a",
  ]]);
  assert.deepEqual(await db.values('select 1 as a, 2 as a, 3 as "__proto__"'), [[1, 2, 3]]);
  assert.deepEqual(
    Object.entries((await db.all('select 1 as a, 2 as a, 3 as "__proto__"'))[0]),
    [["a", 2], ["__proto__", 3]],
  );
});

test("all() gives the rows of RETURNING, once for each call", async (db) => {
  const sql = "insert into note (text) values (?) returning id, text";
  assert.deepEqual(await db.all(sql, ["a"]), [{ id: 1, text: "a" }]);
  assert.deepEqual(await db.get(sql, ["b"]), { id: 2, text: "b" });
  assert.deepEqual(await db.values("select count(*) from note"), [[2]]);
  assert.deepEqual(await db.all("update note set size = 0"), []);
});

test("batch() does all or nothing", async (db) => {
  const { rev, results } = await db.batch([
    db.sql`insert into note (text) values (${"a"}) returning id`,
    { sql: "insert into log (note_id) values (?)", params: [1], expect: { changes: 1 } },
  ]);
  assert.deepEqual(results, [
    { changes: 1, lastInsertRowid: 1, rows: [{ id: 1 }] },
    { changes: 1, lastInsertRowid: 1 },
  ]);
  const insert = { sql: "insert into note (text) values ('b')" };
  await assert.rejects(
    db.batch([insert, db.sql`insert into note (text) values (${"a"})`]),
    fails("SQL_ERROR", { sqliteCode: "SQLITE_CONSTRAINT_UNIQUE", statement: 1 }),
  );
  await assert.rejects(
    db.batch([insert, { sql: "delete from note where id = 7", expect: { changes: 1 } }]),
    fails("EXPECTATION_FAILED", { statement: 1 }),
  );
  await assert.rejects(
    db.batch([insert, { sql: "select * from note", expect: { rows: 5 } }]),
    fails("EXPECTATION_FAILED", { statement: 1 }),
  );
  await assert.rejects(db.batch([insert], { ifRev: rev - 1 }), fails("REVISION_CHANGED"));
  assert.deepEqual(await db.values("select count(*) from note"), [[1]]);
  assert.equal((await db.batch([insert], { ifRev: rev })).rev, rev + 1);
});

test("sql makes parameters of its values and is executed once", async (db) => {
  const text = "'); drop table note; --";
  const insert = db.sql`insert into note (text) values (${text}) returning text`;
  assert.deepEqual(await Promise.all([insert, insert]), [[{ text }], [{ text }]]);
  assert.deepEqual(await db.sql`select text, ${1n} as n from note`, [{ text, n: 1 }]);
  assert.equal((await db.sql`delete from note`.run()).changes, 1);
});

test("what a statement may not do or get is an error without effect", async (db) => {
  await assert.rejects(db.run("insert into note (text) values (?)"), fails("PARAMETER_MISMATCH"));
  await assert.rejects(
    db.run("insert into note (text) values (:a)", { b: 1 }),
    fails("PARAMETER_MISMATCH"),
  );
  await assert.rejects(db.all("select ?", [1, 2]), fails("PARAMETER_MISMATCH"));
  await assert.rejects(db.run("commit"), fails("NOT_ALLOWED"));
  await assert.rejects(db.run("selec 1"), fails("SQL_ERROR", { sqliteCode: "SQLITE_ERROR" }));
  await assert.rejects(
    db.exec("insert into note (text) values ('a'); selec 1"),
    fails("SQL_ERROR"),
  );
  assert.deepEqual(await db.values("select count(*) from note"), [[0]]);
});

test("a statement that takes too long is TIMEOUT and undone, and others go on", async (db) => {
  const endless =
    "with recursive n (i) as (select 1 union all select i + 1 from n) select count(*) from n";
  const slow = db.run(`insert into log (at) ${endless}`, [], { timeoutMs: 300 });
  const read = db.all(endless, [], { timeoutMs: 300 });
  await Promise.all([
    assert.rejects(slow, fails("TIMEOUT", { retry: "safe" })),
    assert.rejects(read, fails("TIMEOUT", { retry: "safe" })),
  ]);
  assert.deepEqual(await db.values("select count(*) from log"), [[0]]);
});

test("a result of over 10 MiB is an error, and one of megabytes is given", async (db) => {
  const [[text]] = await db.values("select hex(zeroblob(?))", [3_000_000]);
  assert.equal((text as string).length, 6_000_000);
  await assert.rejects(
    db.values("select hex(zeroblob(?))", [6_000_000]),
    fails("RESULT_TOO_LARGE"),
  );
});

test("thousands of calls at once take effect in their order", async (db) => {
  const results = await Promise.all(
    Array.from({ length: 3_000 }, (_, i) => db.run("insert into note (text) values (?)", [`${i}`])),
  );
  results.forEach(({ lastInsertRowid, rev }, i) => {
    assert.deepEqual([lastInsertRowid, rev], [i + 1, results[0].rev + i]);
  });
});

test('integers "bigint" gives every INTEGER as bigint', async (_, file) => {
  await using db = await connect(file, { integers: "bigint" });
  assert.deepStrictEqual(await db.values("select 1, 1.0, 1.5"), [[1n, 1, 1.5]]);
  assert.equal((await db.run("insert into note (text) values ('a')")).lastInsertRowid, 1n);
});

test("status() tells of the daemon and its database", async (db, file) => {
  const status = await db.status();
  assert.ok(status.connections >= 1 && status.pid > 0);
  assert.equal(status.databases.length, 1);
  assert.equal(status.databases[0].path, Deno.realPathSync(file));
  assert.equal("status" in status || "id" in status, false);
});

test("shutdown() leaves nothing but the database file", async (db, file) => {
  const write = db.run("insert into note (text) values ('last')");
  await db.shutdown();
  assert.equal((await write).changes, 1);
  assert.deepEqual([...Deno.readDirSync(dirname(file))].map(({ name }) => name), [basename(file)]);
  await assert.rejects(connect(file), fails("NOT_RUNNING", { retry: "safe" }));
  await assert.rejects(db.run("select 1"), fails("CLOSED", { retry: "safe" }));
});

test(
  "calls fail when the daemon is killed and nothing is to be sent again",
  async (_, file, daemon) => {
    await using db = await connect(file, { retry: false });
    const endless =
      "with recursive n (i) as (select 1 union all select i + 1 from n) select max(i) from n";
    const write = db.run(`insert into log (at) ${endless}`);
    const read = db.all(endless);
    const lost = Promise.all([
      assert.rejects(write, fails("OUTCOME_UNKNOWN", { retry: "unknown" })),
      assert.rejects(read, fails("CONNECTION_LOST", { retry: "safe" })),
    ]);
    await new Promise((resolve) => setTimeout(resolve, 100));
    await daemon.kill();
    await lost;
    await assert.rejects(db.run("select 1"), fails("NOT_RUNNING", { retry: "safe" }));
  },
);

test("query() gives the revision for a batch that decides on what it read", async (db) => {
  await db.run("insert into note (text) values ('a')");
  const { rev, columns, rows } = await db.query("select id, text from note");
  assert.deepEqual([columns, rows], [["id", "text"], [{ id: 1, text: "a" }]]);
  await db.batch([{ sql: "update note set text = 'b'" }], { ifRev: rev });
  await assert.rejects(
    db.batch([{ sql: "update note set text = 'c'" }], { ifRev: rev }),
    fails("REVISION_CHANGED"),
  );
  assert.deepEqual(await db.get("select text from note"), { text: "b" });
});
