/** Rows of the daemon's own tables to which another program has written anything. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import fc from "fast-check";
import { SkylineError } from "../../client/errors.ts";
import type { Database } from "../../daemon/database/database.ts";
import { Replay, type Write, type WriteOutcome } from "../../daemon/database/write.ts";
import { LIMITS } from "../../daemon/process/limits.ts";
import { ExactlyOnce } from "../../daemon/database/exactly_once.ts";
import { rowsUntil } from "../../daemon/database/own_rows.ts";
import { openDatabase } from "../faults/open_database.ts";
import { Commits, shown } from "./commits.ts";

const CLIENTS = "_skylinedb_clients", KEYS = "_skylinedb_keys";
const RIGHT_KEY = "'0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef'";

/** What may stand in a column, as SQL. */
const VALUES = [
  "x'00'",
  "x'2031'",
  "''",
  "'no JSON'",
  "'!{'",
  "'![]'",
  "'!null'",
  "'!{\"code\":7}'",
  '\'!{"code":"SQL_ERROR","message":"m","retry":"yes"}\'',
  "'1 1 {}'",
  "'1 1 [1]'",
  '\'1 1 []],"status":"error"\'',
  "'99999999999999999999 1'",
  "'9007199254740993 1'",
  "'1 99999999999999999999'",
  "cast(x'ff' as text)",
  "char(10)",
  "replace(hex(zeroblob(50000)), '0', char(10))",
  "replace(hex(zeroblob(9000000)), '00', 'ab')",
  "zeroblob(17000000)",
  "0",
  "-1",
  "1.5",
  "1e300",
  "9e999",
  "9007199254740993",
  "9223372036854775807",
  "-9223372036854775808",
  RIGHT_KEY,
  "NULL",
];

const COLUMNS = [
  ...["client", "seq", "answers", "at"].map((column) => [CLIENTS, "client = 'forged'", column]),
  ...["id", "key", "fingerprint", "answer", "at"].map((column) => [KEYS, "key = 'forged'", column]),
] as const;

/**
 * Forges it as another program does, which may leave out a NOT NULL for as long as it takes; false where SQLite itself refuses
 * it, such as a text as a rowid.
 */
function forge(file: string, table: string, where: string, column: string, value: string): boolean {
  // Deno's types do not know of it yet.
  const options = { defensive: false } as ConstructorParameters<typeof DatabaseSync>[1];
  const other = new DatabaseSync(file, options);
  try {
    if (value !== "NULL") {
      other.exec(`update ${table} set ${column} = ${value} where ${where}`);
      return true;
    }
    const [{ sql }] = other.prepare("select sql from sqlite_master where name = ?").all(
      table,
    ) as unknown as { sql: string }[];
    const set = (text: string) => {
      other.prepare("update sqlite_master set sql = ? where name = ?").run(text, table);
      other.exec("pragma writable_schema = reset; pragma writable_schema = on");
    };
    other.exec("pragma writable_schema = on");
    set(sql.replaceAll(" NOT NULL", ""));
    try {
      other.exec(`update ${table} set ${column} = NULL where ${where}`);
    } finally {
      set(sql);
    }
    return true;
  } catch (error) {
    assert.match(String(error), /mismatch|constraint failed/i, `${column} = ${value}`);
    return false;
  } finally {
    other.close();
  }
}

const insert = (value: string, fields: Partial<Write> = {}): Partial<Write> => ({
  statements: [{ sql: "insert into t values (?)", params: [value] }],
  ...fields,
});
const numbered = (client: string, seq: number, acked = 0) =>
  insert(`${client} ${seq}`, { session: { client, seq, acked } });
const keyed = (key: string) => insert(`key ${key}`, { key });

/** A refusal that says that nobody knows, or that somebody else wrote to it. */
function isRefused(outcome: WriteOutcome | undefined): boolean {
  return outcome instanceof SkylineError &&
    ["CLIENT_FORGOTTEN", "OUTCOME_UNKNOWN", "KEY_REUSED", "SEQUENCE_GAP"].includes(outcome.code);
}

/** An answer of before that can be sent: it says nothing beside what it is to say. */
function isReplay(outcome: WriteOutcome | undefined): boolean {
  if (!(outcome instanceof Replay)) return false;
  if (outcome.outcome instanceof SkylineError) return typeof outcome.outcome.code === "string";
  const { rev, rowsAffected, results = "[]" } = outcome.outcome;
  return Number.isSafeInteger(rev) && Number.isSafeInteger(rowsAffected) &&
    JSON.parse(results).every((result: unknown) => typeof result === "object");
}

/** Both known clients, both known keys, as they are sent again or go on; and who has nothing to do with it. */
const AGAIN = [
  insert("before"),
  numbered("forged", 2),
  numbered("other", 2),
  keyed("forged"),
  keyed("other"),
  numbered("forged", 3),
  numbered("other", 3),
  keyed("new"),
  insert("after"),
];
const OF_OTHERS = [0, 2, 4, 6, 7, 8], OF_FORGED = [1, 3];

