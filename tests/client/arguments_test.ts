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
