import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { Checkpoints } from "../../daemon/database/checkpoints.ts";
import { LIMITS } from "../../daemon/process/limits.ts";
import { silentLog } from "../../daemon/process/log.ts";
import type { Connection } from "../../daemon/sqlite/connection.ts";
import type { Statement } from "../../daemon/sqlite/statement.ts";
import { TemporaryConnection } from "../sqlite/temporary_connection.ts";

const MIB = 1024 * 1024;

/** Fills so many pages of 4 KiB. */
function rowsSql(count: number): string {
  return `with recursive n(i) as (select 1 union all select i + 1 from n where i < ${count})
    insert into t select zeroblob(3500) from n`;
}

/** A database of pages of 4 KiB, and its checkpoints; the test does what the queue does. */
class Guarded implements AsyncDisposable {
  readonly temporary = new TemporaryConnection();
  readonly connection: Connection;
  readonly checkpoints: Checkpoints;
  readonly warnings: string[] = [];
  woken = 0;

  constructor(walLimitBytes: number = LIMITS.walLimitBytes.default) {
    this.connection = this.temporary.connection;
    this.connection.wal.watch();
    this.connection.exec("pragma synchronous = off; create table t(a)");
    this.checkpoints = new Checkpoints({
      path: this.temporary.file,
      pageBytes: 4096,
      walLimitBytes,
      log: { ...silentLog, warn: (message) => this.warnings.push(message) },
      checkFiles: () => {},
      wake: () => this.woken++,
      reopen: () => {},
    });
  }

  /** Adds about so many frames to the log, by one commit, and has the maintenance done. */
  async write(frames: number): Promise<void> {
    this.connection.exec(rowsSql(frames));
    await this.run();
  }

  async run(): Promise<void> {
    await this.checkpoints.run(this.connection);
  }

  /** Does what the queue does when it is woken, until `check` holds. */
  async until(check: () => boolean, timeoutMs = 5_000): Promise<void> {
    const giveUpAt = performance.now() + timeoutMs;
    for (let seen = 0; !check(); await sleep(1)) {
      assert.ok(performance.now() < giveUpAt, `not so within ${timeoutMs} ms: ${check}`);
      const { woken } = this;
      if (woken > seen) await this.run();
      seen = woken;
    }
  }

  /** A reader that needs the file as it is now; finalize it to end it. */
  reader(): Statement {
    const { statement } = this.temporary.another({ readOnly: true }).prepare(
      "select 1 from sqlite_schema",
    );
    assert.ok(statement!.step());
    return statement!;
  }

  get fileBytes(): number {
    return this.checkpoints.fileBytes;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.checkpoints.close();
    this.temporary[Symbol.dispose]();
  }
}

Deno.test("Checkpoints.run() copies the log every 1,000 frames, so that it stays short", async () => {
  await using guarded = new Guarded();
  const { checkpoints, connection } = guarded;
  for (let i = 0; i < 60; i++) {
    await guarded.write(100);
    assert.ok(connection.wal.frames < LIMITS.checkpointFrames + 110, `${connection.wal.frames}`);
    assert.equal(checkpoints.framesLeft, 0);
  }
  assert.ok(guarded.fileBytes < 5 * MIB, `${guarded.fileBytes} bytes`);
  assert.equal(guarded.woken, 0);
});

Deno.test("Checkpoints.run() leaves a backlog to another thread while writes go on", async () => {
  await using guarded = new Guarded();
  const { checkpoints, connection } = guarded;
  await guarded.write(10_000);
  const { size } = Deno.statSync(guarded.temporary.file);
  let writes = 0;
  for (const giveUpAt = performance.now() + 5_000; guarded.woken === 0; writes++) {
    assert.ok(performance.now() < giveUpAt, "nobody is woken for the rest");
    await guarded.write(1);
    await sleep(0);
  }
  assert.ok(size < 30 * MIB, `the loop waited until ${size} bytes were copied`);
  assert.ok(writes > 1, `${writes} writes meanwhile`);
  await guarded.run();
  assert.equal(checkpoints.framesLeft, 0);
  await guarded.write(1);
  assert.ok(connection.wal.frames < 10, `the log starts over: ${connection.wal.frames}`);
  assert.deepEqual(guarded.warnings, []);
});

Deno.test("Checkpoints cuts a large log in pieces while writes come", async () => {
  await using guarded = new Guarded();
  const reader = guarded.reader();
  for (let i = 0; i < 4; i++) await guarded.write(6_000);
  reader.finalize();
  const sizes = [guarded.fileBytes];
  for (const giveUpAt = performance.now() + 5_000; sizes.at(-1)! > LIMITS.walKeptBytes;) {
    assert.ok(performance.now() < giveUpAt, `${sizes.at(-1)} bytes are left`);
    await guarded.write(1);
    sizes.push(guarded.fileBytes);
    await sleep(1);
  }
  assert.ok(sizes[0] > 90 * MIB, `${sizes[0]}`);
  assert.ok(sizes.every((size, i) => i === 0 || sizes[i - 1] - size <= LIMITS.walCutBytes));
  assert.equal(sizes.at(-1), LIMITS.walKeptBytes);
});

