/** Daemons that end by themselves when nobody is connected. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { encodeFrame } from "../../client/frame.ts";
import { startDaemon } from "../daemon_fixture.ts";
import { type Answer, WireClient } from "../wire_client.ts";
import { runCommand } from "./command.ts";
import { type DaemonCase, daemonTest, exec, sleep, until, within } from "./daemon_case.ts";

const ENDING = { args: ["--exit-when-idle", "500ms"] };

const ENDLESS =
  "with recursive n(i) as (select 1 union all select i + 1 from n) select max(i) from n";

/** Some seconds of work. */
const SLOW = "with recursive n(i) as (select 1 union all select i + 1 from n limit 9000000) " +
  "select count(*) from n";

function names({ daemon }: DaemonCase): string[] {
  return [...Deno.readDirSync(daemon.folder)].map(({ name }) => name).sort();
}

function hasEnded({ daemon }: DaemonCase): Promise<boolean> {
  return Promise.race([daemon.child.status.then(() => true), sleep(0).then(() => false)]);
}

daemonTest("--exit-when-idle ends the daemon in order when nobody is connected", async (it) => {
  await it.exec("create table t(a)", "insert into t values (1)");
  await it.client[Symbol.asyncDispose]();
  const startedAt = performance.now();
  assert.equal((await it.daemon.child.status).code, 0);
  const tookMs = performance.now() - startedAt;
  assert.ok(tookMs > 450 && tookMs < 10_000, `after ${tookMs} ms`);
  assert.deepEqual(names(it), ["app.db"]);
  assert.match(it.daemon.log(), /Asked to end when nobody is connected.*forMs=500/);
  assert.match(it.daemon.log(), /Stopped/);
  await assert.rejects(WireClient.open(it.daemon.endpoint));
  using direct = new DatabaseSync(it.daemon.file);
  assert.equal(direct.prepare("select count(*) as n from t").get()!.n, 1);
}, ENDING);

Deno.test("--exit-when-idle ends a daemon that nobody ever connected to", () =>
  within(60_000, async () => {
    await using daemon = await startDaemon({ files: ["a.db", "b.db"], ...ENDING });
    assert.equal((await daemon.child.status).code, 0);
  }));

daemonTest("a connection that is open keeps the daemon, also when it is silent", async (it) => {
  const silent = await it.open(it.daemon.endpoints[1]);
  await it.client[Symbol.asyncDispose]();
  await sleep(1_500);
  assert.equal(await hasEnded(it), false);
  await silent[Symbol.asyncDispose]();
  assert.equal((await it.daemon.child.status).code, 0);
}, { files: ["a.db", "b.db"], ...ENDING });

daemonTest("connections that come and go keep the daemon", async (it) => {
  await it.client[Symbol.asyncDispose]();
  for (let i = 0; i < 15; i++) {
    await using client = await WireClient.open(it.daemon.endpoint);
    assert.equal((await client.ask({ type: "Ping" })).status, "ok");
    await client[Symbol.asyncDispose]();
    await sleep(100);
  }
  assert.equal((await it.daemon.child.status).code, 0);
}, { args: ["--exit-when-idle", "1s"] });

daemonTest("a write keeps the daemon whose client has gone", async (it) => {
  await it.exec("create table t(a)");
  const write = { type: "ExecBatch", stmts: [{ sql: ENDLESS }], timeout_ms: 3_000 };
  // One that leaves an answer unread is gone at once; another would count until its write is answered.
  const client = await Deno.connect({ path: it.daemon.endpoint, transport: "unix" });
  for (const request of [{ type: "Ping" }, write]) {
    await client.write(encodeFrame(JSON.stringify(request)));
  }
  await until(async () => (await it.status()).queued === 1);
  client.close();
  await it.client[Symbol.asyncDispose]();
  await sleep(1_000);
  {
    await using other = await WireClient.open(it.daemon.endpoint);
    assert.equal((await other.ask({ type: "Status" })).databases[0].queued, 1);
  }
  assert.equal((await it.daemon.child.status).code, 0);
}, { args: ["--exit-when-idle", "200ms"], ignore: Deno.build.os === "windows" });

