import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Trace, whyNoTrace } from "../faults/strace.ts";
import type { Answer, WireClient } from "../wire_client.ts";
import { type DaemonCase, daemonTest, type DaemonTestOptions, until } from "./daemon_case.ts";

/** On Windows the files of an open database cannot be removed, moved or replaced. */
function unixTest(
  name: string,
  body: (it: DaemonCase) => Promise<void>,
  options: DaemonTestOptions = {},
): void {
  daemonTest(name, body, {
    timeoutMs: 90_000,
    ...options,
    ignore: options.ignore || Deno.build.os === "windows",
  });
}

/** Writers that go on until they are refused for good, or told to stop. */
class Writers {
  readonly #clients: WireClient[] = [];
  readonly #running: Promise<void>[] = [];
  #isStopped = false;
  /** Rows whose writes were acknowledged, those that were sent after {@link Writers.act} first said so. */
  readonly acknowledged: string[] = [];
  readonly errors: Answer[] = [];
  /** How often something was done to the files. */
  #acts = 0;
  /** By writer: its last write that was acknowledged was sent after so many acts; `Infinity` once it has ended. */
  readonly #through: number[] = [];
  /** Acknowledged although they were sent after. */
  readonly acknowledgedAfter: string[] = [];

  static async start(it: DaemonCase): Promise<Writers> {
    await it.exec("create table t(a text primary key)");
    const writers = new Writers();
    for (let i = 0; i < 8; i++) {
      const client = await it.open();
      writers.#through.push(-1);
      writers.#clients.push(client);
      const running = writers.#write(client, i);
      running.catch(() => {}); // until it is waited for; a test that fails does not come to that
      writers.#running.push(running);
    }
    await writers.#allThrough();
    return writers;
  }

  /** Until each has had a write acknowledged that it sent after all acts, or has ended. */
  #allThrough(): Promise<void> {
    return until(() => this.#through.every((acts) => acts >= this.#acts), 60_000);
  }

