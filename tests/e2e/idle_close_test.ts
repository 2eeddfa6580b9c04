/** Databases whose files are closed because nobody uses them, and opened by the next request. */
import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { type Answer, WireClient } from "../wire_client.ts";
import { type DaemonCase, daemonTest, exec, rows, sleep, until } from "./daemon_case.ts";

const CLOSING = { args: ["--close-idle", "400ms"] };

const ENDLESS =
  "with recursive n(i) as (select 1 union all select i + 1 from n) select max(i) from n";

function insert(value: unknown, further: object = {}): object {
  return { type: "ExecBatch", stmts: [{ sql: `insert into t values (${value})` }], ...further };
}

/** Until the first database's file is closed. */
async function closed(it: DaemonCase): Promise<void> {
  await until(async () => !(await it.status()).open);
}

function names({ daemon }: DaemonCase): string[] {
  return [...Deno.readDirSync(daemon.folder)].map(({ name }) => name).sort();
}

/** The daemon's descriptors of files in the test's folder, on Linux. */
function descriptors({ daemon }: DaemonCase): string[] {
  if (Deno.build.os !== "linux") return [];
  const folder = `/proc/${daemon.pid}/fd`;
  return [...Deno.readDirSync(folder)].flatMap(({ name }) => {
    try {
      const path = Deno.readLinkSync(`${folder}/${name}`);
      return path.startsWith(daemon.folder) ? [path] : [];
    } catch {
      return []; // closed meanwhile
    }
  });
}

daemonTest("a database that nobody uses is closed, and opened by the next request", async (it) => {
  const session = { client: "c", acked: 0 };
  await it.exec("create table t(a)");
  assert.equal((await it.client.ask(insert(1, { ...session, seq: 1 }))).rev, 2);
  for (let round = 0; round < 3; round++) {
    await closed(it);
    // What is left open is the lock.
    assert.deepEqual(names(it), ["app.db"]);
    if (Deno.build.os === "linux") assert.deepEqual(descriptors(it), [it.daemon.file]);
    const { open, rev, wal_bytes: bytes } = await it.status();
    assert.deepEqual([open, rev, bytes], [false, 2 + round, 0]);
    // By turns by a query and by a write.
    if (round !== 1) assert.deepEqual(await it.rows("select count(*) from t"), [[1 + round]]);
    const repeated = await it.client.ask(insert(1, { ...session, seq: 1 }));
    assert.deepEqual([repeated.rev, repeated.replayed], [2, true], "its sessions are known");
    assert.equal((await it.exec(`insert into t values (${round})`)).rev, 3 + round);
    assert.equal((await it.status()).open, true);
    assert.deepEqual(names(it), ["app.db", "app.db-shm", "app.db-wal"]);
  }
}, CLOSING);

daemonTest("Ping and Status neither open a database nor keep it open", async (it) => {
  const { rev } = await it.exec("create table t(a)");
  const pinging = setInterval(() => it.client.send({ type: "Ping", db: "app.db" }), 20);
  const other = await it.open();
  const isOpen = async () => (await other.ask({ type: "Status" })).databases[0].open;
  await until(async () => !await isOpen());
  await sleep(500);
  clearInterval(pinging);
  const pinged = await other.ask({ type: "Ping", db: "app.db" });
  assert.deepEqual([pinged.rev, await isOpen(), names(it)], [rev, false, ["app.db"]]);
}, CLOSING);

daemonTest("a database is not closed while something is asked now and then", async (it) => {
  await it.exec("create table t(a)");
  for (let i = 0; i < 20; i++) {
    if (i % 2) await it.exec("insert into t values (1)");
    else await it.rows("select 1");
    await sleep(50);
  }
  assert.doesNotMatch(it.daemon.log(), /Closed until/);
}, { args: ["--close-idle", "1s"] });

daemonTest("a database is not closed while a query or a write runs or waits", async (it) => {
  await it.exec("create table t(a)");
  await closed(it); // so that its log is empty, and a query no hindrance
  const closings = () => it.daemon.log().match(/Closed until/g)!.length;
  const other = await it.open();
  const query = { type: "Query", sql: ENDLESS, timeout_ms: 2_000 };
  assert.equal((await other.ask(query)).code, "TIMEOUT");
  const write = { type: "ExecBatch", stmts: [{ sql: ENDLESS }], timeout_ms: 2_000 };
  assert.equal((await other.ask(write)).code, "TIMEOUT");
  using foreign = new DatabaseSync(it.daemon.file);
  foreign.exec("begin immediate");
  other.send(insert(1));
  await sleep(2_000);
  foreign.exec("commit");
  assert.equal((await other.next())?.status, "ok");
  assert.equal(closings(), 1);
  foreign.close();
  await closed(it);
}, { args: ["--close-idle", "800ms"] });

daemonTest(
  "a database is not closed while another program keeps its log from being emptied",
  async (it) => {
    await it.exec("create table t(a)", "insert into t values (1)");
    using foreign = new DatabaseSync(it.daemon.file);
    foreign.exec("begin; select * from t");
    await it.exec("insert into t values (2)");
    await sleep(600);
    assert.equal((await it.status()).open, true);
    assert.doesNotMatch(it.daemon.log(), /warning/);
    foreign.exec("commit");
    await closed(it);
    assert.deepEqual(foreign.prepare("select count(*) as n from t").get()!.n, 2);
    foreign.exec("insert into t values (3)");
    assert.deepEqual(await it.rows("select count(*) from t"), [[3]], "its writes are seen");
  },
  CLOSING,
);

