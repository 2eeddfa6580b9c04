import assert from "node:assert/strict";
import { basename, join } from "node:path";
import { executable, startDaemon } from "../daemon_fixture.ts";
import { WireClient } from "../wire_client.ts";
import { runCommand } from "./command.ts";
import { assertBelow, daemonTest, exec, rows, within } from "./daemon_case.ts";

daemonTest(
  "start names the endpoint and exits 3 within a second when the file is served",
  async (it) => {
    const { file, folder, endpoint, pid } = it.daemon;
    const link = join(folder, "link.db");
    const folderLink = `${folder}-link`;
    await Deno.symlink(file, link);
    await Deno.symlink(folder, folderLink);
    try {
      const spellings = [
        file,
        link,
        join(folderLink, "app.db"),
        `${folder}/./app.db`,
        `${folder}//app.db`,
        `${folder}/../${basename(folder)}/app.db`,
      ];
      for (const spelling of spellings) {
        // From source it has to be compiled first.
        await assertBelow(executable ? 1_000 : Infinity, spelling, async () => {
          const { code, stderr, stdout, tookMs } = await runCommand(["start", spelling]);
          assert.equal(code, 3, `${spelling}: ${stderr}`);
          assert.ok(stderr.includes(endpoint), `${spelling}: ${stderr}`);
          assert.ok(stderr.includes(String(pid)), `${spelling}: ${stderr}`);
          assert.equal(stdout, "");
          return tookMs;
        });
      }
      const relative = await runCommand(["app.db"], { cwd: folder });
      assert.equal(relative.code, 3, relative.stderr);
    } finally {
      await Deno.remove(folderLink);
    }
    await it.exec("create table t(a)");
    assert.deepEqual(
      [...Deno.readDirSync(folder)].map(({ name }) => name).sort(),
      ["app.db", "app.db-shm", "app.db-wal", "link.db"],
      "no spelling got a log of its own",
    );
  },
);

daemonTest(
  "start of several files exits 3 when one of them is served, and serves none",
  async (it) => {
    const other = join(it.daemon.folder, "other.db");
    const { code, stderr } = await runCommand(["start", other, it.daemon.file]);
    assert.equal(code, 3);
    assert.ok(stderr.includes(it.daemon.endpoint), stderr);
    await using daemon = await startDaemon({ files: [other] });
    await using client = await WireClient.open(daemon.endpoint);
    assert.equal((await client.ask({ type: "Ping" })).status, "ok", "it is free for the next");
  },
);

daemonTest("start lets exactly one of many win", async (it) => {
  const file = join(it.daemon.folder, "contended.db");
  const children = Array.from({ length: 8 }, () => runCommand(["start", "--background", file]));
  const results = await Promise.all(children);
  const answers = results.map(({ code, stdout, stderr }) => {
    assert.equal(code, 0, stderr);
    return JSON.parse(stdout);
  });
  assert.equal(new Set(answers.map(({ pid }) => pid)).size, 1, "all name the same daemon");
  await using client = await WireClient.open(answers[0].endpoint);
  assert.equal((await client.ask({ type: "Shutdown" })).status, "ok");
}, { timeoutMs: 90_000 });

Deno.test("start takes over after the daemon was killed", () =>
  within(90_000, async () => {
    await using first = await startDaemon();
    for (let round = 0; round < 3; round++) {
      await using daemon = round === 0 ? null : await startDaemon({ files: [first.file] });
      await using client = await WireClient.open(first.endpoint);
      assert.equal(daemon?.endpoint ?? first.endpoint, first.endpoint);
      await exec(client, "create table if not exists t(a)", `insert into t values (${round})`);
      assert.deepEqual(await rows(client, "select count(*) from t"), [[round + 1]]);
      await (daemon ?? first).kill();
      assert.ok(await Deno.lstat(first.endpoint), "its socket stays behind");
    }
  }));

