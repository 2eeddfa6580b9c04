import assert from "node:assert/strict";
import type { Answer, WireClient } from "../wire_client.ts";
import { assertBelow, daemonTest, exec, rows, sleep } from "./daemon_case.ts";

/** Runs until its deadline. */
const ENDLESS =
  "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n";
/** Some 0.3 s of work whose result is one row. */
const SLOW =
  "with recursive n(i) as (select 1 union all select i + 1 from n limit 3000000) select count(*) from n";

/** The same for a tenth as long. */
const HOLDING = SLOW.replace("3000000", "300000");
/** Rows that cost nothing. */
const CHEAP =
  "with recursive n(i) as (select 1 union all select i + 1 from n limit 500) select i from n";

async function take(client: WireClient, count: number): Promise<Answer[]> {
  const answers: Answer[] = [];
  while (answers.length < count) {
    const answer = await client.next();
    assert.ok(answer, `${answers.length} of ${count} answers came`);
    answers.push(answer);
  }
  return answers;
}

daemonTest(
  "Session answers in the order of the requests when they have no id",
  async ({ client }) => {
    client.send({ type: "ExecBatch", stmts: [{ sql: "create table t(a)" }] });
    client.send({ type: "Ping" });
    client.send({ type: "Query", sql: SLOW });
    client.send({ type: "ExecBatch", stmts: [{ sql: "insert into t values (1)" }] });
    client.send({ type: "Nonsense" });
    client.send({ type: "Query", sql: "select count(*) from t" });
    client.send({ type: "Status" });
    client.send({ type: "ExecBatch", stmts: [{ sql: "insert into nowhere values (1)" }] });
    client.sendText("{");
    const answers = await take(client, 9);
    assert.deepEqual(
      answers.map((a) => a.rows?.[0][0] ?? a.code ?? (a.protocol && "ping") ?? a.rev ?? "status"),
      [1, "ping", 3_000_000, 2, "UNKNOWN_REQUEST", 1, "status", "SQL_ERROR", "INVALID_JSON"],
    );
  },
);

daemonTest("Session echoes ids, and lets Ping and Status overtake", async ({ client }) => {
  client.send({ type: "Query", sql: ENDLESS, id: 1, timeout_ms: 1_000 });
  client.send({ type: "Ping", id: "two" });
  client.send({ type: "Status", id: -3 });
  client.send({ type: "Nonsense", id: 0 });
  const answers = await take(client, 4);
  assert.deepEqual(answers.map(({ id }) => id), ["two", -3, 0, 1]);
  assert.equal(answers[3].code, "TIMEOUT");
  for (const id of ["", "ä😀\u0000", "x".repeat(64), 0, -1, Number.MAX_SAFE_INTEGER]) {
    assert.equal((await client.ask({ type: "Ping", id })).id, id);
  }
  assert.ok(!("id" in await client.ask({ type: "Ping", id: null })));
});

daemonTest("Query sees the writes that were sent before it on its connection", async (it) => {
  const { client } = it;
  await it.exec("create table t(a)");
  for (let i = 0; i < 200; i++) {
    client.send({ type: "ExecBatch", stmts: [{ sql: `insert into t values (${i})` }], id: 2 * i });
    client.send({ type: "Query", sql: "select count(*) from t", id: 2 * i + 1 });
  }
  for (const answer of await take(client, 400)) {
    if (answer.id % 2 === 0) continue;
    assert.equal(answer.rows[0][0], (answer.id + 1) / 2, "not fewer, and not those sent after it");
  }
});