Deno.test("Checkpoints has a large log start over though readers come all the time", async () => {
  await using guarded = new Guarded();
  const { connection } = guarded;
  const readers = [1, 2, 3].map(() => guarded.reader());
  const overlapping = setInterval(() => {
    const oldest = readers.shift()!;
    oldest.reset();
    assert.ok(oldest.step());
    readers.push(oldest);
  }, 4);
  try {
    let longest = 0;
    const giveUpAt = performance.now() + 5_000;
    while (longest < 5_000 || connection.wal.frames > 1_000) {
      assert.ok(performance.now() < giveUpAt, `${connection.wal.frames} frames`);
      await guarded.write(20);
      longest = Math.max(longest, connection.wal.frames);
      await sleep(1);
    }
  } finally {
    clearInterval(overlapping);
    for (const reader of readers) reader.finalize();
  }
});

Deno.test("Checkpoints wakes its owner until a large log is cut, then rests", async () => {
  await using guarded = new Guarded();
  const reader = guarded.reader();
  await guarded.write(6_000);
  assert.equal(guarded.woken, 0);
  await guarded.until(() => guarded.woken >= 2);
  assert.ok(guarded.fileBytes > 20 * MIB);
  reader.finalize();
  await guarded.until(() => guarded.fileBytes === 0);
  const { woken } = guarded;
  await sleep(1.5 * LIMITS.checkpointRetryMs);
  assert.equal(guarded.woken, woken);
});

Deno.test("Checkpoints.heldMs rises while a reader holds the log back", async () => {
  await using guarded = new Guarded();
  const { checkpoints } = guarded;
  const reader = guarded.reader();
  await guarded.write(500);
  assert.equal(checkpoints.heldMs, 0);
  await guarded.write(600);
  const first = checkpoints.heldMs;
  await sleep(50);
  await guarded.write(1_100);
  await guarded.until(() => checkpoints.framesLeft > 2_000);
  assert.ok(first > 0 && checkpoints.heldMs >= first + 45, `${first}, then ${checkpoints.heldMs}`);
  reader.finalize();
  await guarded.until(() => checkpoints.framesLeft === 0 && checkpoints.heldMs === 0);
});

Deno.test("Checkpoints.refusal() refuses writes at the limit, until the log starts over", async () => {
  await using guarded = new Guarded(16 * MIB);
  const { checkpoints, connection } = guarded;
  const reader = guarded.reader();
  await guarded.write(3_900);
  assert.equal(checkpoints.refusal(connection), undefined);
  await guarded.write(300);
  const refusal = checkpoints.refusal(connection);
  assert.deepEqual([refusal?.code, refusal?.retry], ["WAL_FULL", "safe"]);
  assert.deepEqual(guarded.warnings, [
    "The write-ahead log has reached its limit: writes are refused",
  ]);
  reader.finalize();
  const giveUpAt = performance.now() + 700;
  while (checkpoints.refusal(connection)) {
    assert.ok(performance.now() < giveUpAt, "a refused write asks for a checkpoint");
    await guarded.run();
    await sleep(1);
  }
  assert.equal(guarded.fileBytes > 16 * MIB, true, "writes need not wait until the file is cut");
});

Deno.test("Checkpoints.refusal() asks for no more than ten checkpoints a second", async () => {
  await using guarded = new Guarded(1 * MIB);
  const { checkpoints, connection } = guarded;
  const reader = guarded.reader();
  await guarded.write(300);
  let count = 0;
  const { wal } = connection;
  const checkpoint = wal.checkpoint.bind(wal);
  wal.checkpoint = () => {
    count++;
    return checkpoint();
  };
  for (const until = performance.now() + 350; performance.now() < until; await sleep(1)) {
    assert.equal(checkpoints.refusal(connection)?.code, "WAL_FULL");
    await guarded.run();
  }
  assert.ok(count >= 2 && count <= 4, `${count} in 350 ms`);
  reader.finalize();
});

Deno.test("Checkpoints.close() waits for what is copied beside the loop", async () => {
  const { checkpoints, connection, temporary } = new Guarded();
  connection.exec(rowsSql(10_000));
  await checkpoints.run(connection);
  await checkpoints.close();
  connection.close();
  const left = [...Deno.readDirSync(temporary.folder)].map(({ name }) => name);
  assert.deepEqual(left, ["app.db"], "that was the last connection to the file");
  Deno.removeSync(temporary.folder, { recursive: true });
});

Deno.test("Checkpoints.run() goes on after close()", async () => {
  await using guarded = new Guarded();
  await guarded.write(10_000);
  await guarded.checkpoints.close();
  assert.equal(guarded.woken, 0, "its owner is busy");
  await guarded.write(1_100);
  assert.equal(guarded.checkpoints.framesLeft, 0);
  assert.ok(Deno.lstatSync(guarded.temporary.file).size > 11_000 * 4096);
});
