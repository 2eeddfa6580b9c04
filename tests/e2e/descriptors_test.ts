/** A daemon that may open no more files: what is open goes on, the rest says why, and all is as before once there are some. */
import assert from "node:assert/strict";
import { WireClient } from "../wire_client.ts";
import { type DaemonCase, daemonTest, sleep, until } from "./daemon_case.ts";

const hasPrlimit = Deno.build.os === "linux" &&
  await new Deno.Command("prlimit", { args: ["--nofile"], stdout: "null" }).output()
    .then(({ success }) => success, () => false);

async function limitDescriptors({ daemon }: DaemonCase, count: number): Promise<void> {
  const { success, stderr } = await new Deno.Command("prlimit", {
    args: ["--pid", String(daemon.pid), `--nofile=${count}:`],
  }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
}

/** The number that the next file would get: none may be opened where this is the limit. */
function firstFree({ daemon }: DaemonCase): number {
  const used = new Set([...Deno.readDirSync(`/proc/${daemon.pid}/fd`)].map(({ name }) => +name));
  let number = 0;
  while (used.has(number)) number++;
  return number;
}

const ROWS =
  "with n(i) as (select 1 union all select i + 1 from n where i < 100000) select i from n";

daemonTest("A daemon without descriptors says so, goes on, and takes all again", async (it) => {
  const { client, daemon } = it;
  await it.exec("create table t(a)");
  await limitDescriptors(it, firstFree(it));
  const query = { type: "Query", sql: "select count(*) from t" };
  const refused = await client.ask(query);
  assert.deepEqual([refused.code, refused.retry], ["CANNOT_OPEN", "safe"]);
  assert.match(refused.message, /as many files open as it may/);
  assert.match(refused.hint, /ulimit -n/);
  await it.exec("insert into t values (1)");
  // SQLite writes what it sorts, where that is much, to a file.
  const sort = await client.ask({
    type: "ExecBatch",
    stmts: [{ sql: `insert into t select zeroblob(100) from (${ROWS}) order by random()` }],
  });
  assert.deepEqual([sort.code, sort.retry, sort.statement], ["CANNOT_OPEN", "safe", 0]);
  const connecting = await WireClient.open(daemon.endpoint);
  const ping = connecting.ask({ type: "Ping" });
  await until(() => /Accepting connections failed.*as many files open/.test(daemon.log()));
  await sleep(200); // it is tried some times more
  await limitDescriptors(it, 1_024);
  assert.equal((await ping).status, "ok", "who had connected is served now");
  await until(() => daemon.log().includes("Accepting connections again"));
  assert.equal(daemon.log().match(/Accepting connections failed/g)?.length, 1);
  assert.deepEqual((await client.ask(query)).rows, [[1]]);
  await connecting[Symbol.asyncDispose]();
}, { ignore: !hasPrlimit });

daemonTest(
  "A file that was closed as unused is opened again once there are descriptors",
  async (it) => {
    await it.exec("create table t(a)");
    await until(async () => !(await it.status()).open);
    await limitDescriptors(it, firstFree(it));
    const write = { type: "ExecBatch", stmts: [{ sql: "insert into t values (1)" }] };
    const refused = await it.client.ask(write);
    assert.deepEqual([refused.code, refused.retry], ["CANNOT_OPEN", "safe"]);
    assert.match(refused.message, /as many files open as it may/);
    await limitDescriptors(it, 1_024);
    assert.equal((await it.client.ask(write)).status, "ok");
  },
  { ignore: !hasPrlimit, args: ["--close-idle", "100ms"] },
);
