import assert from "node:assert/strict";
import { LIMITS } from "../../daemon/process/limits.ts";
import type { WireClient } from "../wire_client.ts";
import { assertBelow, daemonTest, exec, rows, sleep, until } from "./daemon_case.ts";
import { longestBeside } from "./longest_beside.ts";

const ENDLESS = "with recursive n(i) as (select 1 union all select i + 1 from n) select i from n";
const ENDLESS_COUNT = `select count(*) from (${ENDLESS})`;

const twoFiles = { files: ["a.db", "b.db"] };

daemonTest(
  "Query that is endless is cut at timeout_ms while everything else goes on",
  async (it) => {
    for (const sql of [ENDLESS_COUNT, `select max(i) from (${ENDLESS})`]) {
      await assertBelow(250, "a Ping or a write", async (attempt) => {
        const started = performance.now();
        const unseen = `${sql} -- ${attempt}`;
        const query = it.client.ask({ type: "Query", sql: unseen, timeout_ms: 700 });
        const longest = await longestBeside(it, query);
        const tookMs = performance.now() - started;
        const answer = await query;
        assert.equal(answer.code, "TIMEOUT");
        assert.equal(answer.retry, "safe");
        assert.ok(tookMs > 650 && tookMs < 5_000, `cut after ${tookMs} ms`);
        return longest;
      });
    }
  },
  twoFiles,
);

daemonTest("Query whose rows never end is cut as well", async (it) => {
  const answer = await it.client.ask({
    type: "Query",
    sql:
      "with recursive n(i) as (select 1 union all select 1 from n) select null from n where i < 0",
    timeout_ms: 300,
  });
  assert.equal(answer.code, "TIMEOUT");
  const long = "with recursive n(i) as (select 1 union all select i + 1 from n) " +
    "select printf('%0500d', i) from n";
  const rows = await it.client.ask({ type: "Query", sql: long });
  assert.equal(rows.code, "RESULT_TOO_LARGE");
});

daemonTest(
  "ExecBatch that is endless is cut at timeout_ms while everything else goes on",
  async (it) => {
    await it.exec("create table t(a)");
    for (
      const request of [
        { stmts: [{ sql: ENDLESS_COUNT }] },
        { stmts: [{ sql: "insert into t values (1)" }, { sql: `insert into t ${ENDLESS}` }] },
        { stmts: [{ sql: "insert into t values (1)" }, { sql: `insert into t ${ENDLESS_COUNT}` }] },
        { stmts: [{ sql: `insert into t values (1); insert into t ${ENDLESS_COUNT}` }] },
        { stmts: [{ sql: `insert into t ${ENDLESS_COUNT}` }], tx: "none" },
        { stmts: [{ sql: `create table u as ${ENDLESS}` }] },
      ]
    ) {
      const what = JSON.stringify(request);
      await assertBelow(250, `a Ping or a write beside ${what}`, async (attempt) => {
        const started = performance.now();
        const stmts = request.stmts.map(({ sql }) => ({ sql: `${sql} -- ${attempt}` }));
        const batch = it.client.ask({ type: "ExecBatch", ...request, stmts, timeout_ms: 500 });
        const longest = await longestBeside(it, batch);
        const tookMs = performance.now() - started;
        const answer = await batch;
        assert.equal(answer.code, "TIMEOUT", `${what}: ${JSON.stringify(answer)}`);
        assert.ok(tookMs > 450 && tookMs < 5_000, `cut after ${tookMs} ms: ${what}`);
        return longest;
      });
    }
    assert.deepEqual(await it.rows("select count(*) from t"), [[0]], "and is undone");
    assert.equal((await it.exec("insert into t values (1)")).rev, 2);
  },
  twoFiles,
);

daemonTest("ExecBatch behind an endless one waits no longer than its own deadline", async (it) => {
  const other = await it.open();
  await it.exec("create table t(a)");
  const endless = { type: "ExecBatch", stmts: [{ sql: ENDLESS_COUNT }], timeout_ms: 3_000 };
  await it.client.begin(endless);
  await sleep(300); // it came first
  const started = performance.now();
  const late = await other.ask({
    type: "ExecBatch",
    stmts: [{ sql: "insert into t values (1)" }],
    timeout_ms: 200,
  });
  assert.ok(performance.now() - started < 2_000);
  assert.equal(late.code, "TIMEOUT");
  const patient = await exec(other, "insert into t values (2)");
  assert.equal(patient.rev, 2);
  assert.equal((await it.client.next())?.code, "TIMEOUT");
  assert.deepEqual(await it.rows("select a from t"), [[2]]);
});

