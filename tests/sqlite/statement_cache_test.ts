import assert from "node:assert/strict";
import { StatementCache } from "../../daemon/sqlite/statement_cache.ts";
import { TemporaryConnection } from "./temporary_connection.ts";

/** Adds up many times, as two to the power of `depth` operations. */
function added(depth: number, mark: number): string {
  return Array.from({ length: depth }).reduce<string>(
    (inner) => `select v + v as v from (${inner})`,
    `select v + ${mark} as v from t`,
  );
}

Deno.test("StatementCache keeps no large statement, and no more than 8 MiB of others", () => {
  using temporary = new TemporaryConnection();
  const { connection } = temporary;
  connection.exec("create table t(v)");
  const cache = new StatementCache();
  const add = (sql: string) => {
    const { statement } = connection.prepare(sql, { persistent: true });
    const isKept = cache.add(sql, statement!);
    if (!isKept) statement!.finalize();
    return isKept;
  };
  assert.ok(add("select v from t"));
  assert.ok(cache.get("select v from t")!.bytes < 10_000);
  assert.ok(!add(added(16, 0)));
  assert.equal(cache.get(added(16, 0)), undefined);
  for (let mark = 0; mark < 60; mark++) assert.ok(add(added(13, mark)));
  const kept = Array.from({ length: 60 }, (_, mark) => cache.get(added(13, mark)))
    .filter((statement) => statement !== undefined);
  const bytes = kept.reduce((sum, statement) => sum + statement.bytes, 0);
  assert.ok(bytes > 4 * 2 ** 20 && bytes <= 8 * 2 ** 20, `${kept.length} of ${bytes} bytes`);
  assert.ok(cache.get(added(13, 59)), "the last is there");
  assert.equal(cache.get("select v from t"), undefined, "the first has made room");
  cache.clear();
  assert.ok(add("select v from t"));
  cache.clear();
});
