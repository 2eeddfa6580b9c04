import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { executable } from "../daemon_fixture.ts";
import { processorWaitMs } from "../processor_wait.ts";
import type { WireClient } from "../wire_client.ts";
import { assertBelow, type DaemonCase, daemonTest, exec, sleep, until } from "./daemon_case.ts";

const MiB = 2 ** 20;
/** How long nothing must happen, and how often it is looked. */
const QUIET_MS = 1_000;

const isLinux = Deno.build.os === "linux";
if (!isLinux) console.log("Skipping the daemon's memory: only Linux tells that of others");
if (!executable) console.log("Skipping what a connection costs: there is no executable");

const debug = ["--log-level", "debug"];

/** Private memory of the daemon, which is not asked for it: that would be a request. */
function privateBytes({ daemon }: DaemonCase): number {
  const text = readFileSync(`/proc/${daemon.pid}/smaps_rollup`, "utf8");
  return Number(/^Pss_Anon:\s+(\d+) kB$/m.exec(text)![1]) * 1024;
}

/** How often the daemon gave memory back. */
function givenBack({ daemon }: DaemonCase): number {
  return daemon.log().match(/Memory given back/g)?.length ?? 0;
}

/** Enough requests one after the other for memory to be given back after them. */
async function burst(it: DaemonCase): Promise<void> {
  for (let i = 0; i < 120; i++) assert.equal((await it.client.ask({ type: "Ping" })).status, "ok");
}

/** Bursts with pauses of 0.7 s; whether all were of less than a second, as the daemon saw them. */
async function shortPauses(it: DaemonCase): Promise<boolean> {
  let longestMs = 0;
  for (let i = 0; i < 6; i++) {
    await burst(it);
    const since = performance.now();
    // After `since`, and before what follows was answered.
    assert.equal((await it.client.ask({ type: "Ping" })).status, "ok");
    await sleep(0.7 * QUIET_MS);
    assert.equal((await it.client.ask({ type: "Ping" })).status, "ok");
    longestMs = Math.max(longestMs, performance.now() - since);
  }
  return longestMs < QUIET_MS;
}

daemonTest("Daemon gives the memory of a burst back, once", async (it) => {
  await it.exec("create table t(a)");
  await until(() => givenBack(it) === 1);
  const before = privateBytes(it);
  const clients: WireClient[] = [];
  for (let i = 0; i < 100; i++) clients.push(await it.open());
  const text = "x".repeat(100_000);
  await Promise.all(clients.map((client) => exec(client, ["insert into t values (?)", text])));
  const highest = privateBytes(it);
  assert.ok(highest - before > 10 * MiB, `a burst takes ${highest - before} bytes`);
  for (const client of clients) await client[Symbol.asyncDispose]();
  // Where this process was held up in the middle for over a second it was given back then as well.
  const times = givenBack(it);
  await until(() => givenBack(it) > times);
  const left = privateBytes(it) - before;
  assert.ok(left < 0.4 * (highest - before), `${left} of ${highest - before} bytes are left`);
  await sleep(3 * QUIET_MS);
  assert.equal(givenBack(it), times + 1, "nothing has happened since");
  assert.deepEqual(await it.rows("select count(*) from t"), [[100]]);
}, { ignore: !isLinux, args: debug });

daemonTest(
  "Daemon gives nothing back while requests wait, or within a second of the last",
  async (it) => {
    await until(() => givenBack(it) === 1);
    const count =
      "with recursive c(i) as (select 1 union all select i + 1 from c) select count(*) from c";
    await burst(it);
    const endless = it.client.ask({ type: "Query", sql: count, timeout_ms: 6_000 }, 20_000);
    endless.catch(() => {}); // where the test fails before it is answered
    await sleep(3_500);
    assert.equal(givenBack(it), 1, "while a query runs");
    assert.equal((await endless).code, "TIMEOUT");
    for (;;) {
      const times = givenBack(it);
      const isShort = await shortPauses(it);
      if (isShort) {
        assert.equal(givenBack(it), times, "while there are pauses of less than a second");
      }
      // Also where a busy machine has made a pause longer, so that it is given back, and all begins anew.
      await until(() => givenBack(it) > times);
      if (isShort) break;
      await sleep(3 * QUIET_MS);
    }
  },
  { args: debug },
);

daemonTest("Daemon answers within 50 ms when it is giving memory back", async (it) => {
  await it.exec("create table t(a)");
  await until(() => givenBack(it) === 1);
  await assertBelow(50, "The slowest answer", async () => {
    const times: number[] = [];
    for (const afterMs of [8, 20, 32, 44]) {
      const since = performance.now();
      await burst(it);
      // It begins at the second look after the first request, and takes some 30 ms.
      await sleep(since + 2 * QUIET_MS + afterMs - performance.now());
      const runningMs = () =>
        performance.now() - processorWaitMs() - processorWaitMs(it.daemon.pid);
      const askedAt = runningMs();
      assert.equal((await it.client.ask({ type: "Ping" })).status, "ok");
      times.push(runningMs() - askedAt);
    }
    return Math.max(...times);
  });
}, { args: debug });

daemonTest("Daemon pays at most 20 KB for a connection that is silent", async (it) => {
  await it.exec("create table t(a)");
  const open = async (count: number, times: number) => {
    const clients: WireClient[] = [];
    while (clients.length < count) clients.push(await it.open());
    for (let i = 0; i < times; i++) {
      await Promise.all(clients.map((client) => exec(client, "insert into t values (1)")));
    }
  };
  await open(40, 50); // by then the code that runs often has been compiled
  await until(() => givenBack(it) === 1);
  const before = privateBytes(it);
  await open(150, 5);
  await until(() => givenBack(it) === 2);
  const each = (privateBytes(it) - before) / 150;
  assert.ok(each <= 20_000, `${Math.round(each)} bytes each`);
}, { ignore: !isLinux || !executable, args: debug });

daemonTest(
  "Daemon answers as before after it let go of sessions, statements and readers",
  async (it) => {
    await it.exec("create table t(a)");
    const client = crypto.randomUUID();
    const write = (seq: number) => ({
      ...{ type: "ExecBatch", stmts: [{ sql: "insert into t values (1)" }] },
      ...{ client, seq, acked: 0 },
    });
    const first = await it.client.ask(write(1));
    assert.equal(first.status, "ok");
    await burst(it);
    const rows = await it.rows("select count(*) from t");
    const before = givenBack(it);
    await until(() => givenBack(it) > before);
    assert.deepEqual(await it.rows("select count(*) from t"), rows);
    const again = await it.client.ask(write(1));
    assert.deepEqual([again.replayed, again.rev], [true, first.rev]);
    assert.equal((await it.client.ask(write(3))).code, "SEQUENCE_GAP");
    assert.equal((await it.client.ask(write(2))).status, "ok");
    assert.deepEqual(await it.rows("select count(*) from t"), [[2]]);
  },
  { args: debug },
);
