import assert from "node:assert/strict";
import { CostlyStatements } from "../../daemon/database/costly_statements.ts";
import { LIMITS } from "../../daemon/process/limits.ts";

const LARGE = LIMITS.largeFile.bytes;

/** Nobody has seen it yet. */
function fresh(sql: string, isLong = false) {
  return { sql, isLong, isSeenCheap: false, isBlind: false };
}

function cautionWith(costly: CostlyStatements, sql: string): number {
  return costly.cautionWith(fresh(sql));
}

function onLargeFile(): CostlyStatements {
  const costly = new CostlyStatements(() => LARGE);
  costly.look(0);
  return costly;
}

Deno.test("CostlyStatements.mark() takes a statement off the loop step by step, ease() back", () => {
  const costly = new CostlyStatements();
  assert.equal(cautionWith(costly, "select 1"), 0);
  costly.mark("select 1");
  costly.mark("select 1");
  assert.equal(cautionWith(costly, "select 1"), 1);
  costly.mark("select 1", 64);
  costly.mark("select 1", 1);
  assert.equal(cautionWith(costly, "select 1"), 64);
  assert.equal(cautionWith(costly, "select 2"), 0);
  costly.ease("select 1");
  costly.ease("select 1");
  assert.equal(cautionWith(costly, "select 1"), 1);
  costly.unmark(fresh("select 1"));
  assert.equal(cautionWith(costly, "select 1"), 0);
});

Deno.test("CostlyStatements forgets the oldest when there are too many", () => {
  const costly = new CostlyStatements();
  for (let i = 0; i <= LIMITS.costlyStatementsMax; i++) costly.mark(`select ${i}`);
  assert.equal(cautionWith(costly, "select 0"), 0);
  assert.equal(cautionWith(costly, "select 1"), 1);
});

Deno.test("CostlyStatements tells long texts of one beginning apart by their lengths", () => {
  const costly = new CostlyStatements();
  const long = `select '${"x".repeat(5_000)}'`;
  costly.mark(long);
  assert.equal(cautionWith(costly, long), 1);
  assert.equal(cautionWith(costly, long + " "), 0);
});

Deno.test("CostlyStatements takes what is new to a large file off the loop until its like was cheap", () => {
  const costly = onLargeFile();
  const statement = fresh("select a from t where id = 1");
  assert.equal(costly.cautionWith(statement), 1);
  costly.noteRun(statement, true);
  assert.equal(costly.cautionWith(statement), 0);
  assert.equal(cautionWith(costly, "select a from t where id = 2"), 0);
  assert.equal(cautionWith(costly, "select a from t where b = 2"), 1);
  costly.noteRun(fresh("select a from t where id = 3"), false);
  assert.equal(cautionWith(costly, "select a from t where id = 4"), 1);
});

Deno.test("CostlyStatements has nothing wait that is new to a large file, unless it is long by its nature", () => {
  const costly = onLargeFile();
  const full = { isFull: true };
  assert.equal(costly.cautionWith(fresh("select 1"), full), 0);
  assert.equal(costly.cautionWith(fresh("select 1")), 1);
  assert.equal(costly.cautionWith(fresh("analyze", true), full), 1);
  costly.mark("select 1");
  assert.equal(costly.cautionWith(fresh("select 1"), full), 1);
});

Deno.test("CostlyStatements keeps what is long by its nature off the loop of a large file", () => {
  const costly = onLargeFile();
  const statement = fresh("delete from t", true);
  assert.equal(costly.cautionWith(statement), 1);
  costly.noteRun(statement, true);
  costly.unmark(statement);
  assert.equal(costly.cautionWith(statement), 1);
  const write = { atomic: true, results: false, deadline: 0, units: 0 };
  assert.ok(costly.holds({ ...write, statements: [{ sql: statement.sql, params: [] }] }));
});

Deno.test("CostlyStatements takes what never looks at the clock off the loop of a small file until it was seen to end", () => {
  const costly = new CostlyStatements();
  const statement = { ...fresh("select count(*) from t", true), isBlind: true };
  assert.equal(costly.cautionWith(statement), 1);
  assert.equal(costly.cautionWith(statement, { isFull: true }), 0, "where it would have to wait");
  assert.equal(costly.cautionWith(statement), 1);
  costly.noteRun(statement, true);
  assert.equal(costly.cautionWith(statement), 0);
});

Deno.test("CostlyStatements asks for the file's size once a second", () => {
  let bytes = LARGE - 1;
  const costly = new CostlyStatements(() => bytes);
  costly.look(0);
  assert.equal(cautionWith(costly, "select 1"), 0);
  bytes++;
  costly.look(LIMITS.largeFile.lookMs - 1);
  assert.equal(cautionWith(costly, "select 1"), 0);
  costly.look(LIMITS.largeFile.lookMs);
  assert.equal(cautionWith(costly, "select 1"), 1);
});

Deno.test("CostlyStatements remembers so many cheap shapes, the last ones", () => {
  const costly = onLargeFile();
  for (let i = 0; i <= LIMITS.cheapShapesMax; i++) costly.noteRun(fresh(`select a${i}`), true);
  assert.equal(cautionWith(costly, "select a0"), 1);
  assert.equal(cautionWith(costly, "select a1"), 0);
});
