/** What connections that read know of the schema, the planner's statistics and the settings of the one that writes. */
import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { PRAGMAS_ALLOWED, PRAGMAS_READABLE } from "../../daemon/sqlite/authorizer.ts";
import { type DaemonCase, daemonTest, exec, until } from "./daemon_case.ts";

/** What a statement returns by a Query, and in a batch. */
async function byBoth(it: DaemonCase, sql: string): Promise<[query: unknown, batch: unknown]> {
  const { columns, rows } = await it.client.ask({ type: "Query", sql });
  const [result] = (await it.exec(sql)).results;
  return [{ columns, rows }, { columns: result.columns ?? [], rows: result.rows ?? [] }];
}

/** Another program, with the file open for one script. */
function elsewhere(file: string, sql: string): void {
  using other = new DatabaseSync(file);
  other.exec("pragma busy_timeout = 5000");
  other.exec(sql);
}

/** PRAGMAs that take a name, of the tables below. */
const ARGUMENTS: Readonly<Record<string, string>> = {
  foreign_key_list: "(u)",
  index_info: "(t_a)",
  index_list: "(t)",
  index_xinfo: "(t_a)",
  table_info: "(t)",
  table_xinfo: "(t)",
};
/** By its definition another number for each connection; and what writes. */
const UNLIKE = ["data_version", "optimize"];

for (const args of [[], ["--durability", "normal", "--foreign-keys", "off"]]) {
  daemonTest(`a Query is answered PRAGMAs as a batch is: ${args.join(" ")}`, async (it) => {
    await it.exec(
      "create table t(a, b unique)",
      "create index t_a on t(a)",
      "create table u(b references t(b))",
      "pragma user_version = 7",
    );
    for (const name of [...PRAGMAS_ALLOWED, ...PRAGMAS_READABLE]) {
      if (UNLIKE.includes(name)) continue;
      const [query, batch] = await byBoth(it, `pragma ${name}${ARGUMENTS[name] ?? ""}`);
      assert.deepEqual(query, batch, name);
    }
    assert.deepEqual(await it.rows("PRAGMA main.journal_mode; -- as it is"), [["wal"]]);
    for (const sql of ["pragma journal_mode = delete", "pragma journal_mode(off)"]) {
      assert.equal((await it.client.ask({ type: "Query", sql })).code, "NOT_ALLOWED", sql);
    }
    const [[isOn], [synchronous]] = [
      ...await it.rows("pragma foreign_keys"),
      ...await it.rows("pragma synchronous"),
    ];
    assert.deepEqual([isOn, synchronous], args.length === 0 ? [1, 2] : [0, 1]);
  }, { args });
}

/** The one row of a plan. */
const PLAN = "explain query plan select * from t where a = 1 and b = 1";

/** What each way of asking says that the plan is. */
async function plans(it: DaemonCase): Promise<string[]> {
  const all = await byBoth(it, PLAN) as { rows: unknown[][] }[];
  return all.map(({ rows }) => String(rows[0][3]));
}

daemonTest("EXPLAIN and PRAGMAs tell of the schema as it is, whoever changed it", async (it) => {
  const questions = [PLAN, "pragma index_list(u)", "pragma index_info(t_a)"];
  const ask = async () => {
    const answers: [unknown, unknown][] = [];
    for (const sql of questions) answers.push(await byBoth(it, sql));
    return JSON.stringify(answers);
  };
  await it.exec("create table t(a, b)");
  const before = await ask();
  await it.exec("create index t_a on t(a)", "create table u(a unique)");
  const after = await ask();
  assert.doesNotMatch(before, /t_a/);
  for (const question of JSON.parse(after)) {
    assert.deepEqual(question[0], question[1]);
    assert.ok(question[0].rows.length > 0, after);
  }
  assert.deepEqual(await plans(it), Array(2).fill("SEARCH t USING INDEX t_a (a=?)"));
  elsewhere(it.daemon.file, "drop index t_a; create index t_b on t(b)");
  // The batch first: nothing else has told its connection of the change.
  const { results: [plan] } = await exec(it.client, PLAN);
  assert.equal(plan.rows[0][3], "SEARCH t USING INDEX t_b (b=?)");
  elsewhere(it.daemon.file, "create index t_c on t(b, a)");
  const { results: [info] } = await exec(it.client, "pragma index_info(t_c)");
  assert.deepEqual(info.rows, [[0, 1, "b"], [1, 0, "a"]]);
  elsewhere(it.daemon.file, "drop index t_c");
  assert.deepEqual(await plans(it), Array(2).fill("SEARCH t USING INDEX t_b (b=?)"));
});

