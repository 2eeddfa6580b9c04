import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import type { Answer } from "../wire_client.ts";
import { assertBelow, type DaemonCase, daemonTest, sleep, until } from "./daemon_case.ts";

const READER = fileURLToPath(new URL("wal_reader.ts", import.meta.url));
const MIB = 1024 * 1024;

/** Another process, in a read transaction. */
class Reader implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #output: ReadableStreamDefaultReader<string>;

  private constructor(child: Deno.ChildProcess) {
    this.#child = child;
    this.#output = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  }

  /** Starts it; settles when it reads. */
  static async start(file: string): Promise<Reader> {
    const args = ["run", "-A", READER, file];
    const options = { args, stdin: "piped", stdout: "piped" } as const;
    const reader = new Reader(new Deno.Command(Deno.execPath(), options).spawn());
    assert.equal((await reader.#output.read()).value, "reading\n");
    return reader;
  }

  /** Ends its transaction; settles when that has ended. */
  async end(): Promise<void> {
    await this.#child.stdin.close();
    assert.equal((await this.#output.read()).value, "ended\n");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended already.
    }
    await this.#child.status;
    await this.#output.cancel();
  }
}

/** Writes rows of 3,500 bytes, 100 a request, as long as `goOn` says of the answers. */
async function write(it: DaemonCase, goOn: (answer: Answer) => boolean): Promise<Answer> {
  const stmts = [{ sql: ROWS }];
  for (;;) {
    const answer = await it.client.ask({ type: "ExecBatch", stmts });
    if (!goOn(answer)) return answer;
  }
}

const ROWS =
  "with recursive n(i) as (select 1 union all select i + 1 from n where i < 100) insert into t select randomblob(3500) from n";

async function writeBytes(it: DaemonCase, bytes: number): Promise<void> {
  let requests = Math.ceil(bytes / 350_000);
  const last = await write(it, ({ status }) => status === "ok" && --requests > 0);
  assert.equal(last.status, "ok", JSON.stringify(last));
}

daemonTest("Status tells for how long a reader has held the log back", async (it) => {
  await it.exec("create table t(a)");
  const before = await it.status();
  assert.deepEqual([before.wal_held_ms, before.wal_limit_bytes], [0, 1024 * MIB]);
  await using reader = await Reader.start(it.daemon.file);
  await writeBytes(it, 8 * MIB);
  await until(async () => (await it.status()).wal_held_ms > 0);
  const first = (await it.status()).wal_held_ms;
  await sleep(400);
  const { wal_held_ms: second, wal_frames_left: left } = await it.status();
  assert.ok(second >= first + 400 && second < first + 10_000, `${first}, then ${second}`);
  assert.ok(left > 1_000, `${left} frames are left`);
  await reader.end();
  await until(async () => (await it.status()).wal_held_ms === 0, 3_000);
  assert.equal((await it.status()).wal_frames_left, 0);
});

daemonTest("The log is cut within 10 s of a reader's end though nobody writes", async (it) => {
  await it.exec("create table t(a)");
  await using reader = await Reader.start(it.daemon.file);
  await writeBytes(it, 100 * MIB);
  assert.ok((await it.status()).wal_bytes > 100 * MIB);
  await sleep(1_500); // the timer has tried, in vain
  await reader.end();
  await until(async () => (await it.status()).wal_bytes < 1 * MIB, 10_000);
  assert.deepEqual(await it.rows("select count(*) >= 29900 from t"), [[1]]);
});

daemonTest("Writes are answered in time while a long log is copied, and cut it", async (it) => {
  await it.exec("create table t(a)");
  // 30 ms on an idle machine.
  await assertBelow(400, "an answer", async () => {
    await using reader = await Reader.start(it.daemon.file);
    await writeBytes(it, 100 * MIB);
    await reader.end();
    let slowest = 0;
    const giveUpAt = performance.now() + 10_000;
    for (let bytes = Infinity; bytes > 17 * MIB;) {
      const started = performance.now();
      await it.exec("insert into t values (1)");
      slowest = Math.max(slowest, performance.now() - started);
      assert.ok(started < giveUpAt, `${bytes} bytes are left`);
      bytes = (await it.status()).wal_bytes;
    }
    return slowest;
  });
});

daemonTest(
  "Writes are answered WAL_FULL at the limit, and go on at the reader's end",
  async (it) => {
    await it.exec("create table t(a)");
    await using reader = await Reader.start(it.daemon.file);
    let written = 0;
    const refused = await write(it, ({ status }) => status === "ok" && ++written < 1_000);
    assert.deepEqual([refused.code, refused.retry], ["WAL_FULL", "safe"]);
    assert.ok(written >= 38 && written <= 42, `${written} requests of 412 kB fit into 16 MiB`);
    const { rev, wal_held_ms: heldMs, wal_bytes: bytes, wal_limit_bytes: limit } = await it
      .status();
    assert.equal(limit, 16 * MIB);
    assert.ok(heldMs > 0 && bytes >= limit && bytes < 17 * MIB, `${heldMs} ms, ${bytes} bytes`);
    const again = await it.client.ask({ type: "ExecBatch", stmts: [{ sql: ROWS }] });
    assert.equal(again.code, "WAL_FULL");
    assert.deepEqual(await it.rows("select count(*) from t"), [[100 * written]], "reads go on");
    assert.match(it.daemon.log(), /The write-ahead log has reached its limit: writes are refused/);
    await reader.end();
    await until(async () => {
      const answer = await it.client.ask({ type: "ExecBatch", stmts: [{ sql: ROWS }] });
      if (answer.status === "ok") {
        assert.equal(answer.rev, rev + 1, "nothing was executed meanwhile");
      }
      return answer.status === "ok";
    }, 2_000);
    assert.deepEqual(await it.rows("select count(*) from t"), [[100 * (written + 1)]]);
    await writeBytes(it, 40 * MIB);
    await it.daemon.restart();
    await using client = await it.open(it.daemon.endpoint);
    const counted = await client.ask({ type: "Query", sql: "select count(*) from t" });
    assert.deepEqual(counted.rows, [[100 * (written + 1 + Math.ceil(40 * MIB / 350_000))]]);
  },
  { args: ["--wal-limit", "16MiB"] },
);

daemonTest("A log that a killed daemon left is copied and cut though nobody writes", async (it) => {
  await it.exec("create table t(a)");
  await using reader = await Reader.start(it.daemon.file);
  await writeBytes(it, 40 * MIB);
  await it.daemon.kill();
  await reader.end();
  assert.ok(Deno.lstatSync(`${it.daemon.file}-wal`).size > 40 * MIB);
  await it.daemon.restart();
  await using client = await it.open(it.daemon.endpoint);
  const bytes = async () => (await client.ask({ type: "Status" })).databases[0].wal_bytes;
  await until(async () => await bytes() < 1 * MIB, 10_000);
  const counted = await client.ask({ type: "Query", sql: "select count(*) from t" });
  assert.deepEqual(counted.rows, [[100 * Math.ceil(40 * MIB / 350_000)]]);
});
