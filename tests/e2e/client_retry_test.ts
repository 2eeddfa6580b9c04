/** The client's promise that a write takes effect once, with a real daemon that ends and connections that break. */
import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { connect, type Database, type RunResult, type SkylineError } from "../../mod.ts";
import { type DaemonFixture, startDaemon } from "../daemon_fixture.ts";
import { WireClient } from "../wire_client.ts";
import { type Cut, Proxy } from "./client_proxy.ts";
import { sleep, within } from "./daemon_case.ts";

const WRITES = 200;

function test(name: string, body: () => Promise<void>, timeoutMs = 60_000): void {
  Deno.test(name, () => within(timeoutMs, body));
}

/** The values of the table, in the order in which they were written, read from the file. */
function ledgerOf(file: string): unknown[] {
  using direct = new DatabaseSync(file, { readOnly: true });
  return direct.prepare("select v from t order by id").all().map(({ v }) => v);
}

/** How many sessions the file remembers. */
function sessionsIn(file: string): unknown {
  using direct = new DatabaseSync(file, { readOnly: true });
  // The row without a name is the daemon's own.
  const sql = "select count(*) as n from _skylinedb_clients where client <> ''";
  return direct.prepare(sql).get()!.n;
}

/** Calls that write 0, 1, 2, …, with a read after every tenth, all made at once, not awaited. */
class Calls {
  readonly writes: Promise<RunResult>[] = [];
  readonly #reads: Promise<void>[] = [];
  answered = 0;

  constructor(db: Database, from: number, count: number, filler = "") {
    for (let v = from; v < from + count; v++) {
      const write = db.run("insert into t (v, filler) values (?, ?)", [v, filler]);
      this.writes.push(write);
      write.then(() => this.answered++, () => {});
      if (v % 10 !== 9) continue;
      const read = db.values<[number]>("select count(*) from t where v <= ?", [v]);
      this.#reads.push(
        read.then(([[seen]]) => assert.equal(seen, v + 1, "it sees what came before")),
      );
    }
  }

  /** Waits for all; each write's rowid and revision come after those of the write before it. */
  async check(): Promise<RunResult[]> {
    const results = await Promise.all(this.writes);
    await Promise.all(this.#reads);
    results.forEach(({ lastInsertRowid, changes }, i) => {
      assert.deepEqual([lastInsertRowid, changes], [Number(results[0].lastInsertRowid) + i, 1]);
      assert.ok(i === 0 || results[i].rev > results[i - 1].rev);
    });
    return results;
  }
}

async function createTable(file: string): Promise<void> {
  await using db = await connect(file, { retry: false });
  await db.exec("create table t (id integer primary key autoincrement, v integer, filler text)");
}

/** Starts a daemon on the file of another that is gone. */
function startAgain({ file }: DaemonFixture): Promise<DaemonFixture> {
  return startDaemon({ files: [file] });
}

test("every call takes effect once when the daemon is killed and started again", async () => {
  await using home = await startDaemon();
  await createTable(home.file);
  await using db = await connect(home.file, { timeoutMs: 30_000 });
  await using stack = new AsyncDisposableStack();
  let daemon: DaemonFixture = home;
  for (let round = 0; round < 5; round++) {
    const calls = new Calls(db, round * WRITES, WRITES);
    // Each round is killed at another moment: before anything is answered, in between, and after.
    await sleep(round * 2);
    while (calls.answered < round * 40) await sleep(1);
    await daemon.kill();
    daemon = stack.use(await startAgain(home));
    await calls.check();
  }
  assert.deepEqual(ledgerOf(home.file), Array.from({ length: 5 * WRITES }, (_, i) => i));
});

test("a write is not done again when the daemon is killed after it could not answer", async () => {
  await using home = await startDaemon();
  await createTable(home.file);
  let isLost = true;
  await using proxy = await Proxy.start(home.endpoint, (i) => {
    return isLost ? { toClient: i === 0 ? 600 : 0 } : {};
  });
  await using db = await connect({ pipe: proxy.endpoint }, { timeoutMs: 30_000 });
  const calls = new Calls(db, 0, WRITES);
  while (ledgerOf(home.file).length < WRITES) await sleep(5);
  await home.kill();
  const answered = calls.answered;
  await using _again = await startAgain(home);
  isLost = false;
  const results = await calls.check();
  assert.equal(results.filter(({ replayed }) => replayed).length, WRITES - answered);
  assert.deepEqual(ledgerOf(home.file), Array.from({ length: WRITES }, (_, i) => i));
});

test("every call takes effect once when the daemon is shut down and started again", async () => {
  await using home = await startDaemon();
  await createTable(home.file);
  await using db = await connect(home.file, { timeoutMs: 30_000 });
  await using stack = new AsyncDisposableStack();
  let daemon: DaemonFixture = home;
  for (let round = 0; round < 4; round++) {
    const calls = new Calls(db, round * WRITES, WRITES);
    if (round === 1) { while (calls.answered < 20) await sleep(1); }
    await using other = await WireClient.open(daemon.endpoint);
    assert.equal((await other.ask({ type: "Shutdown" })).status, "ok");
    await daemon.child.status;
    if (round === 2) await sleep(600);
    daemon = stack.use(await startAgain(home));
    await calls.check();
  }
  assert.deepEqual(ledgerOf(home.file), Array.from({ length: 4 * WRITES }, (_, i) => i));
});

