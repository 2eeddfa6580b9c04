import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import type { DaemonFixture } from "../daemon_fixture.ts";
import { WireClient } from "../wire_client.ts";
import { runCommand } from "./command.ts";
import { type DaemonCase, daemonTest, exec, rows, until } from "./daemon_case.ts";

/** Some 0.3 s of work. */
const SLOW = "with recursive n(i) as (select 1 union all select i + 1 from n limit 3000000) " +
  "select count(*) from n";

const ENDLESS =
  "with recursive n(i) as (select 1 union all select i + 1 from n) select max(i) from n";

/** Connections that the daemon has accepted. */
function openAll(it: DaemonCase, count: number): Promise<WireClient[]> {
  return Promise.all(Array.from({ length: count }, async () => {
    const client = await it.open();
    await client.ask({ type: "Ping" });
    return client;
  }));
}

/** Begins a query that the daemon waits for until the connection goes. */
function keepBusy(client: WireClient): Promise<void> {
  return client.begin({ type: "Query", sql: ENDLESS, timeout_ms: 60_000 });
}

function names({ folder }: DaemonFixture): string[] {
  return [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
}

function countDirectly({ file }: DaemonFixture): unknown {
  using direct = new DatabaseSync(file, { readOnly: true });
  return direct.prepare("select count(*) as n from t").get()!.n;
}

daemonTest("Shutdown answers what was sent before it, then closes and exits 0", async (it) => {
  const { daemon } = it;
  await it.exec("create table t(a)");
  const others = await Promise.all(Array.from({ length: 10 }, () => it.open()));
  for (const [c, other] of others.entries()) {
    other.send({ type: "ExecBatch", stmts: [{ sql: `insert into t ${SLOW}` }], id: "slow" });
    for (let i = 0; i < 100; i++) {
      other.send({ type: "ExecBatch", stmts: [{ sql: `insert into t values (${c})` }], id: i });
    }
    other.send({ type: "Query", sql: "select count(*) from t", id: "query" });
  }
  for (const other of others) assert.ok(await other.next(), "all have arrived");
  const answer = await it.client.ask({ type: "Shutdown", id: 5 }, 15_000);
  assert.deepEqual(answer, { id: 5, status: "ok" });
  assert.deepEqual(names(daemon), ["app.db"], "the files are closed when it is answered");
  let acknowledged = 0;
  for (const other of others) {
    for (let i = 1; i < 102; i++) {
      const each = await other.next();
      assert.ok(each, "every request that was read is answered");
      assert.ok(each.status === "ok" || each.code === "SHUTTING_DOWN", JSON.stringify(each));
      if (each.rev && !each.rows) acknowledged++;
    }
    assert.equal(await other.next(), null);
  }
  assert.equal((await daemon.child.status).code, 0);
  // The first answer of each connection, that of its slow write, was taken above.
  assert.equal(countDirectly(daemon), acknowledged + others.length);
  assert.doesNotMatch(daemon.log(), /error|failed/i);
});

daemonTest("Shutdown waits for a slow write and answers it", async (it) => {
  await it.exec("create table t(a)");
  const other = await it.open();
  await other.begin({ type: "ExecBatch", stmts: [{ sql: `insert into t ${SLOW}` }] });
  assert.equal((await it.client.ask({ type: "Shutdown" })).status, "ok");
  assert.equal((await other.next())?.rows_affected, 1);
  assert.equal((await it.daemon.child.status).code, 0);
  assert.equal(countDirectly(it.daemon), 1);
});

daemonTest("Shutdown refuses new connections and new work while it drains", async (it) => {
  await it.exec("create table t(a)");
  const [other, slow, third] = await openAll(it, 3);
  await other.begin({
    type: "ExecBatch",
    stmts: [{ sql: `insert into t ${SLOW}` }],
  });
  await keepBusy(slow);
  it.client.send({ type: "Shutdown" });
  const query = { type: "Query", sql: "select 1" };
  await until(async () => (await third.ask(query)).code === "SHUTTING_DOWN");
  const late = await third.ask({ type: "ExecBatch", stmts: [{ sql: "insert into t values (9)" }] });
  assert.deepEqual([late.code, late.retry], ["SHUTTING_DOWN", "safe"]);
  await assert.rejects(WireClient.open(it.daemon.endpoint), "nobody else gets in");
  assert.equal((await other.next())?.rows_affected, 1);
  await slow[Symbol.asyncDispose]();
  assert.equal((await it.client.next())?.status, "ok");
  assert.equal((await it.daemon.child.status).code, 0);
  assert.equal(countDirectly(it.daemon), 1);
});

daemonTest("Shutdown is answered to all who asked for it", async (it) => {
  const others = await openAll(it, 5);
  const slow = await it.open();
  await keepBusy(slow);
  for (const other of others) {
    for (const id of [1, 2]) other.send({ type: "Shutdown", id });
    const refused = await other.ask({ type: "Query", sql: "select 1", id: 3 });
    assert.deepEqual([refused.id, refused.code], [3, "SHUTTING_DOWN"]);
  }
  await slow[Symbol.asyncDispose]();
  for (const other of others) {
    for (const id of [1, 2]) assert.deepEqual(await other.next(), { id, status: "ok" });
    assert.equal(await other.next(), null);
  }
  assert.equal((await it.daemon.child.status).code, 0);
});

daemonTest(
  "Shutdown is answered to all whose request had arrived when the first was answered",
  async (it) => {
    const others = await openAll(it, 20);
    it.daemon.child.kill("SIGSTOP"); // so that all have arrived before the first is read
    for (const other of others) await other.sent({ type: "Shutdown" });
    it.daemon.child.kill("SIGCONT");
    for (const other of others) {
      assert.deepEqual(await other.next(), { status: "ok" });
      assert.equal(await other.next(), null);
    }
    assert.equal((await it.daemon.child.status).code, 0);
  },
  { ignore: Deno.build.os === "windows" },
);

daemonTest(
  "Shutdown removes the socket, so that clients see at once that nobody is there",
  async (it) => {
    assert.equal((await it.client.ask({ type: "Shutdown" })).status, "ok");
    assert.equal((await it.daemon.child.status).code, 0);
    await assert.rejects(Deno.lstat(it.daemon.endpoint), Deno.errors.NotFound);
    const folder = it.daemon.endpoint.replace(/[^/]*$/, "");
    const locks = [...Deno.readDirSync(folder)].filter(({ name }) => name.endsWith(".lock"));
    for (const { name } of locks) {
      assert.ok(!(await Deno.readTextFile(folder + name)).includes(it.daemon.file), "nor its lock");
    }
  },
  { ignore: Deno.build.os === "windows" },
);

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  daemonTest(`${signal} ends the daemon in order`, async (it) => {
    await it.exec("create table t(a)");
    const other = await it.open();
    await other.begin({ type: "ExecBatch", stmts: [{ sql: `insert into t ${SLOW}` }] });
    it.daemon.child.kill(signal);
    assert.equal((await other.next())?.rows_affected, 1, "what was taken is done");
    assert.equal((await it.daemon.child.status).code, 0);
    assert.deepEqual(names(it.daemon), ["app.db"]);
    assert.equal(countDirectly(it.daemon), 1);
  }, { ignore: Deno.build.os === "windows" });
}