daemonTest("Query does not see writes that were sent after it, when it is slow", async (it) => {
  const { client } = it;
  await it.exec("create table t(a)");
  const count = `select (select count(*) from t), (${SLOW})`;
  client.send({ type: "Query", sql: count, id: 1 });
  client.send({ type: "ExecBatch", stmts: [{ sql: "insert into t values (1)" }], id: 2 });
  client.send({ type: "Query", sql: "select count(*) from t", id: 3 });
  const answers = await take(client, 3);
  const byId = Object.fromEntries(answers.map((answer) => [answer.id, answer]));
  assert.deepEqual(byId[1].rows, [[0, 3_000_000]]);
  assert.deepEqual(byId[3].rows, [[1]]);
  assert.equal(byId[1].rev, 1, "the revision that its rows were read at");
  assert.equal(byId[3].rev, 2);
  assert.equal(answers.at(-1)?.id, 1, "and does not hold up what came after it");
});

daemonTest("Query is of one revision, also when it begins anew while writes go on", async (it) => {
  const { client } = it;
  await it.exec("create table t(a)");
  for (let n = 0; n < 2; n++) {
    const writes = Array.from({ length: 20 }, (_, i) => ({
      type: "ExecBatch",
      id: i + 1,
      stmts: [{ sql: "insert into t values (?)", params: [n] }],
    }));
    // A row that takes long beside the loop, cheap ones, after which the loop is tried, and one that holds it: all begins anew.
    const count =
      `select ${n}, count(*), (${HOLDING}) from t union all select i, 0, 0 from (${CHEAP}) union all select count(*), 0, 0 from (${HOLDING})`;
    client.send({ type: "Query", id: 0, sql: count });
    for (const write of writes) client.send(write);
    const answers = await take(client, 21);
    const { rows, rev } = answers.find(({ id }) => id === 0)!;
    assert.deepEqual([rows[0], rev], [[n, 20 * n, 300_000], 20 * n + 1]);
  }
});

daemonTest("Query sees its connection's write although a slow write is before both", async (it) => {
  const { client } = it;
  await it.exec("create table t(a)");
  client.send({ type: "ExecBatch", stmts: [{ sql: `insert into t ${SLOW}` }], id: 1 });
  client.send({ type: "Query", sql: "select count(*) from t", id: 2 });
  client.send({ type: "ExecBatch", stmts: [{ sql: "delete from t" }], id: 3 });
  client.send({ type: "Query", sql: "select count(*) from t", id: 4 });
  const answers = await take(client, 4);
  const found = answers.map(({ id, rows }) => [id, rows?.[0][0]]).sort();
  assert.deepEqual(found, [[1, undefined], [2, 1], [3, undefined], [4, 0]]);
});

daemonTest(
  "ExecBatch takes effect in the order sent, each with a revision of its own",
  async (it) => {
    await it.exec("create table t(id integer primary key, client, n)");
    const clients = await Promise.all(Array.from({ length: 8 }, () => it.open()));
    const revisions = await Promise.all(clients.map(async (client, c) => {
      for (let n = 0; n < 100; n++) {
        const bad = n % 10 === 9; // which take no revision, and do not disturb the order
        const sql = bad
          ? "insert into t values (1, 1, 1, 1)"
          : "insert into t(client, n) values (?, ?)";
        client.send({ type: "ExecBatch", stmts: [{ sql, params: bad ? [] : [c, n] }], id: n });
      }
      const answers = await take(client, 100);
      assert.deepEqual(answers.map(({ id }) => id), Array.from({ length: 100 }, (_, n) => n));
      return answers.filter(({ status }) => status === "ok").map(({ rev }) => rev);
    }));
    for (const own of revisions) {
      assert.equal(own.length, 90);
      assert.ok(own.every((rev, i) => i === 0 || rev > own[i - 1]), "rising on each connection");
    }
    const all = revisions.flat().sort((a, b) => a - b);
    assert.deepEqual(all, Array.from({ length: 720 }, (_, i) => i + 2), "one each, without a gap");
    const stored = await it.rows("select client, n from t order by id");
    for (let c = 0; c < 8; c++) {
      const own = stored.filter(([client]) => client === c).map(([, n]) => n as number);
      assert.deepEqual(own, own.toSorted((a, b) => a - b));
    }
  },
);

