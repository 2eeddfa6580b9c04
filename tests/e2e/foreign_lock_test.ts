import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { assertBelow, daemonTest, exec, sleep } from "./daemon_case.ts";

daemonTest(
  "Database answers DATABASE_BUSY at the deadline while another process holds the lock",
  async (it) => {
    await it.exec("create table t(a)", "insert into t values (0)");
    using foreign = new DatabaseSync(it.daemon.file);
    foreign.exec("begin immediate");
    const started = performance.now();
    const answer = await it.client.ask({
      type: "ExecBatch",
      stmts: [{ sql: "insert into t values (1)" }],
      timeout_ms: 400,
    });
    const tookMs = performance.now() - started;
    assert.equal(answer.code, "DATABASE_BUSY");
    assert.equal(answer.retry, "safe");
    assert.ok(tookMs > 350 && tookMs < 5_000, `after ${tookMs} ms`);
    const alone = await it.client.ask({
      type: "ExecBatch",
      tx: "none",
      stmts: [{ sql: "insert into t values (1)" }],
      timeout_ms: 400,
    });
    assert.equal(alone.code, "DATABASE_BUSY", JSON.stringify(alone));
    foreign.exec("insert into t values (2); commit");
    assert.equal((await it.exec("insert into t values (3)")).rev, 2);
    assert.deepEqual(await it.rows("select a from t order by a"), [[0], [2], [3]]);
  },
);

daemonTest(
  "Database answers DATABASE_BUSY where a lone write waits for the lock anywhere",
  async (it) => {
    const key = "k";
    const session = { client: "c", seq: 1 };
    await it.exec("create table t(a)", "insert into t values (0)");
    const keyed = { type: "ExecBatch", stmts: [{ sql: "create table u(a)" }], key };
    assert.equal((await it.client.ask(keyed)).status, "ok");
    using foreign = new DatabaseSync(it.daemon.file);
    foreign.exec("begin immediate");
    const lone = [
      { ...keyed, ...session },
      // A failure that is to be kept for the session.
      { type: "ExecBatch", stmts: [{ sql: "create table v(a)" }], if_rev: 1, ...session },
      { type: "ExecBatch", stmts: [{ sql: "vacuum" }] },
      {
        type: "ExecBatch",
        stmts: [{ sql: "vacuum" }, { sql: "insert into t values (1)" }],
        tx: "none",
      },
    ];
    const behind = await it.open();
    for (const request of lone) {
      const answer = it.client.ask({ ...request, timeout_ms: 400 });
      const other = await behind.ask({
        type: "ExecBatch",
        stmts: [{ sql: "insert into t values (1)" }],
        timeout_ms: 200,
      });
      const { code, retry, message } = await answer;
      assert.deepEqual(
        [code, retry],
        ["DATABASE_BUSY", "safe"],
        `${request.stmts[0].sql}: ${message}`,
      );
      assert.deepEqual([other.code, other.retry], ["DATABASE_BUSY", "safe"]);
    }
    foreign.exec("rollback");
    for (const request of lone.slice(0, 1).concat(lone.slice(2))) {
      assert.equal((await it.client.ask(request)).status, "ok");
    }
    assert.deepEqual(await it.rows("select a from t order by a"), [[0], [1]]);
    assert.doesNotMatch(it.daemon.log(), /Commit failed/);
  },
);

daemonTest(
  "Database goes on with Ping, reads and other databases while the lock is held",
  async (it) => {
    const { daemon } = it;
    const other = await it.open(daemon.endpoints[1]);
    const reader = await it.open();
    await it.exec("create table t(a)");
    await exec(other, "create table u(a)");
    using foreign = new DatabaseSync(daemon.file);
    foreign.exec("begin immediate; insert into t values (100)");
    const waiting = Array.from({ length: 20 }, (_, id) => id);
    for (const id of waiting) {
      it.client.send({ type: "ExecBatch", stmts: [{ sql: `insert into t values (${id})` }], id });
    }
    await assertBelow(200, "the three", async () => {
      let longest = 0;
      const until = performance.now() + 600;
      while (performance.now() < until) {
        const started = performance.now();
        await it.client.ask({ type: "Ping", id: "ping" });
        const { rows } = await reader.ask({ type: "Query", sql: "select count(*) from t" });
        assert.deepEqual(rows, [[0]]);
        await exec(other, "insert into u values (1)");
        longest = Math.max(longest, performance.now() - started);
      }
      return longest;
    });
    foreign.exec("rollback");
    for (const id of waiting) {
      const answer = await it.client.next();
      assert.deepEqual([answer?.id, answer?.rev], [id, id + 2], "in order, as soon as it can");
    }
  },
  { files: ["a.db", "b.db"] },
);

