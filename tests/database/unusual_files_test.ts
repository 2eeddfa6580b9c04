/** Files that other programs made otherwise than the daemon would: each is served as any, and stays as it is. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Database } from "../../daemon/database/database.ts";
import { SkylineError } from "../../client/errors.ts";
import { isDone, Replay, type Write, type WriteOutcome } from "../../daemon/database/write.ts";
import { LIMITS } from "../../daemon/process/limits.ts";
import { openDatabase } from "../faults/open_database.ts";

/** SQL that another program makes its file with; or does to one, after the daemon had it open. */
const MADE: Record<string, string> = {
  "UTF-16, the lower byte first": "pragma encoding = 'UTF-16le'",
  "UTF-16, the higher byte first": "pragma encoding = 'UTF-16be'",
  "pages of 512 bytes": "pragma page_size = 512",
  "pages of 65,536 bytes": "pragma page_size = 65536",
  "auto_vacuum": "pragma auto_vacuum = full",
  "auto_vacuum, incremental": "pragma auto_vacuum = incremental",
  "numbers of its own": "pragma user_version = -7; pragma application_id = 1234567",
  "a long schema": Array.from({ length: 300 }, (_, i) => `create table "t ${i}"(a)`).join(";"),
};
const DONE: Record<string, string> = {
  "journal_mode delete": "pragma journal_mode = delete",
  "journal_mode truncate": "pragma journal_mode = truncate",
  "journal_mode persist": "pragma journal_mode = persist; insert into mine values (2)",
  "locking_mode exclusive": "pragma locking_mode = exclusive; insert into mine values (2)",
  "other pages": "pragma journal_mode = delete; pragma page_size = 1024; vacuum",
  "auto_vacuum": "pragma auto_vacuum = incremental; vacuum; pragma incremental_vacuum",
  "secure_delete": "pragma secure_delete = on; delete from mine",
  "ANALYZE": "create index i on mine(a); analyze",
};

const SETTINGS = ["encoding", "page_size", "auto_vacuum", "user_version", "application_id"];

async function inFolder(work: (file: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "skylinedb-unusual-"));
  try {
    await work(join(folder, "app.db"));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function elsewhere<T>(file: string, work: (other: DatabaseSync) => T): T {
  const other = new DatabaseSync(file);
  try {
    return work(other);
  } finally {
    other.close();
  }
}

const settings = (file: string) =>
  elsewhere(
    file,
    (other) => SETTINGS.map((name) => Object.values(other.prepare(`pragma ${name}`).get()!)[0]),
  );

function write(database: Database, fields: Partial<Write>, sql = "insert into mine values (?)") {
  return database.write({
    statements: [{ sql, params: ["\u{1f600}\u00e9"] }],
    atomic: true,
    results: true,
    deadline: performance.now() + 60_000,
    units: 1,
    ...fields,
  });
}

const shown = (outcome: WriteOutcome) =>
  outcome instanceof SkylineError
    ? `${outcome.code} ${outcome.message}`
    : outcome instanceof Replay
    ? "again"
    : isDone(outcome) && "done";

const session = (seq: number) => ({ session: { client: "\u00e9", seq, acked: 0 } });
const keyed = { key: "\u{1f600}" };
const INSERTS = [session(1), keyed];

/** Serves it, as one that may be known from before. */
async function serve(file: string, expected: string): Promise<void> {
  const database = await openDatabase(file, "normal");
  try {
    for (const fields of INSERTS) assert.equal(shown(await write(database, fields)), expected);
    assert.equal(shown(await write(database, {})), "done");
    assert.equal(shown(await write(database, {}, "select ?")), "done");
  } finally {
    await database.close();
  }
  elsewhere(file, (other) => {
    assert.deepEqual(Object.values(other.prepare("pragma integrity_check").get()!), ["ok"]);
    // All that the daemon counts is in bytes as the file holds them.
    const bytes = other.prepare(
      `select (select at from _skylinedb_clients where client = '') at,
        (select sum(40 + octet_length(key) + octet_length(fingerprint) + octet_length(answer))
          from _skylinedb_keys where id > 0) held`,
    ).get()!;
    assert.ok(Number(bytes.held) > 0);
    assert.equal(bytes.at, bytes.held);
  });
}

/** A day later it is all forgotten. */
async function forget(file: string): Promise<void> {
  const clock = Date.now;
  const { now } = performance;
  const database = await openDatabase(file, "normal");
  try {
    Date.now = () => clock() + 25 * 3_600_000;
    const then = now.call(performance) + 2 * LIMITS.sweepMs;
    // It stands still, so that no bound of time ends the sweep early, however busy the machine.
    performance.now = () => then;
    await write(database, {});
  } finally {
    Date.now = clock;
    performance.now = now;
    await database.close();
  }
  const left = elsewhere(file, (other) =>
    other.prepare(
      `select (select count(*) from _skylinedb_keys where id > 0) + (select count(*) - 1 from _skylinedb_clients)
        + (select at from _skylinedb_clients where client = '') n`,
    ).get()!.n);
  assert.equal(left, 0);
}

for (const [name, sql] of Object.entries(MADE)) {
  Deno.test(`a file is served that was made with ${name}`, () =>
    inFolder(async (file) => {
      elsewhere(file, (other) => other.exec(`${sql}; create table mine(a)`));
      const before = settings(file);
      await serve(file, "done");
      await serve(file, "again");
      await forget(file);
      assert.deepEqual(settings(file), before);
    }));
}

for (const [name, sql] of Object.entries(DONE)) {
  Deno.test(`a file is served after another program has done ${name}`, () =>
    inFolder(async (file) => {
      elsewhere(file, (other) => other.exec("create table mine(a); insert into mine values (1)"));
      await serve(file, "done");
      elsewhere(file, (other) => other.exec(sql));
      const before = settings(file);
      await serve(file, "again");
      await forget(file);
      assert.deepEqual(settings(file), before);
    }));
}

Deno.test("a file is served whose pages have bytes that are not SQLite's, and one of the oldest format", async () => {
  await inFolder(async (file) => {
    elsewhere(file, (other) => other.exec("pragma user_version = 1"));
    const bytes = readFileSync(file);
    const pageBytes = bytes.length;
    bytes[20] = 8; // so many at the end of each page
    bytes.writeUInt16BE(pageBytes - 8, 105); // where the content begins: it has none
    writeFileSync(file, bytes);
    elsewhere(file, (other) => other.exec("create table mine(a)"));
    await serve(file, "done");
    await serve(file, "again");
    await forget(file);
    assert.equal(readFileSync(file)[20], 8);
  });
  await inFolder(async (file) => {
    elsewhere(file, (other) => other.exec("create table mine(a)"));
    const bytes = readFileSync(file);
    bytes.writeUInt32BE(1, 44);
    writeFileSync(file, bytes);
    await serve(file, "done");
    await serve(file, "again");
    await forget(file);
    assert.equal(readFileSync(file).readUInt32BE(44), 1);
  });
});
