import assert from "node:assert/strict";
import { WireClient } from "../wire_client.ts";
import { runCommand } from "./command.ts";
import { type DaemonCase, daemonTest, exec, sleep, until } from "./daemon_case.ts";
import { executable } from "../daemon_fixture.ts";

const ping = { type: "Ping" };

/** Opens so many connections, each of which has spoken. */
async function openSpoken(it: DaemonCase, count: number): Promise<WireClient[]> {
  const clients: WireClient[] = [];
  while (clients.length < count) {
    const client = await it.open();
    assert.equal((await client.ask(ping)).status, "ok");
    clients.push(client);
  }
  return clients;
}

async function connections(client: WireClient): Promise<number> {
  return (await client.ask({ type: "Status" })).connections;
}

daemonTest("Listener serves 240 connections and refuses the 241st", async (it) => {
  await it.client.ask(ping);
  const clients = await openSpoken(it, 239);
  assert.equal(await connections(it.client), 240);
  // More than a Windows pipe has room for: at its 255th client it would be dead. So not all can wait to be told.
  const answers = await Promise.all(Array.from({ length: 20 }, async () => {
    const refused = await it.open();
    const answer = await refused.next();
    if (answer !== null) assert.equal(await refused.next(), null);
    assert.ok(refused.closed);
    return answer;
  }));
  const told = answers.filter((answer) => answer !== null);
  assert.ok(told.length >= 10, `${told.length} were told why`);
  for (const { code, retry } of told) {
    assert.deepEqual([code, retry], ["TOO_MANY_CONNECTIONS", "safe"]);
  }
  for (const client of clients) client.send(ping); // the others are not harmed
  for (const client of clients) assert.equal((await client.next())?.status, "ok");
  for (const client of clients.splice(0, 50)) await client[Symbol.asyncDispose]();
  await until(async () => await connections(it.client) <= 190);
  const again = await it.open();
  assert.equal((await again.ask(ping)).status, "ok", "there is room again");
}, { timeoutMs: 60_000 });

daemonTest("Listener cuts the longest silent connection from 200 on", async (it) => {
  await it.client.ask(ping);
  const silent: WireClient[] = [];
  for (let i = 0; i < 150; i++) silent.push(await it.open());
  await openSpoken(it, 49);
  assert.equal(await connections(it.client), 200);
  assert.ok(silent.every(({ closed }) => !closed), "nobody is cut below");
  const spoken = await openSpoken(it, 10);
  for (let i = 0; i < 10; i++) {
    assert.equal((await silent[i].next(2_000))?.code, "TOO_MANY_CONNECTIONS", `the ${i}th`);
  }
  await sleep(100);
  assert.ok(silent.slice(10).every(({ closed }) => !closed), "and no more than necessary");
  assert.equal((await silent[149].ask(ping)).status, "ok", "one that speaks is served");
  for (const client of spoken) assert.equal((await client.ask(ping)).status, "ok");
}, { timeoutMs: 90_000 });

daemonTest("Listener stays usable when hundreds connect and say nothing", async (it) => {
  await it.client.ask(ping);
  await Promise.all(Array.from({ length: 400 }, () => it.open().catch(() => null)));
  await until(async () => {
    const late = await WireClient.open(it.daemon.endpoint);
    try {
      return (await late.ask(ping, 2_000)).status === "ok";
    } catch {
      return false;
    } finally {
      await late[Symbol.asyncDispose]();
    }
  });
  assert.equal((await it.client.ask(ping)).status, "ok");
  assert.ok(await connections(it.client) <= 240 + 2);
}, { timeoutMs: 90_000 });

daemonTest("Listener serves thousands of connections, one after the other", async (it) => {
  await it.exec("create table t(a)");
  // Deno 2.6's listener stopped for ever after 512 in all, a Windows pipe's after 4.
  for (let i = 0; i < 1_500; i += 10) {
    await Promise.all(Array.from({ length: 10 }, async () => {
      await using client = await WireClient.open(it.daemon.endpoint);
      await exec(client, "insert into t values (1)");
    }));
  }
  assert.deepEqual(await it.rows("select count(*) from t"), [[1_500]]);
  await until(async () => await connections(it.client) === 1);
}, { timeoutMs: 60_000 });

daemonTest(
  "Session keeps a write of a client that leaves before the answer, or does none of it",
  async (it) => {
    await it.exec("create table t(client, i)");
    for (let c = 0; c < 50; c++) {
      const client = await it.open();
      client.send({
        type: "ExecBatch",
        stmts: [0, 1].map((i) => ({ sql: "insert into t values (?, ?)", params: [c, i] })),
      });
      if (c % 2) await sleep(1);
      await client[Symbol.asyncDispose]();
    }
    await until(async () => await connections(it.client) === 1);
    assert.deepEqual(
      await it.rows("select client, count(*) from t group by client having count(*) <> 2"),
      [],
    );
  },
);