Deno.test("start does not take over a socket at which somebody else listens", {
  ignore: Deno.build.os === "windows",
}, () =>
  within(90_000, async () => {
    await using daemon = await startDaemon();
    const name = `skylinedb-test-${crypto.randomUUID()}`;
    const path = join(daemon.endpoint, "..", `${name}.sock`);
    const listener = Deno.listen({ transport: "unix", path });
    try {
      const other = join(daemon.folder, "other.db");
      const { code, stderr } = await runCommand(["start", other, "--pipe", name]);
      assert.equal(code, 5, stderr);
      assert.match(stderr, /Cannot listen at .*another process listens there/);
      assert.ok(await Deno.lstat(path), "and leaves it alone");
    } finally {
      listener.close();
      await Deno.remove(path).catch(() => {});
    }
  }));

const pipeName = `skylinedb-test-${crypto.randomUUID()}`;

daemonTest("start listens at a plain second name as well", async (it) => {
  const { stdout } = await runCommand(["endpoint", it.daemon.file]);
  assert.equal(stdout.trim(), it.daemon.endpoint);
  const path = join(it.daemon.endpoint, "..", `${pipeName}.sock`);
  const second = await it.open(path);
  await exec(second, "create table t(a)");
  assert.equal((await it.status()).rev, 1);
}, { args: ["--pipe", pipeName], ignore: Deno.build.os === "windows" });

daemonTest("start --background serves on after its parent ended, and says so again", async (it) => {
  const file = join(it.daemon.folder, "background.db");
  const log = join(it.daemon.folder, "background.log");
  const first = await runCommand(["start", "--background", "--log-file", log, file]);
  assert.equal(first.code, 0, first.stderr);
  const { endpoint, pid, version, log: named } = JSON.parse(first.stdout);
  assert.equal(first.stdout.trim().split("\n").length, 1);
  assert.equal(named, log);
  assert.match(version, /^\d+\./);
  await using client = await WireClient.open(endpoint);
  assert.equal((await client.ask({ type: "Ping" })).pid, pid);
  const second = await runCommand(["start", "--background", file]);
  assert.equal(second.code, 0, second.stderr);
  assert.deepEqual([JSON.parse(second.stdout).pid, JSON.parse(second.stdout).endpoint], [
    pid,
    endpoint,
  ]);
  assert.equal((await client.ask({ type: "Shutdown" })).status, "ok");
  assert.match(await Deno.readTextFile(log), /Serving/);
});

daemonTest(
  "start serves several files, each at its own endpoint, none slowed by another",
  async (it) => {
    const { endpoints, files } = it.daemon;
    assert.equal(new Set(endpoints).size, 3);
    const clients = await Promise.all(endpoints.map((endpoint) => it.open(endpoint)));
    for (const [i, client] of clients.entries()) {
      await exec(client, "create table t(a)", `insert into t values (${i})`);
    }
    for (const [i, client] of clients.entries()) {
      assert.deepEqual(await rows(client, "select a from t"), [[i]]);
    }
    const endless =
      "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n";
    await assertBelow(250, "a write and a query", async (attempt) => {
      const sql = `${endless} -- ${attempt}`;
      clients[0].send({ type: "ExecBatch", stmts: [{ sql }], timeout_ms: 1_500 });
      clients[1].send({ type: "Query", sql, timeout_ms: 1_500, id: 1 });
      let longest = 0;
      for (let i = 0; i < 100; i++) {
        const started = performance.now();
        await exec(clients[2], "insert into t values (1)");
        await rows(clients[2], "select count(*) from t");
        longest = Math.max(longest, performance.now() - started);
      }
      assert.deepEqual((await clients[0].next())?.code, "TIMEOUT");
      assert.deepEqual((await clients[1].next())?.code, "TIMEOUT");
      return longest;
    });
    assert.deepEqual((await it.client.ask({ type: "Ping" })).databases, files);
  },
  { files: ["a.db", "b.db", "c.db"] },
);

daemonTest("start takes the same file once when it is named twice", async (it) => {
  assert.deepEqual((await it.client.ask({ type: "Ping" })).databases, [it.daemon.file]);
});