daemonTest("Query is ended at once when its connection breaks", async (it) => {
  const other = await it.open();
  other.pause();
  other.send({ type: "Query", id: "endless", sql: ENDLESS_COUNT, timeout_ms: 60_000 });
  // A socket that is closed with answers unread is broken; else it has ended, and may still be read.
  for (let id = 0; id < 3; id++) {
    await other.sent({ type: "Ping", id });
    await sleep(50);
  }
  await other[Symbol.asyncDispose]();
  const started = performance.now();
  assert.equal((await it.client.ask({ type: "Shutdown" })).status, "ok");
  const tookMs = performance.now() - started;
  assert.ok(tookMs < LIMITS.halfOpenMs, `the query kept the file open for ${tookMs} ms`);
  await it.daemon.child.status;
});

daemonTest("Query is ended when its client leaves", async (it) => {
  const clients = await Promise.all(Array.from({ length: 12 }, () => it.open()));
  for (const client of clients) {
    client.send({ type: "Query", sql: ENDLESS_COUNT, timeout_ms: 60_000 });
  }
  await sleep(200);
  for (const client of clients) await client[Symbol.asyncDispose]();
  // All places for slow statements were taken; they are free again.
  const slow = "with recursive n(i) as (select 1 union all select i + 1 from n limit 300000) " +
    "select count(*) from n";
  const started = performance.now();
  assert.deepEqual(await it.rows(slow), [[300_000]]);
  assert.ok(performance.now() - started < 10_000);
});

daemonTest("Query finds a place although as many endless ones run as may", async (it) => {
  await it.exec("create table t(a)");
  const clients = await Promise.all(Array.from({ length: 20 }, () => it.open()));
  const started = performance.now();
  const endless = clients.map((client) =>
    client.ask({ type: "Query", sql: ENDLESS_COUNT, timeout_ms: 3_000 })
  );
  await sleep(300);
  for (let i = 0; i < 5; i++) {
    await assertBelow(800, "a query and a write, which need no place,", async () => {
      const sent = performance.now();
      await it.rows("select * from t");
      await it.exec("insert into t values (1)");
      return performance.now() - sent;
    });
  }
  for (const answer of await Promise.all(endless)) assert.equal(answer.code, "TIMEOUT");
  assert.ok(performance.now() - started < 10_000, "also those that waited for a place");
});

/** How many threads of a process run or want to. */
function runningThreads(pid: number): number {
  let count = 0;
  for (const { name } of Deno.readDirSync(`/proc/${pid}/task`)) {
    const stat = Deno.readTextFileSync(`/proc/${pid}/task/${name}/stat`);
    if (stat.split(") ")[1].startsWith("R")) count++;
  }
  return count;
}

daemonTest(
  "Query and ExecBatch run a bounded number of slow statements at once, of all databases",
  async (it) => {
    const clients = await Promise.all(
      Array.from({ length: 24 }, (_, i) => it.open(it.daemon.endpoints[i % 3])),
    );
    const endless = clients.map((client, i) =>
      client.ask(
        i < 21
          ? { type: "Query", sql: ENDLESS_COUNT, timeout_ms: 1_500 }
          : { type: "ExecBatch", stmts: [{ sql: ENDLESS_COUNT }], timeout_ms: 1_500 },
      )
    );
    const running: number[] = [];
    for (let i = 0; i < 21; i++) {
      await sleep(30);
      running.push(runningThreads(it.daemon.pid));
    }
    for (const answer of await Promise.all(endless)) assert.equal(answer.code, "TIMEOUT");
    // The median: at most 16 queries and a write of each of the 3 databases; beside them run the loop and, for moments, threads of the
    // runtime.
    const usual = running.sort((a, b) => a - b)[10];
    assert.ok(usual >= 4 && usual <= 22, `${usual} threads run at once`);
  },
  { files: ["a.db", "b.db", "c.db"], ignore: Deno.build.os !== "linux" },
);

/** Fills a table until the work on it takes long enough to be seen. */
async function fill(client: WireClient, count: number): Promise<void> {
  await exec(client, "create table t(id integer primary key, a)");
  await exec(
    client,
    `insert into t(a) with recursive n(i) as (select 1 union all select i + 1 from n limit ${count}) ` +
      "select hex(randomblob(20)) || ' ' || i from n",
  );
}

daemonTest("ExecBatch runs VACUUM, REINDEX and ANALYZE beside everything else", async (it) => {
  await fill(it.client, 200_000);
  await it.exec("create index i on t(a)", "create index j on t(a desc, id)");
  await it.exec("delete from t where id % 2");
  const { size } = Deno.lstatSync(it.daemon.file);
  let { rev } = await it.status();
  for (
    const request of [
      { stmts: [{ sql: "reindex" }] },
      { stmts: [{ sql: "  /* all of it */ REINDEX t" }] },
      { stmts: [{ sql: "analyze" }] },
      { stmts: [{ sql: "vacuum" }] },
      { stmts: [{ sql: "-- now\nVACUUM;" }] },
      { stmts: [{ sql: "vacuum" }], tx: "none" },
    ]
  ) {
    await assertBelow(400, `a Ping or a write beside ${request.stmts[0].sql}`, async () => {
      const batch = it.client.ask({ type: "ExecBatch", ...request });
      const longest = await longestBeside(it, batch);
      const answer = await batch;
      assert.equal(answer.status, "ok", JSON.stringify([request, answer]));
      assert.equal(answer.rev, ++rev);
      return longest;
    });
  }
  const makeIndex = "create index k on t(substr(a, 9))";
  await assertBelow(400, `a Ping or a write beside ${makeIndex}`, async (attempt) => {
    const unseen = `${makeIndex} -- ${attempt}`;
    const batch = it.client.ask({ type: "ExecBatch", stmts: [{ sql: unseen }] });
    const longest = await longestBeside(it, batch);
    assert.equal((await batch).status, "ok", JSON.stringify(await batch));
    await it.exec("drop index k");
    return longest;
  });
  assert.deepEqual(await it.rows("pragma integrity_check"), [["ok"]]);
  assert.deepEqual(await it.rows("select count(*) from t"), [[100_000]]);
  // A checkpoint shows it in the file.
  await until(() => Deno.lstatSync(it.daemon.file).size < size);
}, { ...twoFiles, timeoutMs: 120_000 });