/** Rows of which one column tells much and the other nothing. */
const rowsThat = (a: string, b: string, count = 500) => [
  "delete from t",
  `insert into t with recursive i(n) as (select 1 union all select n + 1 from i limit ${count}) select ${a}, ${b} from i`,
];

daemonTest("readers know of every ANALYZE, and go on with the queries that run", async (it) => {
  await it.exec("create table t(a, b)", "create index t_a on t(a)", "create index t_b on t(b)");
  const analyses = ["analyze", "analyze", "analyze t", "analyze t", "/* all */ analyze; analyze"];
  for (const [i, sql] of analyses.entries()) {
    const [better, ...data] = i % 2 === 0
      ? ["t_a (a=?)", ...rowsThat("n", "1")]
      : ["t_b (b=?)", ...rowsThat("1", "n")];
    await it.exec(...data, sql);
    assert.deepEqual(await plans(it), Array(2).fill(`SEARCH t USING INDEX ${better}`), sql);
  }
  // An ANALYZE inside: the table is over ten times as large.
  await it.exec(...rowsThat("1", "n", 10_000), "pragma optimize(0x10002)");
  assert.deepEqual(await plans(it), Array(2).fill("SEARCH t USING INDEX t_b (b=?)"));
  // Statistics that were written by hand, and read with an ANALYZE of nothing.
  await it.exec(
    "update sqlite_stat1 set stat = '500 1' where idx = 't_a'",
    "update sqlite_stat1 set stat = '500 500' where idx = 't_b'",
    "analyze sqlite_schema",
  );
  assert.deepEqual(await plans(it), Array(2).fill("SEARCH t USING INDEX t_a (a=?)"));
  // A query that runs meanwhile ends as it would have, and its connection is used no more.
  const other = await it.open();
  const slow =
    "with recursive i(n) as (select 1 union all select n + 1 from i limit 3000000) select count(*) from i";
  await other.begin({ type: "Query", sql: slow });
  await it.exec("analyze");
  assert.deepEqual((await other.next())?.rows, [[3_000_000]]);
  assert.deepEqual(await plans(it), Array(2).fill("SEARCH t USING INDEX t_b (b=?)"));
});

/** More tables than the loop may be held for. */
const MANY_TABLES = Array.from({ length: 10_000 }, (_, i) => `create table many_${i}(a, b, c, d)`);

daemonTest("a reader whose schema became large is closed, and used no more", async (it) => {
  await it.exec("create table t(a)");
  const count = "select count(*) from sqlite_schema where name like 'many%'";
  {
    using other = new DatabaseSync(it.daemon.file);
    other.exec(`begin immediate; ${MANY_TABLES.join(";")}`);
    // Now, as a reader that nobody uses is closed after a while.
    assert.deepEqual(await it.rows(count), [[0]]);
    other.exec("commit");
  }
  for (let i = 0; i < 2; i++) {
    assert.deepEqual(await it.rows(count), [[10_000]]);
    // All that are kept are closed, each once.
    await it.exec("analyze t");
  }
});

const REMOVALS = [
  "delete from _skylinedb_clients where client = ''",
  "delete from _skylinedb_clients",
  "drop table _skylinedb_clients",
  "alter table _skylinedb_clients rename to other",
  "update _skylinedb_clients set seq = 'many' where client = ''",
];

for (const sql of REMOVALS) {
  daemonTest(`a Query is told no wrong revision after another program's ${sql}`, async (it) => {
    await it.exec("create table t(a)");
    const { rev } = await it.exec("insert into t values (1)");
    const query = { type: "Query", sql: "select a from t" };
    assert.equal((await it.client.ask(query)).rev, rev);
    elsewhere(it.daemon.file, sql);
    const refused = await it.client.ask(query);
    assert.deepEqual([refused.code, refused.retry], ["FILE_REPLACED", "safe"]);
    assert.match(refused.message, /_skylinedb_clients/);
    let again = refused;
    if (sql.startsWith("update")) {
      // What somebody wrote there is not undone.
      for (const request of [{ type: "ExecBatch", stmts: [{ sql: "delete from t" }] }, query]) {
        await until(async () => (again = await it.client.ask(request)).code === "CANNOT_OPEN");
        assert.match(again.hint, /UPDATE _skylinedb_clients SET/);
      }
      elsewhere(it.daemon.file, `update _skylinedb_clients set seq = ${rev} where client = ''`);
    }
    await until(async () => (again = await it.client.ask(query)).status === "ok", 5_000);
    assert.deepEqual([again.rev, again.rows], [rev, [[1]]]);
    const { rev: next } = await it.exec("insert into t values (2)");
    assert.equal(next, rev + 1);
  });
}