daemonTest(
  "Session goes on when clients cut their connections in the middle of everything",
  async (it) => {
    await it.exec("create table t(a)");
    for (let i = 0; i < 60; i++) {
      const client = await it.open();
      for (let j = 0; j < 50; j++) {
        client.send({ type: "ExecBatch", stmts: [{ sql: "insert into t values (1)" }], id: j });
        client.send({ type: "Query", sql: "select hex(zeroblob(20000))", id: -j });
      }
      client.sendBytes(new Uint8Array([200, 0, 0, 0, 0x7b])); // half a frame
      await sleep(i % 4);
      await client[Symbol.asyncDispose]();
    }
    await until(async () => await connections(it.client) === 1, 10_000);
    assert.equal((await it.exec("insert into t values (2)")).status, "ok");
  },
  { timeoutMs: 90_000 },
);

const shell = Deno.build.os === "linux" &&
  await new Deno.Command("sh", { args: ["-c", "ulimit -n 100"] }).output()
    .then(({ success }) => success, () => false);
if (!shell) console.log("Skipping the shortage of file descriptors: there is no ulimit");
else if (!executable) {
  console.log(
    "Skipping the shortage of file descriptors: Deno 2.9 does not listen again after one",
  );
}

daemonTest("Listener does not spin when it is out of file descriptors", async (it) => {
  await it.exec("create table t(a)");
  const { pid } = it.daemon;
  const opening: Promise<WireClient | null>[] = [];
  const tryOpen = (): Promise<WireClient | null> => {
    const client = WireClient.open(it.daemon.endpoint).catch(() => null);
    opening.push(client);
    return Promise.race([client, sleep(500).then(() => null)]);
  };
  // One that is given up may still open, and is closed with the others.
  const closeAll = () => opening.forEach((each) => each.then((it) => it?.[Symbol.asyncDispose]()));
  let lastClient: WireClient | null = null;
  for (let i = 0; i < 130; i++) lastClient = await tryOpen();
  const last = await lastClient?.ask(ping, 300).catch(() => null) ?? null;
  assert.equal(last, null, "there are more clients than the daemon has descriptors for");
  const before = cpuMs(pid);
  const logBefore = it.daemon.log().length;
  await sleep(1_500);
  const used = cpuMs(pid) - before;
  const logged = it.daemon.log().length - logBefore;
  assert.ok(used < 400, `${used} ms of CPU in 1.5 s`);
  assert.ok(logged < 20_000, `${logged} bytes logged in 1.5 s`);
  assert.equal((await it.client.ask(ping)).status, "ok", "who is connected is served");
  assert.equal((await it.exec("insert into t values (1)")).status, "ok");
  closeAll();
  await until(async () => {
    const answer = await (await tryOpen())?.ask(ping, 500).catch(() => null);
    closeAll();
    return answer?.status === "ok";
  });
}, {
  ignore: !shell || !executable,
  timeoutMs: 90_000,
  program: ["sh", "-c", 'ulimit -n 100; exec "$0" "$@"', ...(executable ?? [])],
});

/** CPU time that a process has used, in milliseconds. */
function cpuMs(pid: number): number {
  const fields = Deno.readTextFileSync(`/proc/${pid}/stat`).split(") ")[1].split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

daemonTest("Listener lets commands in however many connections there are", async (it) => {
  await it.exec("create table t(a)");
  const clients = await openSpoken(it, 239);
  // Others that come too late, and stay: each is told, or makes room.
  const late = await Promise.all(Array.from({ length: 3 }, () => it.open()));
  for (const each of late) assert.equal((await each.ask({ type: "Status" })).status, "ok");
  for (let i = 0; i < 6; i++) {
    const command = await it.open();
    const { connections } = await command.ask({ type: "Status" });
    assert.ok(connections > 240, `${connections} connections`);
  }
  const insert = { type: "ExecBatch", stmts: [{ sql: "insert into t values (1)" }] };
  for (const request of [ping, { type: "Query", sql: "select 1" }, insert]) {
    const app = await it.open();
    app.send(request);
    assert.equal((await app.next())?.code, "TOO_MANY_CONNECTIONS");
    assert.equal(await app.next(), null, "and is closed");
  }
  assert.deepEqual(await it.rows("select count(*) from t"), [[0]], "nothing was executed");
  for (const each of late) assert.equal((await each.next(5_000))?.code, "TOO_MANY_CONNECTIONS");
  // One that has a place now is served as any other.
  await until(async () => await connections(it.client) === 240);
  const promoted = await it.open();
  await promoted.ask({ type: "Status" });
  await clients.pop()![Symbol.asyncDispose]();
  await until(async () => await connections(it.client) === 240);
  await exec(promoted, "insert into t values (2)");
  const status = await runCommand(["status", it.daemon.file]);
  assert.equal(status.code, 0, status.stderr);
  const shutdown = await runCommand(["shutdown", it.daemon.file]);
  assert.equal(shutdown.code, 0, shutdown.stderr);
  assert.equal((await it.daemon.child.status).code, 0);
}, { timeoutMs: 60_000 });
