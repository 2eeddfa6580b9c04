/** The daemon serves with the SQLite of the system too, where none is built. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findLibrary } from "../../daemon/sqlite/library.ts";
import { daemonTest } from "./daemon_case.ts";

/** The system's library; `undefined` where it has none. */
function systemLibrary(): string | undefined {
  const before = Deno.env.get("SKYLINEDB_CACHE");
  const empty = mkdtempSync(join(tmpdir(), "skylinedb-no-cache-"));
  Deno.env.set("SKYLINEDB_CACHE", empty);
  try {
    const { path, origin } = findLibrary();
    return origin === "system" ? path : undefined;
  } catch {
    return undefined;
  } finally {
    if (before === undefined) Deno.env.delete("SKYLINEDB_CACHE");
    else Deno.env.set("SKYLINEDB_CACHE", before);
    rmSync(empty, { recursive: true });
  }
}

const library = systemLibrary();
if (library === undefined) console.log("Skipping the system's library: there is none");
const env: Record<string, string> = { SKYLINEDB_CACHE: "/nowhere" };

daemonTest("the daemon serves with the system's library", async (it) => {
  await it.exec("create table t(a)"); // it runs alone, off the loop
  await it.exec(["insert into t values (?)", "a"], ["insert into t values (?)", "b"]);
  const insert = { type: "ExecBatch", stmts: [{ sql: "insert into t values ('c')" }] };
  for (const fields of [{ key: "k" }, { client: "c", seq: 1 }]) {
    assert.equal((await it.client.ask({ ...insert, ...fields })).status, "ok");
    assert.equal((await it.client.ask({ ...insert, ...fields })).replayed, true);
  }
  assert.equal((await it.client.ask({ ...insert, tx: "none" })).status, "ok");
  assert.deepEqual(await it.rows("select group_concat(a, '') from t"), [["abccc"]]);
  const slow = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 300000) " +
    "select max(i) from n";
  assert.deepEqual(await it.rows(slow), [[300_000]]);
}, { ignore: library === undefined, env });
