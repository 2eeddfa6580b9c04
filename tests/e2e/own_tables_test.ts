/** What other programs do to the daemon's own tables while it serves the file. */
import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { connect } from "../../mod.ts";
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
    await until(() => it.daemon.log().includes("made anew"));
  }, { args: ["--close-idle", "200ms"] });

  daemonTest(`the revision goes on after another program's ${sql}, while open`, async (it) => {
    await it.exec("create table t(a)");
    assert.equal((await it.client.ask(INSERT)).rev, 2);
    elsewhere(it.daemon.file, sql);
    const first = await it.client.ask(INSERT);
    const { rev } = first.status === "ok" ? first : await it.client.ask(INSERT);
    assert.equal(rev, 3);
    assert.deepEqual(await it.rows("select count(*) from t"), [[2]], "what failed left nothing");
    await until(() => it.daemon.log().includes("made anew"));
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

const SESSION = { client: "9f3d2e00-0000-4000-8000-000000000001", seq: 1, acked: 0 };
const CHILD = "create table child(parent references _skylinedb_clients(client)";
const FOREIGN_KEYS: [what: string, sql: string][] = [
  ["ON DELETE CASCADE", `${CHILD} on delete cascade)`],
  ["ON DELETE SET NULL", `${CHILD} on delete set null)`],
  ["ON DELETE SET DEFAULT", `${CHILD} on delete set default)`],
  ["ON DELETE RESTRICT", `${CHILD} on delete restrict)`],
  ["no action", `${CHILD})`],
];

for (const [what, sql] of FOREIGN_KEYS) {
  daemonTest(
    `a foreign key on the daemon's table (${what}) that comes while it is open does nothing`,
    async (it) => {
      await it.exec("create table t(a)");
      await it.client.ask({ ...INSERT, ...SESSION });
      elsewhere(it.daemon.file, `${sql}; insert into child select client from _skylinedb_clients`);
      await it.client.ask({ type: "Bye", client: SESSION.client });
      assert.equal((await it.client.ask(INSERT)).status, "error");
      const again = await it.client.ask(INSERT);
      assert.match(JSON.stringify(again), /CANNOT_OPEN.*"child/);
      elsewhere(
        it.daemon.file,
        "alter table child rename to kept; pragma foreign_keys = off; create table child as select * from kept; drop table kept",
      );
      assert.equal((await it.client.ask(INSERT)).rev, 3);
      const kept = [[""], [SESSION.client]];
      assert.deepEqual(await it.rows("select parent from child order by 1"), kept);
    },
  );
}

const ENDLESS =
  "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n";
const READING: [what: string, trigger: string][] = [
  ["reads for ever", `after update on _skylinedb_clients begin ${ENDLESS}; end`],
  [
    "asks for ever when to run",
    `after update on _skylinedb_clients when (${ENDLESS}) begin select 1; end`,
  ],
  [
    "passes over what is to be written",
    "before update on _skylinedb_clients begin select raise(ignore); end",
  ],
  [
    "undoes the transaction",
    "before update on _skylinedb_clients begin select raise(rollback, 'no'); end",
  ],
];

for (const [what, trigger] of READING) {
  daemonTest(`a trigger that ${what} and comes while it is open never runs`, async (it) => {
    await it.exec("create table t(a)");
    elsewhere(it.daemon.file, `create trigger harm ${trigger}`);
    assert.equal((await it.client.ask(INSERT)).status, "error");
    assert.match(JSON.stringify(await it.client.ask(INSERT)), /CANNOT_OPEN.*DROP TRIGGER/);
    elsewhere(it.daemon.file, "drop trigger harm");
    assert.equal((await it.client.ask(INSERT)).rev, 2);
  });
}

daemonTest("a start that refuses a file leaves it as it was, and nothing beside it", async (it) => {
  await it.exec("create table t(a)");
  await it.client.ask({ type: "Shutdown" });
  await it.daemon.child.status;
  const { folder, file } = it.daemon;
  const harm = "begin update t set a = 'harmed'; end";
  elsewhere(
    file,
    `pragma journal_mode = delete; create trigger harm after update on _skylinedb_clients ${harm}`,
  );
  const before = [Deno.readFileSync(file), Deno.statSync(file).mtime];
  await assert.rejects(it.daemon.restart(), /DROP TRIGGER/);
  assert.deepEqual([Deno.readFileSync(file), Deno.statSync(file).mtime], before);
  assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name), ["app.db"]);
});

daemonTest("a client goes on whose row another program has changed, beside others", async (it) => {
  await using forged = await connect(it.daemon.file);
  await using other = await connect(it.daemon.file);
  await forged.exec("create table t(a)");
  await other.run("insert into t values (1)");
  await forged.run("insert into t values (2)", [], { key: "k" });
  await it.daemon.kill();
  elsewhere(
    it.daemon.file,
    `update _skylinedb_clients set answers = x'00' where client = (select min(client) from _skylinedb_clients where client <> '');
     update _skylinedb_keys set answer = x'00' where key = 'k'`,
  );
  await it.daemon.restart();
  const again = forged.run("insert into t values (2)", [], { key: "k", timeoutMs: 1_000 });
  await Promise.all([
    assert.rejects(again, { code: "OUTCOME_UNKNOWN" }),
    ...[3, 4].map((v) => other.run("insert into t values (?)", [v])),
    forged.run("insert into t values (5)"),
  ]);
  const values = await other.values("select a from t order by a");
  assert.deepEqual(values, [[1], [2], [3], [4], [5]]);
});

daemonTest(
  "a full-text index is written with a commit of a schema that has changed",
  async (it) => {
    const insert = "insert into f values ('a')"; // kept prepared
    await it.exec("create virtual table f using fts5(a)");
    await it.exec(insert);
    await it.exec("create table t(a)");
    await it.exec(insert);
    await it.exec("create index i on t(a)", insert);
    elsewhere(it.daemon.file, "create table u(a)");
    await it.exec(insert);
    assert.deepEqual(await it.rows("select count(*) from f where f match 'a'"), [[4]]);
  },
);
