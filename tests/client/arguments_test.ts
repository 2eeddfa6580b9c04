/** What callers may pass to the client, against the real daemon. */
import assert from "node:assert/strict";
import { runInNewContext } from "node:vm";
import { connect, type SqlParameter } from "../../mod.ts";
import { startDaemon } from "../daemon_fixture.ts";
import { bounded } from "./bounded.ts";

Deno.test(
  "bytes are a BLOB in every view, and those of another realm too",
  bounded(async () => {
    await using daemon = await startDaemon();
    await using db = await connect(daemon.file);
    const { buffer } = new Uint8Array([9, 1, 2, 3, 4, 9]);
    const values: SqlParameter[] = [
      new DataView(buffer, 1, 4),
      new Uint8ClampedArray(buffer, 1, 4),
      new Uint16Array(buffer.slice(1, 5)),
      buffer.slice(1, 5),
      runInNewContext("new Uint8Array([1, 2, 3, 4])"),
      runInNewContext("new DataView(new Uint8Array([1, 2, 3, 4]).buffer)"),
      runInNewContext("new Uint8Array([1, 2, 3, 4]).buffer"),
    ];
    for (const value of values) {
      assert.deepEqual(await db.values("select ?, typeof(?)", [value, value]), [
        [new Uint8Array([1, 2, 3, 4]), "blob"],
      ]);
    }
    await assert.rejects(db.run("select ?", buffer as never), TypeError);
  }),
);

Deno.test(
  "an option that is not known is a TypeError that names it, and nothing is done",
  bounded(async () => {
    await using daemon = await startDaemon();
    const named = { name: "TypeError", message: /^There is no option timeout here; there are / };
    const options = { timeout: 5 } as object;
    await assert.rejects(connect(daemon.file, options), named);
    await using db = await connect(daemon.file);
    await db.exec("create table t (a)");
    const calls = [
      () => db.run("insert into t values (1)", [], options),
      () => db.exec("insert into t values (1)", options),
      () => db.batch([{ sql: "insert into t values (1)" }], options),
      () => db.all("insert into t values (1) returning a", [], options),
      () => db.get("select 1", [], options),
      () => db.query("select 1", [], options),
      () => db.values("select 1", [], options),
      () => db.status(options),
      () => db.shutdown(options),
    ];
    for (const call of calls) await assert.rejects(call, named, String(call));
    await assert.rejects(db.run("select 1", [], { ifRev: 1 } as object), /no option ifRev/);
    assert.deepEqual(await db.values("select count(*) from t"), [[0]]);
  }),
);

Deno.test(
  "calls take effect in their order, also where a statement that writes is asked for its rows",
  bounded(async () => {
    await using daemon = await startDaemon();
    await using db = await connect(daemon.file);
    await db.exec("create table t (id integer primary key, a)");
    const calls = [
      "insert into t (a) values (?) returning id",
      "with x as (select ? as a) insert into t (a) select a from x returning id",
      "/* select */ replace into t (a) values (?) returning id",
    ];
    // Each SQL for the first time, and a write after it that must not overtake it.
    const ids = await Promise.all(calls.flatMap((sql) => [
      db.all(sql, ["all"]).then(([row]) => row.id),
      db.run("insert into t (a) values ('run')").then(({ lastInsertRowid }) => lastInsertRowid),
    ]));
    assert.deepEqual(ids, [1, 2, 3, 4, 5, 6]);
    const [, [version]] = await Promise.all([
      db.all("pragma user_version = 7"),
      db.all("pragma user_version"),
    ]);
    assert.deepEqual(version, { user_version: 7 });
  }),
);

Deno.test(
  "several statements are a TypeError where one is meant, and nothing is done",
  bounded(async () => {
    await using daemon = await startDaemon();
    await using db = await connect(daemon.file);
    await db.exec("create table t (a); create table u (a)");
    const sql = "insert into t values (1); insert into t values (2) returning a";
    const named = { name: "TypeError", message: /several statements; give them to exec/ };
    for (const call of [db.run, db.all, db.get, db.query, db.values]) {
      await assert.rejects(call.call(db, sql), named, call.name);
    }
    assert.deepEqual(await db.values("select count(*) from t"), [[0]]);
    await db.run("insert into t values (';'); -- the end;");
    await db.run(
      "create trigger tr after insert on t begin insert into u values (1); delete from t; end",
    );
    await db.run("insert into t values (2);");
    assert.deepEqual(await db.values("select (select count(*) from t), a from u;"), [[0, 1]]);
  }),
);
