import assert from "node:assert/strict";
import { assertBelow, type DaemonCase, daemonTest } from "./daemon_case.ts";
import { longestBeside } from "./longest_beside.ts";

/** A text of so many characters, made by SQLite. */
const text = (length: number) => `replace(hex(zeroblob(${length / 2})), '0', 'x')`;

/** Each takes 0.5 s or more in one call, and looks at no clock meanwhile. */
const CALLS: readonly (readonly [name: string, sql: string])[] = [
  ["trim", `length(trim(${text(30_000)}, replace(${text(30_000)}, 'x', 'y') || 'x'))`],
  ["like", `${text(60_000)} like '%' || ${text(30_000)} || 'y'`],
  ["glob", `${text(60_000)} glob '*' || ${text(30_000)} || 'y'`],
  ["instr", `instr(${text(1_000_000)}, ${text(300_000)} || 'y')`],
  ["replace", `length(replace(${text(600_000)}, ${text(200_000)} || 'y', ''))`],
];

const twoFiles = { files: ["a.db", "b.db"] };

/** Runs it with others beside it, each time as SQL that was not seen before. */
async function assertHoldsNobody(it: DaemonCase, name: string, ask: (mark: string) => object) {
  await assertBelow(250, `a Ping or a write beside ${name}`, async (attempt) => {
    return await longestBeside(it, async () => {
      const answer = await it.client.ask({ ...ask(`/* ${attempt} */`), timeout_ms: 60_000 });
      assert.equal(answer.status, "ok", answer.message);
    });
  });
}

for (const [name, sql] of CALLS) {
  daemonTest(`Query with one long call of ${name} holds nobody else`, async (it) => {
    await assertHoldsNobody(it, name, (mark) => ({ type: "Query", sql: `select ${sql} ${mark}` }));
  }, twoFiles);
}

daemonTest("ExecBatch with one long call holds nobody else, in a trigger as well", async (it) => {
  await it.exec("create table t(a)", "create table log(a)");
  await it.exec(
    `create trigger t_log after insert on t begin insert into log select ${CALLS[0][1]}; end`,
  );
  const write = (sql: string) => (mark: string) => ({
    type: "ExecBatch",
    stmts: [{ sql: `${sql} ${mark}` }],
  });
  await assertHoldsNobody(it, "a write", write(`insert into log select ${CALLS[0][1]}`));
  await assertHoldsNobody(it, "a trigger", write("insert into t values (1)"));
}, twoFiles);

daemonTest(
  "ExecBatch of parameters that a function takes long for holds nobody else",
  async (it) => {
    await it.exec("create table t(a)");
    const params = ["x".repeat(30_000), "y".repeat(30_000) + "x"];
    await assertHoldsNobody(it, "trim of parameters", (mark) => ({
      type: "ExecBatch",
      stmts: [{ sql: `insert into t select length(trim(?, ?)) ${mark}`, params }],
    }));
    assert.deepEqual(await it.rows("select distinct a from t"), [[0]]);
  },
  twoFiles,
);

const LONG_TEXTS = ["x".repeat(30_000), "y".repeat(30_000) + "x"];
const TRIMMED = "length(trim(a, b))";

/** Where a table calls a function by itself, and what is asked of it, which takes 0.5 s or more. */
const IN_SCHEMA: readonly (readonly [name: string, schema: readonly string[], asked: string])[] = [
  ["a CHECK", [`create table t(a, b, check (${TRIMMED} = 0))`], "insert"],
  ["a stored column", [`create table t(a, b, c as (${TRIMMED}) stored)`], "insert"],
  ["a generated column", [`create table t(a, b, c as (${TRIMMED}))`], "select sum(c) from t"],
  ["an index", ["create table t(a, b)", `create index i on t(${TRIMMED})`], "insert"],
  [
    "a part of a table",
    ["create table t(a, b)", `create index i on t(a) where ${TRIMMED} = 1`],
    "insert",
  ],
];

for (const [name, schema, asked] of IN_SCHEMA) {
  daemonTest(`A long call in ${name} holds nobody else`, async (it) => {
    await it.exec(...schema);
    const insert = {
      type: "ExecBatch",
      stmts: [{ sql: "insert into t(a, b) values (?, ?)", params: LONG_TEXTS }],
    };
    if (asked !== "insert") assert.equal((await it.client.ask(insert)).status, "ok");
    await assertHoldsNobody(it, name, (mark) => {
      if (asked !== "insert") return { type: "Query", sql: `${asked} ${mark}` };
      const [{ sql, params }] = insert.stmts;
      return { ...insert, stmts: [{ sql: `${sql} ${mark}`, params }] };
    });
  }, twoFiles);
}

/** What brings a long call to SQL that was prepared before, and that SQL. */
const BROUGHT: readonly (readonly [name: string, change: readonly string[], asked: object])[] = [
  [
    "a view",
    ["drop view if exists v", `create view v as select ${TRIMMED} as c from t`],
    { type: "Query", sql: "select c from v" },
  ],
  [
    "a trigger",
    [
      "drop trigger if exists g",
      "create trigger g after insert on t begin select length(trim(new.a, new.b)); end",
    ],
    {
      type: "ExecBatch",
      stmts: [{ sql: "insert into t(a, b) values (?, ?)", params: LONG_TEXTS }],
    },
  ],
];

for (const [name, change, asked] of BROUGHT) {
  daemonTest(`A long call that ${name} brings to prepared SQL holds nobody else`, async (it) => {
    await it.exec("create table t(a, b)", "insert into t(a, b) values ('', '')");
    await assertBelow(250, `a Ping or a write beside ${name}`, async () => {
      await it.exec(
        "drop view if exists v",
        "drop trigger if exists g",
        "delete from t where a <> ''",
      );
      await it.exec("create view v as select 1 as c from t");
      const insert = { sql: "insert into t(a, b) values (?, ?)", params: LONG_TEXTS };
      await it.client.ask({ type: "ExecBatch", stmts: [insert] });
      assert.equal((await it.client.ask(asked)).status, "ok");
      await it.exec(...change);
      return await longestBeside(it, async () => {
        assert.equal((await it.client.ask({ ...asked, timeout_ms: 60_000 })).status, "ok");
      });
    });
  }, twoFiles);
}

daemonTest("Many calls in one row hold nobody else", async (it) => {
  await it.exec("create table t(a)");
  await it.exec(`insert into t values (${text(15_000_000)})`);
  const calls = Array.from({ length: 40 }, () => "length(upper(a))").join();
  await assertHoldsNobody(it, "40 calls", (mark) => ({
    type: "Query",
    sql: `select ${calls} from t ${mark}`,
  }));
}, twoFiles);

daemonTest("Functions give large values what they give small ones", async (it) => {
  assert.deepEqual(
    await it.rows(
      `select length(replace(${text(100_000)}, 'x', 'yz')), instr(${
        text(100_000)
      } || 'q', 'q'), length(trim(${text(50_000)}, 'x')), ${text(50_000)} like '%x'`,
    ),
    [
      [200_000, 100_001, 0, 1],
    ],
  );
  const answer = await it.client.ask({
    type: "Query",
    sql: "select length(replace(zeroblob(17000000), 'x', 'y'))",
  });
  assert.equal(answer.sqlite_code, "SQLITE_TOOBIG");
});
