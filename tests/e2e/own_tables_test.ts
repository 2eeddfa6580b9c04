/** What other programs do to the daemon's own tables while it serves the file. */
import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { daemonTest, until } from "./daemon_case.ts";

const INSERT = { type: "ExecBatch", stmts: [{ sql: "insert into t values ('whole')" }] };
const REMOVALS = [
  "delete from _skylinedb_clients",
  "drop table _skylinedb_clients",
  "drop table _skylinedb_clients; drop table _skylinedb_keys",
];

/** Another program, with the file open for one script. */
function elsewhere(file: string, sql: string): void {
  const other = new DatabaseSync(file);
  other.exec("pragma busy_timeout = 5000");
  other.exec(sql);
  other.close();
}

for (const sql of REMOVALS) {
  daemonTest(`the revision goes on after another program's ${sql}, while closed`, async (it) => {
    await it.exec("create table t(a)");
    assert.equal((await it.client.ask(INSERT)).rev, 2);
    await until(async () => !(await it.status()).open);
    elsewhere(it.daemon.file, sql);
    assert.equal((await it.client.ask(INSERT)).rev, 3);
    assert.match(it.daemon.log(), /made anew/);
  }, { args: ["--close-idle", "200ms"] });

  daemonTest(`the revision goes on after another program's ${sql}, while open`, async (it) => {
    await it.exec("create table t(a)");
    assert.equal((await it.client.ask(INSERT)).rev, 2);
    elsewhere(it.daemon.file, sql);
    const first = await it.client.ask(INSERT);
    const { rev } = first.status === "ok" ? first : await it.client.ask(INSERT);
    assert.equal(rev, 3);
    assert.deepEqual(await it.rows("select count(*) from t"), [[2]], "what failed left nothing");
    assert.match(it.daemon.log(), /made anew/);
  });
}

daemonTest(
  "a trigger that comes onto the daemon's table while it is open never runs",
  async (it) => {
    await it.exec("create table t(a)");
    await it.client.ask(INSERT);
    const harm = "begin update t set a = 'harmed'; end";
    elsewhere(it.daemon.file, `create trigger harm after update on _skylinedb_clients ${harm}`);
    const refused = await it.client.ask(INSERT);
    assert.equal(refused.status, "error");
    const again = await it.client.ask(INSERT);
    assert.equal(again.error?.code ?? again.code, "CANNOT_OPEN", JSON.stringify(again));
    assert.match(JSON.stringify(again), /DROP TRIGGER/);
    elsewhere(it.daemon.file, "drop trigger harm");
    assert.equal((await it.client.ask(INSERT)).rev, 3);
    assert.deepEqual(await it.rows("select a from t"), [["whole"], ["whole"]]);
  },
);
