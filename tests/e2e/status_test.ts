/** What `Status` counts, held against what was done. */
import assert from "node:assert/strict";
import { rename } from "node:fs/promises";
import { encodeFrame } from "../../client/frame.ts";
import type { ConnectionStatus, Distribution } from "../../client/protocol.ts";
import { type DaemonCase, daemonTest, sleep, until } from "./daemon_case.ts";

const SLOW =
  "with recursive n(i) as (select 1 union all select i + 1 from n) select i from n limit 1 offset ?";

/** Holds what every distribution holds, whatever was measured. */
function check({ count, sum, p50, p99, max }: Distribution, expectedCount: number): void {
  assert.equal(count, expectedCount);
  assert.ok(0 < p50 && p50 <= p99 && p99 <= max, `${p50} ${p99} ${max}`);
  assert.ok(sum <= count * max + 0.001 && sum >= max - 0.001, `${sum}`);
}

daemonTest(
  "Status has the times of writes, queries and commits, and the sizes of groups",
  async (it) => {
    await it.exec("create table t(a unique)");
    const clients = await Promise.all(Array.from({ length: 8 }, () => it.open()));
    const insert = (a: number) => ({
      type: "ExecBatch",
      stmts: [{ sql: "insert into t values (?)", params: [a] }],
    });
    for (let round = 0; round < 10; round++) {
      await Promise.all(clients.map((client, i) => client.ask(insert(10 * i + round))));
    }
    assert.equal((await it.client.ask(insert(0))).status, "error");
    for (let i = 0; i < 5; i++) await it.rows("select count(*) from t");
    assert.equal((await it.client.ask({ type: "Query", sql: "select nothing" })).status, "error");
    const { latency_ms, group_size, ...status } = await it.status();
    assert.deepEqual([status.writes, status.failures, status.queries], [81, 1, 6]);
    for (const when of ["last_minute", "total"]) {
      check(latency_ms.writes[when], 81);
      check(latency_ms.queries[when], 5);
      check(latency_ms.commits[when], status.groups);
      check(group_size[when], status.groups);
      assert.equal(group_size[when].sum, 81, "each write is in one group");
      assert.ok(Number.isInteger(group_size[when].p50) && group_size[when].max <= 8);
      assert.ok(
        latency_ms.commits[when].p50 <= latency_ms.writes[when].p99,
        "a write waits for a commit",
      );
    }
  },
);

daemonTest("Status measures from a request's arrival to its answer", async (it) => {
  await it.rows("select 1");
  const started = performance.now();
  await it.rows(SLOW, 1_000_000);
  const took = performance.now() - started;
  const { max, count } = (await it.status()).latency_ms.queries.total;
  assert.equal(count, 2);
  assert.ok(max > took / 2 && max <= took, `${max} of ${took} ms`);
});

daemonTest(
  "Status lists connections, what went through them and how long they are silent",
  async (it) => {
    const busy = await it.open();
    const silent = await it.open();
    await silent.ask({ type: "Ping" });
    await sleep(300);
    const ping = encodeFrame(JSON.stringify({ type: "Ping" }));
    for (let i = 0; i < 10; i++) await busy.ask({ type: "Ping" });
    await busy.begin({ type: "Query", sql: SLOW, params: [1e9], id: 1, timeout_ms: 5_000 });
    const own = await listed(it);
    assert.deepEqual(own.map(({ id }) => id), own.map(({ id }) => id).toSorted((a, b) => a - b));
    const [first, second, third] = own;
    assert.equal(own.length, 3);
    assert.equal(first.requests, 1, "this Status");
    assert.deepEqual([second.requests, second.waiting], [12, 1]);
    assert.ok(
      second.received_bytes > 10 * ping.length && second.sent_bytes > second.received_bytes,
    );
    assert.deepEqual([third.requests, third.waiting, third.received_bytes], [1, 0, ping.length]);
    assert.ok(third.idle_ms >= 300 && third.idle_ms <= third.age_ms, `${third.idle_ms}`);
    assert.ok(second.idle_ms < third.idle_ms && second.age_ms >= third.age_ms);
  },
);

daemonTest("Status counts what went through connections that are closed", async (it) => {
  for (let i = 0; i < 5; i++) {
    await using client = await it.open();
    await client.ask({ type: "Ping" });
  }
  await until(async () => (await it.client.ask({ type: "Status" })).connections === 1);
  const before = await it.client.ask({ type: "Status" });
  assert.equal(before.connections_opened, 6);
  assert.equal(before.databases[0].connections, 1);
  const after = await it.client.ask({ type: "Status" });
  assert.equal(after.requests, before.requests + 1);
  const [{ requests, received_bytes, sent_bytes }] = after.databases[0].open_connections;
  const ping = encodeFrame(JSON.stringify({ type: "Ping" })).length;
  assert.equal(after.requests, requests + 5);
  assert.equal(after.received_bytes, received_bytes + 5 * ping);
  assert.ok(after.sent_bytes > sent_bytes + 5 * ping);
});

daemonTest("Status counts checkpoints, and says how long the last one took", async (it) => {
  await it.exec("create table t(a)");
  assert.deepEqual(await checkpoints(it), [0, false]);
  await it.exec(
    "insert into t with recursive n(i) as (select 1 union all select i + 1 from n where i < 1500) select randomblob(3500) from n",
  );
  await until(async () => (await it.status()).checkpoints > 0);
  assert.deepEqual(await checkpoints(it), [1, true]);
});

daemonTest("Status says why a database is served no more", async (it) => {
  await it.exec("create table t(a)");
  assert.equal((await it.status()).lost, null);
  await rename(it.daemon.file, `${it.daemon.file}.moved`);
  await it.client.ask({ type: "ExecBatch", stmts: [{ sql: "insert into t values (1)" }] });
  await until(async () => (await it.status()).lost !== null);
  assert.ok((await it.status()).lost.includes(it.daemon.file));
}, { ignore: Deno.build.os === "windows" });

daemonTest(
  "Status asked all the time does not keep memory from being given back",
  async (it) => {
    const status = () => it.client.ask({ type: "Status" });
    const givenBack = () => it.daemon.log().split("Memory given back").length - 1;
    await until(() => givenBack() === 1);
    await it.exec("create table t(a)");
    for (let i = 0; i < 200; i++) await it.exec("insert into t values (1)");
    const endedAt = performance.now();
    while (givenBack() === 1) {
      assert.ok(performance.now() < endedAt + 15_000, "not given back in 15 s");
      await status();
      await sleep(100);
    }
    await status();
    await sleep(100);
    assert.equal(givenBack(), 2);
  },
  { args: ["--log-level", "debug"] },
);

async function listed(it: DaemonCase): Promise<ConnectionStatus[]> {
  const status = await it.client.ask({ type: "Status" });
  assert.equal(status.connections, status.databases[0].connections);
  return status.databases[0].open_connections;
}

async function checkpoints(it: DaemonCase): Promise<[count: number, took: boolean]> {
  const { checkpoints, checkpoint_ms } = await it.status();
  return [checkpoints, checkpoint_ms > 0];
}