daemonTest("ExecBatch refuses a VACUUM that would write elsewhere or is not alone", async (it) => {
  await fill(it.client, 10);
  const { folder } = it.daemon;
  for (const sql of [`vacuum into '${folder}/copy.db'`, `VACUUM main INTO '${folder}/copy.db'`]) {
    const answer = await it.client.ask({ type: "ExecBatch", stmts: [{ sql }] });
    assert.equal(answer.code, "NOT_ALLOWED", JSON.stringify(answer));
  }
  const among = await it.client.ask({
    type: "ExecBatch",
    stmts: [{ sql: "insert into t values (77, 1)" }, { sql: "vacuum" }],
  });
  assert.equal(among.status, "error");
  assert.equal(among.statement, 1);
  assert.deepEqual(await it.rows("select count(*) from t"), [[10]]);
  assert.ok(![...Deno.readDirSync(folder)].some(({ name }) => name === "copy.db"));
});

daemonTest("ExecBatch runs an FTS5 rebuild beside everything else", async (it) => {
  await fill(it.client, 60_000);
  await it.exec("create virtual table f using fts5(a, content='t', content_rowid='id')");
  // Not known as slow at first, and by then it has held the loop.
  await it.exec("insert into f(f) values ('rebuild')");
  for (
    const sql of ["insert into f(f) values ('rebuild')", "insert into f(f) values ('optimize')"]
  ) {
    await assertBelow(sql.includes("rebuild") ? 300 : Infinity, "a Ping or a write", async () => {
      const batch = it.client.ask({ type: "ExecBatch", stmts: [{ sql }] });
      const longest = await longestBeside(it, batch);
      assert.equal((await batch).status, "ok", JSON.stringify(await batch));
      return longest;
    });
  }
  assert.equal((await it.rows("select count(*) from f where f match '777'"))[0][0], 1);
}, { ...twoFiles, timeoutMs: 90_000 });

daemonTest("ExecBatch lets FTS5, rtree, JSON and generated columns work", async (it) => {
  await it.exec(
    "create virtual table f using fts5(a, tokenize = 'porter')",
    "insert into f values ('running fast'), ('walks')",
    "update f set a = 'jumps' where a = 'walks'",
    "create virtual table r using rtree(id, x0, x1)",
    "insert into r values (1, 0, 10), (2, 20, 30)",
    "delete from r where id = 2",
    "create table g(a, b as (json_extract(a, '$.x')) stored, c as (b + 1))",
    `insert into g(a) values ('{"x":41}')`,
  );
  assert.deepEqual(await it.rows("select a from f where f match 'run'"), [["running fast"]]);
  assert.deepEqual(await it.rows("select id from r where x0 <= 5 and x1 >= 5"), [[1]]);
  assert.deepEqual(await it.rows("select b, c from g"), [[41, 42]]);
  assert.deepEqual(await it.rows("select value from json_each('[1,2]')"), [[1], [2]]);
  await it.exec("drop table f", "drop table r");
});

daemonTest(
  "ExecBatch runs a slow write once, and quick ones in groups again after it",
  async (it) => {
    await fill(it.client, 300_000);
    await it.exec("create table u(a)");
    const other = await it.open();
    const { rev } = await it.status();
    await it.client.begin({ type: "ExecBatch", stmts: [{ sql: "update t set a = a || '.'" }] });
    const beside = await exec(other, "insert into u values ('beside')");
    const slow = await it.client.next();
    assert.equal(slow?.rows_affected, 300_000);
    assert.deepEqual([slow.rev, beside.rev].sort((a, b) => a - b), [rev + 1, rev + 2]);
    assert.equal((await exec(other, "insert into u values ('after')")).rev, rev + 3);
    assert.deepEqual(
      await rows(other, "select count(*), sum(a like '%.'), sum(a like '%..') from t"),
      [[300_000, 300_000, 0]],
    );
    assert.deepEqual(await rows(other, "select a from u"), [["beside"], ["after"]]);
  },
  { timeoutMs: 60_000 },
);
