import assert from "node:assert/strict";
import { daemonTest, exec } from "./daemon_case.ts";

daemonTest("Ping and Status tell about the daemon and its database", async (it) => {
  const { client, daemon } = it;
  await it.exec("create table t(a)");
  const ping = await client.ask({ type: "Ping" });
  assert.equal(ping.protocol, 1);
  assert.equal(ping.pid, daemon.pid);
  assert.deepEqual(ping.databases, [daemon.file]);
  assert.ok(ping.features.includes("query"), String(ping.features));
  assert.match(ping.version, /^\d+\.\d+\.\d+/);
  for (const db of ["app.db", daemon.file]) {
    const answer = await client.ask({ type: "Ping", db });
    assert.deepEqual(answer, {
      status: "ok",
      version: ping.version,
      db_path: daemon.file,
      rev: 1,
    });
  }
  await client.ask({ type: "ExecBatch", stmts: [{ sql: "insert into nowhere values (1)" }] });
  await it.rows("select 1");
  const status = await client.ask({ type: "Status" });
  assert.equal(status.pid, daemon.pid);
  assert.equal(status.connections, 1);
  assert.ok(status.uptime_ms >= 0 && status.memory.rss > 0);
  const [{ wal_bytes, latency_ms: _, group_size: __, open_connections: ___, ...database }] =
    status.databases;
  assert.ok(wal_bytes > 0);
  assert.deepEqual(database, {
    path: daemon.file,
    endpoint: daemon.endpoint,
    open: true,
    lost: null,
    rev: 1,
    durability: "full",
    created: true,
    queued: 0,
    queued_units: 0,
    writes: 1,
    groups: 1,
    failures: 1,
    queries: 1,
    checkpoints: 0,
    checkpoint_ms: 0,
    connections: 1,
    wal_frames_left: 0,
    wal_held_ms: 0,
    wal_limit_bytes: 1024 ** 3,
  });
});

daemonTest("Session finds a database by its base name or its absolute path only", async (it) => {
  const { client, daemon } = it;
  for (const db of ["app.db", daemon.file]) {
    const answer = await client.ask({ type: "Query", sql: "select 1", db });
    assert.equal(answer.status, "ok", db);
  }
  const others = [
    "",
    "./app.db",
    "../app.db",
    `../${daemon.folder.split("/").at(-1)}/app.db`,
    "x/../app.db",
    "app%2Edb",
    "app.db\u0000",
    "app.db-wal",
    daemon.folder,
    "other.db",
    "/etc/passwd",
  ];
  for (const db of others) {
    for (
      const request of [
        { type: "Ping" },
        { type: "Query", sql: "select 1" },
        { type: "ExecBatch", stmts: [{ sql: "create table x(a)" }] },
      ]
    ) {
      const answer = await client.ask({ ...request, db });
      assert.equal(answer.code, "UNKNOWN_DATABASE", `${db} → ${JSON.stringify(answer)}`);
    }
  }
  assert.deepEqual([...Deno.readDirSync(daemon.folder)].map(({ name }) => name).sort(), [
    "app.db",
    "app.db-shm",
    "app.db-wal",
  ]);
});

daemonTest("ExecBatch serves several databases of one daemon through any endpoint", async (it) => {
  const { daemon } = it;
  const second = await it.open(daemon.endpoints[1]);
  await exec(it.client, "create table of_a(x)");
  await exec(second, "create table of_b(x)");
  const create = { type: "ExecBatch", db: "b.db", stmts: [{ sql: "create table more(x)" }] };
  assert.equal((await it.client.ask(create)).rev, 2, "each database has revisions of its own");
  const tables = "select group_concat(name order by name) from sqlite_schema " +
    "where type = 'table' and name not like '\\_skylinedb%' escape '\\'";
  const query = { type: "Query", sql: tables };
  assert.deepEqual((await it.client.ask(query)).rows, [["of_a"]]);
  assert.deepEqual((await second.ask(query)).rows, [["more,of_b"]]);
  assert.deepEqual((await second.ask({ ...query, db: "a.db" })).rows, [["of_a"]]);
  assert.deepEqual((await it.client.ask({ ...query, db: daemon.files[1] })).rows, [["more,of_b"]]);
}, { files: ["a.db", "b.db"] });