daemonTest(
  "SIGTERM a second time ends the daemon at once, and nothing acknowledged is lost",
  async (it) => {
    await it.exec("create table t(a)", "insert into t values (1)");
    await it.client.begin({ type: "ExecBatch", stmts: [{ sql: ENDLESS }], timeout_ms: 60_000 });
    it.daemon.child.kill("SIGTERM");
    await until(() => it.daemon.log().includes("Asked to end"));
    it.daemon.child.kill("SIGTERM");
    assert.equal((await it.daemon.child.status).code, 143);
    assert.equal(countDirectly(it.daemon), 1);
  },
  { ignore: Deno.build.os === "windows" },
);

daemonTest(
  "SIGTERM a second time ends the daemon at once while something holds its loop",
  async (it) => {
    const start = new URL("../../daemon/commands/start.ts", import.meta.url);
    const script = `${it.daemon.folder}/holds.ts`;
    await Deno.writeTextFile(
      script,
      `import { endOnSignal } from ${JSON.stringify(start.href)};
      const shutdown = () => { console.log("ending"); for (;;); };
      endOnSignal({ shutdown }, { info() {}, error() {} });
      console.log("ready");
      setInterval(() => {}, 1000);`,
    );
    const args = ["run", "-A", "--no-check", script];
    await using child = new Deno.Command(Deno.execPath(), { args, stdout: "piped" }).spawn();
    const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    assert.match((await reader.read()).value!, /ready/);
    child.kill("SIGTERM");
    assert.match((await reader.read()).value!, /ending/);
    child.kill("SIGTERM");
    assert.equal((await reader.read()).done, true);
    assert.equal((await child.status).code, 143);
  },
  { ignore: Deno.build.os === "windows" },
);

daemonTest(
  "Shutdown ends queries after some seconds, also those that wait for a place",
  async (it) => {
    const clients = await openAll(it, 10);
    for (const client of clients) {
      await client.begin({ type: "Query", sql: ENDLESS, timeout_ms: 86_400_000 });
    }
    assert.equal((await it.client.ask({ type: "Shutdown" }, 20_000)).status, "ok");
    for (const client of clients) {
      const answer = await client.next();
      assert.deepEqual([answer?.code, answer?.retry], ["SHUTTING_DOWN", "safe"]);
    }
    assert.equal((await it.daemon.child.status).code, 0);
  },
);

