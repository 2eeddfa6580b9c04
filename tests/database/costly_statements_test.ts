import assert from "node:assert/strict";
import { CostlyStatements } from "../../daemon/database/costly_statements.ts";
import { LIMITS } from "../../daemon/process/limits.ts";

Deno.test("CostlyStatements.mark() takes a statement off the loop step by step", () => {
  const costly = new CostlyStatements();
  assert.equal(costly.steppingOf("select 1"), "inline");
  costly.mark("select 1");
  assert.equal(costly.steppingOf("select 1"), "mixed");
  costly.mark("select 1");
  costly.mark("select 1");
  assert.equal(costly.steppingOf("select 1"), "offLoop");
  assert.equal(costly.steppingOf("select 2"), "inline");
  costly.unmark("select 1");
  assert.equal(costly.steppingOf("select 1"), "inline");
});

Deno.test("CostlyStatements forgets the oldest when there are too many", () => {
  const costly = new CostlyStatements();
  for (let i = 0; i <= LIMITS.costlyStatementsMax; i++) costly.mark(`select ${i}`);
  assert.equal(costly.steppingOf("select 0"), "inline");
  assert.equal(costly.steppingOf("select 1"), "mixed");
});

Deno.test("CostlyStatements tells long texts of one beginning apart by their lengths", () => {
  const costly = new CostlyStatements();
  const long = `select '${"x".repeat(5_000)}'`;
  costly.mark(long);
  assert.equal(costly.steppingOf(long), "mixed");
  assert.equal(costly.steppingOf(long + " "), "inline");
});
