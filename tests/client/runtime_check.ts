/**
 * Uses the client the way a program does, on whichever runtime runs it: `runtime_check.ts ENDPOINT FILE`, a fake's and a
 * real daemon's. Ends by itself with a connection left open, and prints one line when all was as it should be.
 */
import assert from "node:assert/strict";
import process from "node:process";
import { connect, real, SkylineError } from "../../mod.ts";

const [pipe, file] = process.argv.slice(2);

{
  await using db = await connect({ pipe }, { timeoutMs: 5_000 });
  const bytes = new Uint8Array([0, 255]);
  const params = [null, 1, -(2n ** 63n), real(2), 1.5, "é\0", bytes];
  assert.deepEqual(await db.values("echo", params), [[
    null,
    1,
    -(2n ** 63n),
    2,
    1.5,
    "é\0",
    bytes,
  ]]);
  const many = await Promise.all(Array.from({ length: 500 }, (_, i) => db.get("echo", [i])));
  assert.deepEqual(many, Array.from({ length: 500 }, (_, i) => ({ a: i })));
  const text = "é".repeat(3_000_000);
  assert.deepEqual(await db.sql`echo ${text}`.values(), []);
  assert.equal((await db.get<{ a: string }>("echo", [text]))!.a, text);
  await assert.rejects(db.all("fail"), { name: "SkylineError", code: "SQL_ERROR" });
  await assert.rejects(db.run("x", [], { timeoutMs: 1 }), { code: "OUTCOME_UNKNOWN" });
}

{
  await using db = await connect(file, { timeoutMs: 5_000 });
  await db.exec("create table if not exists t (id integer primary key, v)");
  const bytes = new Uint8Array([0, 255]);
  const values = [2n ** 63n - 1n, real(1), "é\0", bytes, null];
  const added = await db.batch(values.map((value) => db.sql`insert into t (v) values (${value})`));
  assert.deepEqual(added.results.map(({ lastInsertRowid }) => lastInsertRowid), [1, 2, 3, 4, 5]);
  assert.deepEqual(await db.values("select v, typeof(v) from t order by id"), [
    [2n ** 63n - 1n, "integer"],
    [1, "real"],
    ["é\0", "text"],
    [bytes, "blob"],
    [null, "null"],
  ]);
  const insert = "insert into t (v) values (?)";
  const many = await Promise.all(Array.from({ length: 3_000 }, (_, i) => db.run(insert, [i])));
  many.forEach(({ lastInsertRowid }, i) => assert.equal(lastInsertRowid, i + 6));
  const brief = await connect(file, { idleCloseMs: 50 });
  const { rev } = await brief.run(insert, [0]);
  while ((await db.status()).connections > 1) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.equal((await brief.run(insert, [0])).rev, rev + 1);
  await brief.close();
  assert.equal((await db.run(insert, [0], { key: "once" })).replayed, false);
  assert.equal((await db.run(insert, [0], { key: "once" })).replayed, true);
  await db.shutdown();
}

const dropped = await connect({ pipe }, { retry: false });
await assert.rejects(dropped.run("drop"), { code: "OUTCOME_UNKNOWN", retry: "unknown" });
await assert.rejects(connect({ pipe: "no-such-daemon" }), (error) => {
  return error instanceof SkylineError && error.code === "NOT_RUNNING";
});

const idle = await connect({ pipe }, { idleCloseMs: 60_000 });
// Nothing but the awaited answers keeps the process alive meanwhile, and afterwards nothing does.
assert.deepEqual(await idle.values("late"), [[1]]);
assert.equal((await idle.run("drop for a while")).replayed, true);
console.log("ok", "Deno" in globalThis ? "Deno" : "Node");