daemonTest("Shutdown ends writes after some seconds, and nothing of them is there", async (it) => {
  const DAY = { timeout_ms: 86_400_000 };
  await it.exec("create table t(a)");
  const [endless, behind, each] = await openAll(it, 3);
  const stmts = [{ sql: "insert into t values (1)" }, { sql: `insert into t ${ENDLESS}` }];
  await endless.begin({ type: "ExecBatch", stmts, client: "c", seq: 1, ...DAY });
  await behind.begin({ type: "ExecBatch", stmts: [{ sql: "insert into t values (3)" }], ...DAY });
  await each.begin({ type: "ExecBatch", stmts: [{ sql: "vacuum" }], tx: "none", ...DAY });
  assert.equal((await it.client.ask({ type: "Shutdown" }, 20_000)).status, "ok");
  const answer = await endless.next();
  assert.deepEqual([answer?.code, answer?.retry], ["SHUTTING_DOWN", "safe"]);
  assert.equal((await behind.next())?.status, "ok", "what takes no time is done");
  assert.equal((await each.next())?.code, "SHUTTING_DOWN");
  assert.equal((await it.daemon.child.status).code, 0);
  assert.equal(countDirectly(it.daemon), 1);
});

daemonTest('Shutdown ends a write under tx:"none" whose first statement is kept', async (it) => {
  await it.exec("create table t(a)");
  const [each] = await openAll(it, 1);
  const stmts = [{ sql: "insert into t values (1)" }, { sql: `insert into t ${ENDLESS}` }];
  await each.begin({ type: "ExecBatch", stmts, tx: "none", timeout_ms: 86_400_000 });
  assert.equal((await it.client.ask({ type: "Shutdown" }, 20_000)).status, "ok");
  const { code, retry, statement } = (await each.next())!;
  assert.deepEqual([code, retry, statement], ["SHUTTING_DOWN", "no", 1]);
  assert.equal((await it.daemon.child.status).code, 0);
  assert.equal(countDirectly(it.daemon), 1);
});

for (const sql of ["insert into t values (1)", "create table u(a)"]) {
  daemonTest(`Shutdown does not wait for a lock of another process: ${sql}`, async (it) => {
    await it.exec("create table t(a)");
    using direct = new DatabaseSync(it.daemon.file);
    direct.exec("begin immediate");
    const [writer] = await openAll(it, 1);
    await writer.begin({ type: "ExecBatch", stmts: [{ sql }], timeout_ms: 86_400_000 });
    assert.equal((await it.client.ask({ type: "Shutdown" }, 20_000)).status, "ok");
    const answer = await writer.next();
    assert.deepEqual([answer?.code, answer?.retry], ["SHUTTING_DOWN", "safe"]);
    assert.equal((await it.daemon.child.status).code, 0);
  });
}

daemonTest("shutdown FILE returns when the file is unlocked", async (it) => {
  await it.exec("create table t(a)");
  const { code, stderr } = await runCommand(["shutdown", it.daemon.file]);
  assert.equal(code, 0, stderr);
  assert.deepEqual(names(it.daemon), ["app.db"]);
  assert.equal((await it.daemon.child.status).code, 0);
  assert.equal((await runCommand(["shutdown", it.daemon.file])).code, 4, "nobody is left");
});

daemonTest("Shutdown leaves the log to another process that has the file open", async (it) => {
  await it.exec("create table t(a)", "insert into t values (1)");
  using direct = new DatabaseSync(it.daemon.file, { readOnly: true });
  assert.equal(direct.prepare("select count(*) as n from t").get()!.n, 1);
  direct.exec("begin; select * from t");
  await it.exec("insert into t values (2)");
  assert.equal((await it.client.ask({ type: "Shutdown" })).status, "ok");
  assert.equal((await it.daemon.child.status).code, 0);
  direct.exec("commit");
  assert.equal(direct.prepare("select count(*) as n from t").get()!.n, 2);
});

daemonTest(
  "start after a shutdown serves at the same endpoint with the revision that was",
  async (it) => {
    const { rev } = await it.exec("create table t(a)", "insert into t values (1)");
    await it.client.ask({ type: "Shutdown" });
    await it.daemon.child.status;
    const { code, stdout, stderr } = await runCommand(["start", "--background", it.daemon.file]);
    assert.equal(code, 0, stderr);
    const { endpoint } = JSON.parse(stdout);
    assert.equal(endpoint, it.daemon.endpoint);
    await using client = await WireClient.open(endpoint);
    assert.deepEqual(await rows(client, "select count(*) from t"), [[1]]);
    assert.equal((await exec(client, "insert into t values (2)")).rev, rev + 1);
    assert.equal((await client.ask({ type: "Shutdown" })).status, "ok");
  },
);
