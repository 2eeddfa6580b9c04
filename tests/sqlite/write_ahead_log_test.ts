import assert from "node:assert/strict";
import { SqliteError } from "../../daemon/sqlite/errors.ts";
import { TemporaryConnection } from "./temporary_connection.ts";

const isBusy = (error: unknown) => error instanceof SqliteError && error.codeName === "SQLITE_BUSY";

function logOf({ connection }: TemporaryConnection) {
  connection.wal.watch();
  connection.exec("create table t(a); insert into t values (randomblob(100000))");
  return connection.wal;
}

function logBytes({ file }: TemporaryConnection): number {
  return Deno.lstatSync(`${file}-wal`).size;
}

Deno.test("WriteAheadLog counts the log's frames, and truncate() cuts it", () => {
  using temporary = new TemporaryConnection();
  const wal = logOf(temporary);
  assert.ok(wal.frames > 25, `${wal.frames} frames`);
  assert.deepEqual(wal.checkpoint(), { frames: wal.frames, copied: wal.frames });
  wal.truncate();
  assert.deepEqual([wal.frames, logBytes(temporary)], [0, 0]);
});

Deno.test("WriteAheadLog.restart() has the log start over and keeps its file", () => {
  using temporary = new TemporaryConnection();
  const wal = logOf(temporary);
  const bytes = logBytes(temporary);
  wal.restart();
  assert.equal(wal.frames, 0);
  temporary.connection.exec("insert into t values (1)");
  assert.ok(wal.frames < 5, `${wal.frames} frames`);
  assert.equal(logBytes(temporary), bytes);
});

Deno.test("WriteAheadLog.checkpoint() copies no more than readers allow", () => {
  using temporary = new TemporaryConnection();
  const wal = logOf(temporary);
  const { statement } = temporary.another({ readOnly: true }).prepare("select a from t");
  statement!.step();
  temporary.connection.exec("insert into t values (randomblob(50000))");
  const { frames, copied } = wal.checkpoint();
  assert.ok(copied < frames, `${copied} of ${frames}`);
  assert.throws(() => wal.truncate(), isBusy);
  assert.throws(() => wal.restart(), isBusy);
  statement!.finalize();
  assert.equal(wal.checkpoint().copied, frames);
});

Deno.test("WriteAheadLog copies, syncs and truncates beside the loop while another writes", async () => {
  using temporary = new TemporaryConnection();
  const { connection } = temporary;
  const wal = logOf(temporary);
  const other = temporary.another();
  other.get("select 1 from sqlite_schema");
  const copying = other.wal.checkpointOffLoop();
  const syncing = other.wal.syncDatabaseOffLoop();
  connection.exec("insert into t values (2)");
  const { frames, copied } = await copying;
  await syncing;
  assert.equal(copied, frames);
  await wal.truncateOffLoop();
  assert.deepEqual([wal.frames, logBytes(temporary)], [0, 0]);
  assert.deepEqual(other.get("select count(*) from t"), [2]);
});