  async #write(client: WireClient, index: number): Promise<void> {
    for (let n = 0; !this.#isStopped; n++) {
      const row = `${index}-${n}`;
      const acts = this.#acts;
      const answer = await client.ask(insert(row));
      if (answer.status !== "ok") {
        this.errors.push(answer);
        if (answer.retry === "no") break;
        continue;
      }
      this.acknowledged.push(row);
      this.#through[index] = acts;
      if (acts > 0) this.acknowledgedAfter.push(row);
    }
    this.#through[index] = Infinity;
  }

  /** Does something to the files, and lets the writers go on until each is through with it. */
  async act(what: () => void): Promise<void> {
    assert.ok(this.acknowledged.length > 0);
    what();
    this.#acts++;
    await this.#allThrough();
  }

  /** Until all were refused. */
  async refused(): Promise<void> {
    await Promise.all(this.#running);
    assert.equal(this.errors.filter(({ code }) => code === "FILE_REPLACED").length, 8);
    const codes = new Set(this.errors.map(({ code }) => code));
    codes.delete("OUTCOME_UNKNOWN");
    assert.deepEqual([...codes], ["FILE_REPLACED"]);
    assert.deepEqual(this.acknowledgedAfter, [], "acknowledged after the files had changed");
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all(this.#running);
  }

  /** Whether all rows that were acknowledged are in the file, which is a sound database. */
  assertKept(file: string): void {
    using direct = new DatabaseSync(file);
    assert.deepEqual({ ...direct.prepare("pragma integrity_check").get() }, {
      integrity_check: "ok",
    });
    const rows = new Set(direct.prepare("select a from t").all().map(({ a }) => a));
    const missing = this.acknowledged.filter((row) => !rows.has(row));
    assert.deepEqual(missing, [], `of ${this.acknowledged.length} that were acknowledged`);
  }
}

function insert(row: string): object {
  return { type: "ExecBatch", stmts: [{ sql: "insert into t values (?)", params: [row] }] };
}

/** A database of somebody else's, with a log that is not copied into it; its files' content. */
function foreignDatabase(it: DaemonCase): { path: string; content: Uint8Array; log: Uint8Array } {
  const folder = join(it.daemon.folder, "foreign");
  Deno.mkdirSync(folder);
  const source = join(folder, "source.db");
  using direct = new DatabaseSync(source);
  direct.exec(
    "pragma journal_mode = wal; create table t(a text primary key); create table foreign_table(a)",
  );
  for (let i = 0; i < 100; i++) direct.exec(`insert into t values ('foreign ${i}')`);
  const path = join(folder, "foreign.db");
  for (const suffix of ["", "-wal"]) Deno.copyFileSync(source + suffix, path + suffix);
  return { path, content: Deno.readFileSync(path), log: Deno.readFileSync(`${path}-wal`) };
}

/** What every request is answered once the database is served no more, and that all else goes on. */
async function assertServedNoMore(it: DaemonCase, what: RegExp): Promise<void> {
  const requests = [
    insert("late"),
    { type: "Query", sql: "select count(*) from t" },
    { type: "ExecBatch", stmts: [{ sql: "vacuum" }], tx: "none" },
  ];
  for (const request of requests) {
    const { code, message, retry, hint } = await it.client.ask(request);
    assert.deepEqual([code, retry], ["FILE_REPLACED", "no"], JSON.stringify(request));
    assert.match(message, what);
    assert.ok(hint);
  }
  assert.equal((await it.client.ask({ type: "Ping" })).status, "ok");
  assert.equal((await it.status()).status, undefined);
  await until(() => /The database is served no more/.test(it.daemon.log()));
}

async function shutDown(it: DaemonCase): Promise<void> {
  assert.equal((await it.client.ask({ type: "Shutdown" }, 15_000)).status, "ok");
  assert.equal((await it.daemon.child.status).code, 0);
}

unixTest("ExecBatch is not acknowledged once the database was moved", async (it) => {
  const { file, folder } = it.daemon;
  const moved = join(folder, "moved.db");
  const writers = await Writers.start(it);
  await writers.act(() => Deno.renameSync(file, moved));
  await writers.refused();
  await assertServedNoMore(it, /app\.db was moved or removed/);
  const other = await it.open(it.daemon.endpoints[1]);
  const create = { type: "ExecBatch", stmts: [{ sql: "create table t(a)" }] };
  assert.equal((await other.ask(create)).status, "ok", "the other database goes on");
  await shutDown(it);
  // The log stays where it was: the file has to be whole without it.
  Deno.renameSync(moved, join(dirname(moved), "alone.db"));
  writers.assertKept(join(dirname(moved), "alone.db"));
}, { files: ["app.db", "other.db"] });

unixTest(
  "ExecBatch and Shutdown leave alone what replaced the database and its log",
  async (it) => {
    const { file, folder } = it.daemon;
    const foreign = foreignDatabase(it);
    const moved = join(folder, "moved.db");
    const writers = await Writers.start(it);
    await writers.act(() => {
      Deno.renameSync(file, moved);
      Deno.renameSync(foreign.path, file);
      Deno.renameSync(`${foreign.path}-wal`, `${file}-wal`);
    });
    await writers.refused();
    await assertServedNoMore(it, /app\.db was (replaced by another file|moved or removed)/);
    await shutDown(it);
    assert.deepEqual(Deno.readFileSync(file), foreign.content);
    assert.deepEqual(Deno.readFileSync(`${file}-wal`), foreign.log);
    writers.assertKept(moved);
  },
);

unixTest(
  "ExecBatch leaves no log behind that would spoil what replaced the database",
  async (it) => {
    const { file } = it.daemon;
    const foreign = foreignDatabase(it);
    const writers = await Writers.start(it);
    await writers.act(() => Deno.renameSync(foreign.path, file));
    await writers.refused();
    await shutDown(it);
    assert.deepEqual(Deno.readFileSync(file), foreign.content);
    assert.equal(Deno.lstatSync(`${file}-wal`).size, 0);
  },
);

unixTest("ExecBatch is not acknowledged once the database was removed", async (it) => {
  const writers = await Writers.start(it);
  await writers.act(() => Deno.removeSync(it.daemon.file));
  await writers.refused();
  await assertServedNoMore(it, /app\.db was moved or removed/);
  await shutDown(it);
  assert.throws(
    () => Deno.lstatSync(it.daemon.file),
    Deno.errors.NotFound,
    "nothing was made anew",
  );
});

unixTest("ExecBatch is not acknowledged once the database has two names", async (it) => {
  const { file, folder } = it.daemon;
  const writers = await Writers.start(it);
  await writers.act(() => Deno.linkSync(file, join(folder, "linked.db")));
  await writers.refused();
  await assertServedNoMore(it, /app\.db has another name now/);
  await shutDown(it);
  writers.assertKept(join(folder, "linked.db"));
  writers.assertKept(file);
});

for (const suffix of ["-wal", "-shm"]) {
  unixTest(`ExecBatch goes on with a new log after its ${suffix} was removed`, async (it) => {
    const { file } = it.daemon;
    const writers = await Writers.start(it);
    await writers.act(() => Deno.removeSync(file + suffix));
    await writers.act(() => Deno.removeSync(file + suffix));
    await writers.stop();
    assert.deepEqual(writers.errors, []);
    assert.ok(writers.acknowledgedAfter.length > 0);
    await until(() => /The log was made anew/.test(it.daemon.log()));
    const [[count]] = await it.rows("select count(*) from t");
    assert.equal(count, writers.acknowledged.length);
    await it.daemon.kill();
    writers.assertKept(file);
  });
}

unixTest(
  "ExecBatch ends when its log was removed and another program has the database open",
  async (it) => {
    const { file } = it.daemon;
    const writers = await Writers.start(it);
    {
      using direct = new DatabaseSync(file, { readOnly: true });
      direct.prepare("select count(*) from t").get();
      await writers.act(() => Deno.removeSync(`${file}-wal`));
      await writers.refused();
      await assertServedNoMore(it, /app\.db-wal was moved or removed/);
    }
    await shutDown(it);
    writers.assertKept(file);
  },
);

unixTest(
  "ExecBatch ends when another log took its log's place, which stays as it is",
  async (it) => {
    const { file } = it.daemon;
    const foreign = foreignDatabase(it);
    const writers = await Writers.start(it);
    await writers.act(() => Deno.renameSync(`${foreign.path}-wal`, `${file}-wal`));
    await writers.refused();
    await assertServedNoMore(it, /app\.db-wal was replaced by another file/);
    assert.match((await it.client.ask(insert("late"))).hint, /Move app\.db-wal away/);
    await shutDown(it);
    assert.deepEqual(Deno.readFileSync(`${file}-wal`), foreign.log);
    Deno.removeSync(`${file}-wal`);
    writers.assertKept(file);
  },
);

unixTest("Shutdown leaves alone what replaced the files while nobody wrote", async (it) => {
  const { file, folder } = it.daemon;
  await it.exec("create table t(a)", "insert into t values (1)");
  const foreign = foreignDatabase(it);
  Deno.renameSync(`${foreign.path}-wal`, `${file}-wal`);
  const other = await it.open(it.daemon.endpoints[1]);
  await other.ask({ type: "ExecBatch", stmts: [{ sql: "create table t(a)" }] });
  const moved = join(folder, "moved.db");
  Deno.renameSync(join(folder, "other.db"), moved);
  await shutDown(it);
  assert.deepEqual(Deno.readFileSync(`${file}-wal`), foreign.log);
  Deno.removeSync(`${file}-wal`);
  for (const [path, count] of [[file, 1], [moved, 0]] as const) {
    using direct = new DatabaseSync(path);
    assert.equal(direct.prepare("select count(*) as n from t").get()!.n, count);
  }
}, { files: ["app.db", "other.db"] });

unixTest("a lone ExecBatch is not acknowledged once the database was moved", async (it) => {
  const { file } = it.daemon;
  await it.exec("create table t(a)");
  Deno.renameSync(file, `${file}.moved`);
  const stmts = [{ sql: "insert into t values (1)" }];
  const answer = await it.client.ask({ type: "ExecBatch", stmts, tx: "none" });
  assert.deepEqual([answer.code, answer.retry], ["OUTCOME_UNKNOWN", "unknown"]);
  assert.match(answer.message, /app\.db was moved or removed/);
  await assertServedNoMore(it, /app\.db was moved or removed/);
  await shutDown(it);
});

unixTest("Query is not answered from the file that replaced the database", async (it) => {
  const { file, folder } = it.daemon;
  const foreign = foreignDatabase(it);
  await it.exec("create table t(a)", "insert into t values ('ours')");
  Deno.renameSync(file, join(folder, "moved.db"));
  Deno.renameSync(foreign.path, file);
  // No reader has been opened so far.
  const query = { type: "Query", sql: "select a from t" };
  const answer = await it.client.ask(query);
  assert.deepEqual([answer.code, answer.retry], ["FILE_REPLACED", "no"]);
  assert.match(answer.message, /app\.db was replaced by another file/);
  // Without a write.
  await until(() => /The database is served no more/.test(it.daemon.log()));
  await shutDown(it);
  assert.deepEqual(Deno.readFileSync(file), foreign.content);
});

unixTest(
  "Query is refused for a moment when the log was removed, and then answered",
  async (it) => {
    const { file } = it.daemon;
    await it.exec("create table t(a)", "insert into t values (1)");
    Deno.removeSync(`${file}-wal`);
    const query = { type: "Query", sql: "select a from t" };
    const answer = await it.client.ask(query);
    assert.deepEqual([answer.code, answer.retry], ["FILE_REPLACED", "safe"]);
    await until(() => /The log was made anew/.test(it.daemon.log()));
    assert.deepEqual((await it.client.ask(query)).rows, [[1]]);
  },
);

const noTrace = await whyNoTrace();
if (noTrace) console.log(`Skipping a database that is removed after its disk failed: ${noTrace}`);

unixTest("ExecBatch makes no new database after one that failed was removed", async (it) => {
  const { file, pid } = it.daemon;
  await it.exec("create table t(a)");
  const calls = "fsync,fdatasync";
  await using trace = await Trace.attach(pid, ["-e", calls, "-e", `inject=${calls}:error=EIO`]);
  // It could not be opened again: the next write would do so.
  assert.equal((await it.client.ask(insert("1"))).code, "OUTCOME_UNKNOWN");
  await trace.end();
  for (const suffix of ["-wal", "-shm", ""]) {
    await Deno.remove(file + suffix).catch(() => {}); // the log may have gone with the failed database
  }
  await assertServedNoMore(it, /app\.db was moved or removed/);
  assert.throws(() => Deno.lstatSync(file), Deno.errors.NotFound);
  await shutDown(it);
}, { ignore: noTrace !== undefined });