daemonTest("--close-idle off leaves a database open", async (it) => {
  await sleep(500);
  assert.equal((await it.status()).open, true);
}, { args: ["--close-idle", "off"] });

daemonTest("--keep-wal leaves the log, empty, when the database is closed", async (it) => {
  await it.exec("create table t(a)", "insert into t values (1)");
  await closed(it);
  assert.deepEqual(names(it), ["app.db", "app.db-shm", "app.db-wal"]);
  assert.equal(Deno.statSync(`${it.daemon.file}-wal`).size, 0);
  assert.deepEqual(await it.rows("select a from t"), [[1]]);
}, { args: [...CLOSING.args, "--keep-wal"] });

daemonTest("only the databases are closed that nobody uses", async (it) => {
  const used = await it.open(it.daemon.endpoints[1]);
  await exec(used, "create table t(a)");
  const isOpen = async () =>
    (await it.client.ask({ type: "Status" })).databases.map(({ open }: Answer) => open);
  for (;;) {
    await exec(used, "insert into t values (1)");
    const [first, second] = await isOpen();
    assert.equal(second, true);
    if (!first) break;
    await sleep(20);
  }
  await exec(it.client, "create table t(a)");
  assert.deepEqual(await isOpen(), [true, true]);
}, { args: ["--close-idle", "1s"], files: ["a.db", "b.db"] });

daemonTest("Shutdown of a closed database ends the daemon in order", async (it) => {
  await it.exec("create table t(a)", "insert into t values (1)");
  await closed(it);
  assert.equal((await it.client.ask({ type: "Shutdown" })).status, "ok");
  assert.equal((await it.daemon.child.status).code, 0);
  assert.deepEqual(names(it), ["app.db"]);
  await it.daemon.restart();
  await using client = await WireClient.open(it.daemon.endpoint);
  assert.deepEqual(await rows(client, "select a from t"), [[1]]);
}, CLOSING);

daemonTest(
  "one connection's requests take effect in order when they open the database",
  async (it) => {
    await it.exec("create table t(a)");
    const count = { type: "Query", sql: "select count(*) from t" };
    for (let round = 0; round < 4; round++) {
      await closed(it);
      const sent = round % 2
        ? [count, insert(1), insert(1), count]
        : [insert(1), count, insert(1), count];
      for (const [id, request] of sent.entries()) it.client.send({ ...request, id });
      const answers: Answer[] = [];
      for (const _ of sent) answers.push((await it.client.next())!);
      const counts = answers.filter(({ rows }) => rows).sort((a, b) => a.id - b.id)
        .map(({ rows }) => rows[0][0]);
      assert.deepEqual(counts, [2 * round + 1 - round % 2, 2 * round + 2]);
    }
  },
  CLOSING,
);

daemonTest("requests wait for a lock that keeps the database from being opened", async (it) => {
  await it.exec("create table t(a)");
  const [reader, writer] = [await it.open(), await it.open()];
  await closed(it);
  using foreign = new DatabaseSync(it.daemon.file);
  foreign.exec("pragma locking_mode = exclusive; insert into t values (1)");
  const busy = [{ type: "Query", sql: "select 1" }, insert(2)];
  for (const [i, client] of [reader, writer].entries()) {
    client.send({ ...busy[i], timeout_ms: 300 });
  }
  await it.client.ask({ type: "Ping" });
  for (const client of [reader, writer]) {
    const { code, retry } = (await client.next())!;
    assert.deepEqual([code, retry], ["DATABASE_BUSY", "safe"]);
  }
  reader.send({ type: "Query", sql: "select count(*) from t" });
  writer.send(insert(3));
  await sleep(300);
  assert.equal((await it.status()).open, false);
  foreign.close();
  assert.equal((await writer.next())?.status, "ok");
  assert.ok([1, 2].includes((await reader.next())?.rows[0][0]));
  assert.deepEqual(await it.rows("select a from t"), [[1], [3]]);
}, CLOSING);

daemonTest(
  "no answered write is missed when the database is closed and opened all the time",
  async (it) => {
    await it.exec("create table t(a)");
    let done = 0;
    const work = async (client: WireClient) => {
      for (let i = 0; i < 5; i++) {
        assert.equal((await client.ask(insert(1))).status, "ok");
        const before = ++done;
        const seen = (await rows(client, "select count(*) from t"))[0][0] as number;
        assert.ok(seen >= before, `${seen} of ${before} rows`);
      }
    };
    const closings = () => it.daemon.log().match(/Closed until/g)?.length ?? 0;
    const clients = await Promise.all([it.open(), it.open(), it.open()]);
    const giveUpAt = performance.now() + 20_000;
    while (closings() < 20 && performance.now() < giveUpAt) {
      await Promise.all(clients.map(work));
      // Around the moment of closing.
      await sleep(90 + 60 * Math.random());
    }
    assert.deepEqual(await it.rows("select count(*) from t"), [[done]]);
    assert.equal((await it.status()).rev, done + 1);
    assert.ok(closings() > 0);
    assert.doesNotMatch(it.daemon.log(), /warning|replaced/);
  },
  { args: ["--close-idle", "100ms"] },
);