daemonTest("ExecBatch keeps its order when slow and failing writes are among them", async (it) => {
  const { client } = it;
  await it.exec(
    "create table t(id integer primary key autoincrement, n unique on conflict rollback)",
  );
  const insert = (n: number | string) => `insert into t(n) values (${n})`;
  const batches: { stmts: unknown[]; tx?: string; ok: boolean }[] = [
    { stmts: [{ sql: insert(1) }], ok: true },
    { stmts: [{ sql: `insert into t(n) select 1000 + (${SLOW})` }], ok: true },
    { stmts: [{ sql: insert(2) }], ok: true },
    { stmts: [{ sql: insert(2) }], ok: false }, // ends the whole transaction
    { stmts: [{ sql: insert(3) }], ok: true },
    { stmts: [{ sql: insert(4) }, { sql: insert(5) }], tx: "none", ok: true },
    { stmts: [{ sql: insert(6) }, { sql: "insert into nowhere values (1)" }], ok: false },
    { stmts: [{ sql: "vacuum" }], ok: true },
    { stmts: [{ sql: insert(7) }], ok: true },
    { stmts: [{ sql: "reindex" }], ok: true },
    { stmts: [{ sql: insert(8) }], ok: true },
  ];
  batches.forEach(({ stmts, tx }, id) => client.send({ type: "ExecBatch", stmts, tx, id }));
  const answers = await take(client, batches.length);
  assert.deepEqual(answers.map(({ id }) => id), batches.map((_, id) => id));
  assert.deepEqual(
    answers.map(({ status }) => status),
    batches.map(({ ok }) => ok ? "ok" : "error"),
    JSON.stringify(answers),
  );
  assert.deepEqual(
    answers.filter(({ rev }) => rev).map(({ rev }) => rev),
    Array.from({ length: 9 }, (_, i) => i + 2),
  );
  assert.deepEqual(
    (await it.rows("select n from t order by id")).flat(),
    [1, 3_001_000, 2, 3, 4, 5, 7, 8],
  );
});

daemonTest("Query that is slow delays neither writes nor other queries", async (it) => {
  await it.exec("create table t(a)");
  const slow = await it.open();
  let count = 0;
  await assertBelow(250, "a write and a query", async (attempt) => {
    slow.send({ type: "Query", sql: `${ENDLESS} -- ${attempt}`, timeout_ms: 3_000 });
    await sleep(50);
    let longest = 0;
    for (let i = 0; i < 200; i++) {
      const started = performance.now();
      await it.exec(["insert into t values (?)", i]);
      assert.deepEqual(await it.rows("select count(*) from t"), [[++count]]);
      longest = Math.max(longest, performance.now() - started);
    }
    assert.equal((await slow.next())?.code, "TIMEOUT");
    return longest;
  });
});

daemonTest("Query that is slow does not delay its own connection's writes", async ({ client }) => {
  client.send({ type: "Query", sql: ENDLESS, timeout_ms: 1_500, id: 1 });
  client.send({ type: "ExecBatch", stmts: [{ sql: "create table t(a)" }], id: 2 });
  client.send({ type: "Query", sql: "select count(*) from t", id: 3 });
  assert.deepEqual((await take(client, 3)).map(({ id }) => id), [2, 3, 1]);
});

daemonTest("Session goes on with the other connections when one of them sends much", async (it) => {
  await exec(it.client, "create table t(a)");
  const busy = await it.open();
  await assertBelow(500, "a query", async () => {
    for (let i = 0; i < 20_000; i++) {
      busy.send({ type: "ExecBatch", stmts: [{ sql: "insert into t values (1)" }], id: i });
    }
    let longest = 0;
    for (let i = 0; i < 20; i++) {
      const started = performance.now();
      await rows(it.client, "select 1");
      longest = Math.max(longest, performance.now() - started);
    }
    await take(busy, 20_000);
    return longest;
  });
});