daemonTest("a closed database is no reason to stay, nor to be opened for the end", async (it) => {
  await it.exec("create table t(a)");
  await it.client[Symbol.asyncDispose]();
  assert.equal((await it.daemon.child.status).code, 0);
  assert.match(it.daemon.log(), /Closed until the next request[^]*Asked to end/);
  assert.doesNotMatch(it.daemon.log(), /Opened again/);
  assert.deepEqual(names(it), ["app.db"]);
}, { args: ["--close-idle", "100ms", "--exit-when-idle", "800ms"] });

/** What became of a write on a new connection. */
async function attempt(endpoint: string): Promise<string> {
  let client: WireClient;
  try {
    client = await WireClient.open(endpoint);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code!;
  }
  await using _ = client;
  client.send({ type: "ExecBatch", stmts: [{ sql: "insert into t values (1)" }] });
  const answer: Answer | null = await client.next();
  return answer === null ? "no answer" : answer.code ?? answer.status;
}

daemonTest("whoever connects while the daemon ends is answered, or finds nobody", async (it) => {
  await it.exec("create table t(a)");
  await it.client[Symbol.asyncDispose]();
  const seen = new Map<string, number>();
  for (let round = 0; round < 12; round++) {
    // Around the moment at which it ends; what comes while it stands still waits to be accepted.
    await sleep(80 + 4 * round);
    if (await hasEnded(it)) break;
    it.daemon.child.kill("SIGSTOP");
    const attempts = Array.from({ length: 5 }, () => attempt(it.daemon.endpoint));
    await sleep(30);
    it.daemon.child.kill("SIGCONT");
    for (const outcome of await Promise.all(attempts)) {
      seen.set(outcome, (seen.get(outcome) ?? 0) + 1);
    }
    if (!seen.has("ok") || seen.size > 1) break;
  }
  const expected = ["ok", "SHUTTING_DOWN", "ENOENT", "ECONNREFUSED"];
  assert.deepEqual([...seen.keys()].filter((outcome) => !expected.includes(outcome)), []);
  assert.equal((await it.daemon.child.status).code, 0);
  using direct = new DatabaseSync(it.daemon.file);
  assert.equal(direct.prepare("select count(*) as n from t").get()!.n, seen.get("ok") ?? 0);
}, { args: ["--exit-when-idle", "100ms"], ignore: Deno.build.os === "windows" });

daemonTest("start --background serves when the daemon before was ending", async (it) => {
  await it.exec("create table t(a)");
  const other = await it.open();
  const query = { type: "Query", sql: SLOW, timeout_ms: 60_000 };
  await other.begin(query);
  it.client.send({ type: "Shutdown" });
  const starting = runCommand(["start", "--background", it.daemon.file]);
  assert.equal((await other.next())?.status, "ok");
  const { code, stdout, stderr } = await starting;
  assert.equal(code, 0, stderr);
  await using client = await WireClient.open(JSON.parse(stdout).endpoint);
  await exec(client, "insert into t values (1)");
  assert.notEqual(JSON.parse(stdout).pid, it.daemon.pid);
  assert.equal((await client.ask({ type: "Shutdown" })).status, "ok");
});

Deno.test("start --background hands the idle times on to the daemon", () =>
  within(60_000, async () => {
    const folder = await Deno.makeTempDir({ prefix: "skylinedb-idle-" });
    const file = join(folder, "app.db");
    try {
      const times = ["--close-idle", "200ms", "--exit-when-idle", "600ms"];
      const log = join(folder, "app.log");
      const { code, stderr } = await runCommand(
        ["start", "--background", ...times, "--log-file", log, file],
      );
      assert.equal(code, 0, stderr);
      await until(() => /Stopped/.test(Deno.readTextFileSync(log)));
      assert.match(Deno.readTextFileSync(log), /Closed until[^]*forMs=600/);
    } finally {
      await runCommand(["shutdown", file]);
      await Deno.remove(folder, { recursive: true });
    }
  }));