for (const direction of ["toDaemon", "toClient"] as const) {
  test(`every call takes effect once when connections are cut, ${direction}`, async () => {
    await using daemon = await startDaemon();
    await createTable(daemon.file);
    let from = 0;
    let cut = 0;
    let replayed = 0;
    for (let bytes = 1; bytes < 40_000; bytes = Math.ceil(bytes * 1.25)) {
      // The first exchange is the one by which connect() finds out whether a daemon is there.
      const cuts: Cut[] = [{ [direction]: 600 + bytes }, { [direction]: bytes }, {
        [direction]: 2 * bytes,
      }];
      await using proxy = await Proxy.start(daemon.endpoint, (i) => cuts[i] ?? {});
      await using db = await connect({ pipe: proxy.endpoint }, { timeoutMs: 30_000 });
      const results = await new Calls(db, from, 50).check();
      replayed += results.filter((result) => result.replayed).length;
      from += 50;
      cut += proxy.connections - 1;
    }
    assert.deepEqual(ledgerOf(daemon.file), Array.from({ length: from }, (_, i) => i));
    assert.ok(
      cut > 50 && replayed > 50,
      `${cut} connections were cut, ${replayed} writes replayed`,
    );
  });
}

test("a session ends with close(), and its row goes", async () => {
  await using daemon = await startDaemon();
  await createTable(daemon.file);
  await using other = await connect(daemon.file);
  {
    await using db = await connect(daemon.file);
    await new Calls(db, 0, 10).check();
    await other.run("insert into t (v) values (10)");
    assert.equal(sessionsIn(daemon.file), 2);
  }
  await other.run("insert into t (v) values (11)");
  assert.equal(sessionsIn(daemon.file), 1);
});

test("a key makes a write take effect once, whoever asks for it", async () => {
  await using daemon = await startDaemon();
  await createTable(daemon.file);
  const sql = "insert into t (v) values (?)";
  await using stack = new AsyncDisposableStack();
  const results = await Promise.all(Array.from({ length: 6 }, async (_, i) => {
    const db = stack.use(await connect(daemon.file, { retry: i % 2 === 0 }));
    return await db.run(sql, [7], { key: "order-7" });
  }));
  assert.equal(results.filter(({ replayed }) => !replayed).length, 1);
  for (const { rev, lastInsertRowid } of results) {
    assert.deepEqual([rev, lastInsertRowid], [results[0].rev, results[0].lastInsertRowid]);
  }
  const db = stack.use(await connect(daemon.file));
  await assert.rejects(db.run(sql, [8], { key: "order-7" }), { code: "KEY_REUSED", retry: "no" });
  const batch = [{ sql, params: [9] }];
  assert.equal((await db.batch(batch, { key: "b" })).replayed, false);
  assert.equal((await db.batch(batch, { key: "b" })).replayed, true);
  assert.equal((await db.exec("insert into t (v) values (10)", { key: "e" })).replayed, false);
  assert.equal((await db.exec("insert into t (v) values (10)", { key: "e" })).replayed, true);
  assert.deepEqual(ledgerOf(daemon.file), [7, 9, 10]);
});

test("a write whose large answer was lost is RESULT_FORGOTTEN, and has taken effect", async () => {
  await using daemon = await startDaemon();
  await createTable(daemon.file);
  await using proxy = await Proxy.start(
    daemon.endpoint,
    (i) => i === 0 ? { toClient: 20_000 } : {},
  );
  await using db = await connect({ pipe: proxy.endpoint });
  const insert = db.run("insert into t (v, filler) values (0, ?) returning filler", [
    "x".repeat(100_000),
  ]);
  await assert.rejects(insert, { code: "RESULT_FORGOTTEN", retry: "no", message: /revision \d+/ });
  assert.equal((await db.run("insert into t (v) values (1)")).replayed, false);
  assert.deepEqual(ledgerOf(daemon.file), [0, 1]);
});

test("a failed write fails the same way when its answer was lost", async () => {
  await using daemon = await startDaemon();
  await createTable(daemon.file);
  await using proxy = await Proxy.start(daemon.endpoint, (i) => i === 0 ? { toClient: 600 } : {});
  await using db = await connect({ pipe: proxy.endpoint });
  const failed = Array.from(
    { length: 20 },
    (_, i) =>
      i % 2 === 0
        ? assert.rejects(db.run("insert into nowhere values (?)", [i]), { code: "SQL_ERROR" })
        : db.run("insert into t (v) values (?)", [i]),
  );
  await Promise.all(failed);
  assert.ok(proxy.connections > 1);
  assert.deepEqual(ledgerOf(daemon.file), [1, 3, 5, 7, 9, 11, 13, 15, 17, 19]);
});

test("without retry nothing is repeated, and the next call connects again", async () => {
  await using home = await startDaemon();
  await createTable(home.file);
  await using db = await connect(home.file, { retry: false });
  const calls = new Calls(db, 0, 10);
  await calls.check();
  await home.kill();
  // Unknown where it was handed to the socket before that was seen to be closed.
  await assert.rejects(
    db.run("insert into t (v) values (10)"),
    ({ retry }: SkylineError) => retry === "safe" || retry === "unknown",
  );
  await using _again = await startAgain(home);
  await db.run("insert into t (v) values (10)");
  assert.deepEqual(ledgerOf(home.file), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  assert.equal(sessionsIn(home.file), 0);
});