daemonTest("Database takes each request at its own deadline while the lock is held", async (it) => {
  await it.exec("create table t(a)");
  using foreign = new DatabaseSync(it.daemon.file);
  foreign.exec("begin immediate");
  for (const [id, timeout] of [1_500, 200, 30_000].entries()) {
    it.client.send({
      type: "ExecBatch",
      stmts: [{ sql: `insert into t values (${id})` }],
      timeout_ms: timeout,
      id,
    });
  }
  assert.deepEqual([(await it.client.next())?.id, (await it.client.next())?.id], [1, 0]);
  foreign.exec("rollback");
  const last = await it.client.next();
  assert.deepEqual([last?.id, last?.status], [2, "ok"]);
  assert.deepEqual(await it.rows("select a from t"), [[2]]);
});

daemonTest("Database writes on while another process reads", async (it) => {
  await it.exec("create table t(a)", "insert into t values (0)");
  using foreign = new DatabaseSync(it.daemon.file, { readOnly: true });
  const count = () => foreign.prepare("select count(*) as n from t").get()!.n;
  foreign.exec("begin");
  assert.equal(count(), 1);
  for (let i = 0; i < 50; i++) await it.exec("insert into t values (1)");
  assert.equal(count(), 1, "its snapshot stays");
  foreign.exec("commit");
  assert.equal(count(), 51, "and a write is read at once from the file");
});

daemonTest(
  "Database sees what another process wrote, and keeps its revision rising",
  async (it) => {
    await it.exec("create table t(a)");
    using foreign = new DatabaseSync(it.daemon.file);
    foreign.exec("pragma busy_timeout = 2000");
    for (let i = 0; i < 20; i++) {
      foreign.exec(`insert into t values (${i})`);
      const answer = await it.exec("update t set a = a + 100 where a < 100");
      assert.equal(answer.rows_affected, 1);
      assert.equal(answer.rev, i + 2);
    }
    foreign.exec("alter table t add column b");
    assert.deepEqual((await it.exec("select * from t limit 1")).results[0].columns, ["a", "b"]);
  },
);

daemonTest("Database survives a process that takes the lock again and again", async (it) => {
  await it.exec("create table t(a)");
  using foreign = new DatabaseSync(it.daemon.file);
  foreign.exec("pragma busy_timeout = 2000");
  let done = false;
  const nuisance = (async () => {
    while (!done) {
      foreign.exec("begin immediate; insert into t values (-1)");
      await sleep(3);
      foreign.exec("commit");
      await sleep(1);
    }
  })();
  try {
    for (let i = 0; i < 60; i++) await it.exec(["insert into t values (?)", i]);
  } finally {
    done = true;
    await nuisance;
  }
  assert.deepEqual(await it.rows("select count(distinct a) from t where a >= 0"), [[60]]);
});

daemonTest(
  "Database acknowledges nothing once another hand has written its revision",
  async (it) => {
    await it.exec("create table t(a)", "insert into t values (0)");
    const insert = { type: "ExecBatch", stmts: [{ sql: "insert into t values (1)" }] };
    for (const [seq, next] of [[7, 8], [3, 9]]) {
      {
        using foreign = new DatabaseSync(it.daemon.file);
        foreign.exec(`update _skylinedb_clients set seq = ${seq} where client = ''`);
      }
      const { code, retry } = await it.client.ask(insert);
      assert.deepEqual([code, retry], ["FILE_REPLACED", "safe"]);
      assert.equal((await it.client.ask(insert)).rev, next, "none is given twice");
    }
    assert.deepEqual(await it.rows("select a from t order by a"), [[0], [1], [1]]);
  },
);
