import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { LIMITS } from "../../daemon/process/limits.ts";
import type { WireClient } from "../wire_client.ts";
import { type DaemonCase, daemonTest, exec, rows, sleep, until } from "./daemon_case.ts";

const ENDLESS =
  "with recursive n(i) as (select 1 union all select i + 1 from n) select max(i) from n";
/** Some 0.2 s of work. */
const SLOW = "with recursive n(i) as (select 1 union all select i + 1 from n limit 2000000) " +
  "select count(*) from n";

/** Begins so many endless queries of one database as it has places for. */
async function fill(it: DaemonCase): Promise<WireClient[]> {
  const clients: WireClient[] = [];
  for (let i = 0; i < 8; i++) {
    const client = await it.open();
    await client.begin({ type: "Query", sql: `${ENDLESS} -- ${i}`, timeout_ms: 60_000 });
    clients.push(client);
  }
  await sleep(100); // each was tried inline, and is beside the loop
  return clients;
}

daemonTest(
  "Eight endless queries hold neither the database's slow writes nor another database",
  async (it) => {
    await it.exec("create table t(a)");
    const other = await it.open(it.daemon.endpoints[1]);
    await exec(other, "create table t(a)");
    await fill(it);
    const slowInsert = { stmts: [{ sql: `insert into t ${SLOW}` }], timeout_ms: 30_000 };
    for (const client of [it.client, other]) {
      for (const tx of ["atomic", "none"]) {
        const answer = await client.ask({ type: "ExecBatch", ...slowInsert, tx }, 35_000);
        assert.equal(answer.status, "ok", JSON.stringify(answer));
      }
    }
    assert.deepEqual(await rows(other, SLOW), [[2_000_000]]);
    assert.deepEqual(await it.rows("select count(*) from t"), [[2]]);
  },
  { files: ["a.db", "b.db"] },
);

daemonTest(
  "Eight endless queries on a large file let a query through that is new to it",
  async (it) => {
    await it.exec(
      "create table t(a)",
      "insert into t with recursive n(i) as (select 1 union all select i + 1 from n limit 40) " +
        "select zeroblob(1000000) from n",
    );
    const { bytes, lookMs } = LIMITS.largeFile;
    await until(() => statSync(it.daemon.file).size >= bytes);
    await sleep(2 * lookMs);
    await fill(it);
    const isQuick = { type: "Query", sql: "select 1 where 2 in (select 2)", timeout_ms: 5_000 };
    assert.equal((await it.client.ask(isQuick)).status, "ok");
  },
);

daemonTest(
  "A query that waits for a place ends at its deadline, and so does what follows",
  async (it) => {
    await it.exec("create table t(a)");
    await fill(it);
    const client = await it.open();
    client.send({ type: "Query", id: "query", sql: SLOW, timeout_ms: 500 });
    const late = { stmts: [{ sql: "insert into t values (1)" }], timeout_ms: 100 };
    client.send({ type: "ExecBatch", id: "late", ...late });
    client.send({ type: "ExecBatch", id: "write", stmts: [{ sql: "insert into t values (2)" }] });
    const answers = [await client.next(), await client.next(), await client.next()];
    assert.deepEqual(answers.map((answer) => [answer?.id, answer?.code ?? answer?.status]), [
      ["late", "TIMEOUT"],
      ["query", "TIMEOUT"],
      ["write", "ok"],
    ]);
    assert.deepEqual(await it.rows("select a from t"), [[2]]);
  },
);

daemonTest(
  "A query that waits for a place does not see the writes that its connection sent after it",
  async (it) => {
    await it.exec("create table t(a)", "insert into t values (1)");
    const [first] = await fill(it);
    const client = await it.open();
    const sql = `select (${SLOW}), (select count(*) from t)`;
    client.send({ type: "Query", id: "query", sql, timeout_ms: 30_000 });
    client.send({ type: "ExecBatch", id: "write", stmts: [{ sql: "insert into t values (2)" }] });
    await sleep(200);
    await first[Symbol.asyncDispose]();
    const answers = [await client.next(30_000), await client.next(30_000)];
    const query = answers.find((answer) => answer?.id === "query");
    assert.deepEqual(query?.rows, [[2_000_000, 1]]);
    assert.equal(answers.find((answer) => answer?.id === "write")?.status, "ok");
    assert.deepEqual(await rows(client, "select count(*) from t"), [[2]]);
  },
);

daemonTest("A query keeps its snapshot when it is begun anew beside the loop", async (it) => {
  await it.exec("create table t(a)", "insert into t values (1)");
  const row = (i: number) => `select ${i}, (${SLOW} where i > ${i}), (select count(*) from t)`;
  const cheap = "select 0, 0, 0";
  const sql = [row(1), cheap, cheap, row(2), cheap, row(3)].join(" union all ");
  for (let i = 1; i < 4; i++) {
    it.client.send({ type: "Query", id: "query", sql: `${sql} -- ${i}`, timeout_ms: 50_000 });
    const stmts = [{ sql: "insert into t values (2)" }];
    assert.equal((await it.client.ask({ type: "ExecBatch", id: "write", stmts })).id, "write");
    const { rev, rows } = (await it.client.next(50_000))!;
    assert.equal(rev, i);
    assert.deepEqual(rows.filter(([at]: number[]) => at > 0).map((row: number[]) => row[2]), [
      i,
      i,
      i,
    ]);
  }
});