/** The file of a database that knows two clients and two keys, as bytes. */
async function known(): Promise<Uint8Array> {
  return await inFolder(async (file) => {
    const database = await openDatabase(file, "normal");
    await group(database, [
      insert("x", { statements: [{ sql: "create table t(a unique)", params: [] }] }),
    ]);
    await group(database, [numbered("forged", 1), numbered("forged", 2), insert("x")]);
    const others = [numbered("other", 1), numbered("other", 2), keyed("forged"), keyed("other")];
    await group(database, others);
    await database.close();
    return Deno.readFileSync(file);
  });
}

async function inFolder<T>(work: (file: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "skylinedb-forged-"));
  try {
    return await work(join(folder, "app.db"));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** By how much time seems to have passed, in milliseconds. */
let passed = 0;

/** What comes at one time shares a commit, which also looks for what is too old. */
async function group(database: Database, writes: Partial<Write>[]): Promise<WriteOutcome[]> {
  const { now } = performance;
  passed += 2 * LIMITS.sweepMs;
  performance.now = () => now.call(performance) + passed;
  try {
    return await Promise.all(writes.map((fields) =>
      database.write({
        statements: [],
        atomic: true,
        results: false,
        deadline: performance.now() + 60_000,
        units: 1,
        ...fields,
      })
    ));
  } finally {
    performance.now = now;
  }
}

for (const [table, where, column] of COLUMNS) {
  Deno.test(`anything in ${table}.${column} concerns nobody but whose row it is`, async () => {
    const bytes = await known();
    for (const value of VALUES) {
      await inFolder(async (file) => {
        Deno.writeFileSync(file, bytes);
        if (forge(file, table, where, column, value)) await checkForged(file, column, value);
      });
    }
  });
}

const blobSql = (bytes: Uint8Array) => `x'${Buffer.from(bytes).toString("hex")}'`;
const textSql = (text: string) => `cast(${blobSql(Buffer.from(text))} as text)`;

/** Any value; more often than by chance one that is nearly as the daemon writes it. */
const ANY_VALUE = fc.oneof(
  fc.uint8Array({ maxLength: 40 }).map(blobSql),
  fc.string({ unit: "binary", maxLength: 40 }).map(textSql),
  fc.bigInt({ min: -(2n ** 63n) + 1n, max: 2n ** 63n - 1n }).map(String),
  fc.integer().map(String),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((number) => number.toExponential()),
  fc.tuple(
    fc.constantFrom(
      "2 1",
      '3 1 [{"changes":1,"last_insert_rowid":1}]',
      '!{"code":"A","message":"b","retry":"no"}',
    ),
    fc.nat(50),
    fc.nat(5),
    fc.constantFrom("", "\n", " ", "[", "}", '"', "9", "\0", "null", "1 1\n2 1"),
  ).map(([text, at, length, put]) => textSql(text.slice(0, at) + put + text.slice(at + length))),
);

Deno.test("any value in any column concerns nobody but whose row it is", async () => {
  const bytes = await known();
  const forged = fc.asyncProperty(
    fc.constantFrom(...COLUMNS),
    ANY_VALUE,
    ([table, where, column], value) =>
      inFolder(async (file) => {
        Deno.writeFileSync(file, bytes);
        if (forge(file, table, where, column, value)) await checkForged(file, column, value);
      }),
  );
  await fc.assert(forged, { numRuns: 150 });
});

async function checkForged(file: string, column: string, value: string): Promise<void> {
  const database = await openDatabase(file, "normal");
  try {
    const outcomes = await group(database, AGAIN);
    const what = `${column} = ${value}: ${JSON.stringify(outcomes)}`;
    const ofOthers = OF_OTHERS.map((i) => shown(outcomes[i]));
    assert.ok(ofOthers.every((rev) => typeof rev === "number"), what);
    // Nothing of the forged client or key took effect twice: where its row has gone, the UNIQUE of the table says so.
    for (const i of OF_FORGED) {
      const isRemoved = ["client", "key"].includes(column) && shown(outcomes[i]) === "SQL_ERROR";
      assert.ok(isReplay(outcomes[i]) || isRefused(outcomes[i]) || isRemoved, what);
    }
    await checkLater(database, what);
  } finally {
    await database.close();
  }
}

/** When all is a day old, the rows of others are swept, whatever is in the way. */
async function checkLater(database: Database, what: string): Promise<void> {
  const clock = Date.now;
  Date.now = () => clock() + 25 * 3_600_000;
  try {
    for (let i = 0; i < 3; i++) {
      const outcomes = await group(database, [insert(`later ${i}`), numbered(`later ${i}`, 1)]);
      assert.ok(outcomes.every((outcome) => !(outcome instanceof SkylineError)), what);
    }
    const [, again] = await group(database, [insert("later"), keyed("other")]);
    // Known no more, it is tried again, and fails for the row that it made.
    assert.equal(shown(again), "SQL_ERROR", `the key is forgotten after a day: ${what}`);
    const client = await group(database, [numbered("other", 4, 3)]);
    assert.equal(shown(client[0]), "CLIENT_FORGOTTEN", what);
  } finally {
    Date.now = clock;
  }
}

Deno.test("a session goes on whose row another program makes or removes while it is known", async () => {
  using it = new Commits();
  const { connection } = it.temporary;
  const late = insert("late", { session: { client: "a", seq: 1, acked: 0 }, deadline: 0 });
  assert.equal(shown((await it.group(late)).outcomes[0]), "TIMEOUT");
  connection.exec(`insert into ${CLIENTS} values ('a', 7, '', 0)`);
  assert.deepEqual((await it.group(numbered("a", 1), insert("x"))).outcomes.map(shown), [1, 2]);
  connection.exec(`delete from ${CLIENTS} where client = 'a'`);
  assert.deepEqual((await it.group(numbered("a", 2), insert("y"))).outcomes.map(shown), [3, 4]);
  it.writer.once.releaseMemory();
  const { outcomes } = await it.group(numbered("a", 1), numbered("a", 2), numbered("a", 3));
  assert.deepEqual(outcomes.map(shown), [1, 3, 5]);
});

Deno.test("a row of a clock that was behind lives a day from when the clock is right", async () => {
  using it = new Commits();
  const clock = Date.now;
  const next = async (now: number, value: string) => {
    Date.now = () => now;
    passed += 2 * LIMITS.sweepMs;
    const { outcomes } = await it.group(insert(value), keyed("k"), numbered("a", 1));
    return outcomes.map(shown);
  };
  const { now } = performance;
  try {
    assert.deepEqual(await next(60_000, "1970"), [1, 2, 3]);
    performance.now = () => now.call(performance) + passed;
    assert.deepEqual(await next(clock(), "now"), [4, 2, 3]);
    it.writer.once.releaseMemory();
    assert.deepEqual(await next(clock() + 1_000, "then"), [5, 2, 3]);
    await next(clock() + 25 * 3_600_000, "later");
    const left = `select (select count(*) from ${CLIENTS} where client = 'a'),
      (select count(*) from ${KEYS} where key = 'k')`;
    assert.deepEqual(it.temporary.connection.get(left), [0, 0]);
  } finally {
    performance.now = now;
    Date.now = clock;
  }
});

Deno.test("keys that come after one of the highest number are numbered in their order again", async () => {
  using it = new Commits();
  const { connection } = it.temporary;
  await it.group(keyed("a"));
  connection.exec(`update ${KEYS} set id = 9223372036854775807 where key = 'a'`);
  await it.group(keyed("b"), keyed("c"));
  const { now } = performance;
  try {
    passed += 2 * LIMITS.sweepMs;
    performance.now = () => now.call(performance) + passed;
    await it.group(insert("x"));
  } finally {
    performance.now = now;
  }
  await it.group(keyed("d"));
  const ids =
    `select min(id) > 0, max(id) < 10, (select key from ${KEYS} order by id desc) from ${KEYS} where id <> 0`;
  assert.deepEqual(connection.get(ids), [1, 1, "d"]);
  assert.deepEqual((await it.group(keyed("a"), keyed("c"))).outcomes.map(shown), [1, 3]);
});

Deno.test("a count of bytes that the file cannot hold refuses no key, and is put right", async () => {
  using it = new Commits();
  const { connection } = it.temporary;
  await it.group(keyed("a"));
  connection.exec(`update ${CLIENTS} set at = ${2 ** 50} where client = ''`);
  reopen(it);
  assert.deepEqual((await it.group(keyed("b"))).outcomes.map(shown), [2]);
  const [counted, held] = connection.get(
    `select at, (select sum(40 + length(key) + length(fingerprint) + length(answer)) from ${KEYS} where id > 0)
      from ${CLIENTS} where client = ''`,
  )!;
  assert.equal(counted, held);
});

Deno.test("a key whose row has the number of the count's is remembered all the same", async () => {
  using it = new Commits();
  const { connection } = it.temporary;
  await it.group(keyed("a"));
  connection.exec(`delete from ${KEYS} where id = 0; update ${KEYS} set id = 0 where key = 'a'`);
  reopen(it);
  await it.group(keyed("b"));
  assert.deepEqual((await it.group(keyed("a"))).outcomes.map(shown), [1]);
});

Deno.test("rowsUntil() gives the rows before one that SQLite finds too long", () => {
  using it = new Commits();
  const { connection } = it.temporary;
  const { statement } = connection.prepare("select 1 union all select zeroblob(17000000)");
  assert.deepEqual(rowsUntil(statement!, [], Infinity), { rows: [[1]], areAll: true });
  statement!.finalize();
});

/** As a daemon that opens the file now: it knows what the file does. */
function reopen({ writer }: Commits): void {
  writer.once.finalize();
  Object.assign(writer, { once: new ExactlyOnce(writer.connection) });
}
