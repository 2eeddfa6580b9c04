import assert from "node:assert/strict";
import { CallCosts } from "../../daemon/sqlite/call_costs.ts";
import { TemporaryConnection } from "./temporary_connection.ts";

function quickUpTo(...names: string[]): number {
  const costs = new CallCosts();
  for (const name of names) costs.add(name);
  return costs.quickUpTo;
}

const times = (count: number, name: string) => Array.from({ length: count }, () => name);

Deno.test("CallCosts.quickUpTo is smaller the more calls there are and the longer they take", () => {
  assert.equal(quickUpTo(), Infinity);
  assert.equal(quickUpTo("upper"), Infinity);
  assert.equal(quickUpTo(...times(1_000, "coalesce")), Infinity);
  assert.equal(quickUpTo(...times(16, "upper")), 1024 ** 2);
  assert.equal(quickUpTo("json_extract"), 2 * 1024 ** 2);
  assert.equal(quickUpTo("trim"), 2_048);
  assert.equal(quickUpTo(...times(100, "trim")), 204);
  assert.ok(quickUpTo("trim", "upper") < 2_048);
});

const SCHEMA = `
  create table plain(a, b);
  create table checked(a, b, check (length(TRIM (a, b)) > 0));
  create table made(a, b, c as (replace(a, b, '')));
  create table pattern(a, b check (a not Like b));
  create table document(a, b, c generated always as (a -> b) stored);
  create table indexed(a, b);
  create index indexed_i on indexed(instr(a, b));
  create table partial(a, b);
  create index partial_i on partial(a) where a glob b;
  create table caller(a);
  create trigger t after insert on caller begin insert into checked values (new.a, 1); end;
  create view seen as select c from made;
`;

const WARY = [
  "insert into checked values (?, ?)",
  "update checked set a = ?",
  "insert into checked select * from plain",
  "select c from made",
  "select * from seen",
  "insert into made(a) values (?)",
  "insert into pattern values (?, ?)",
  "insert into document(a, b) values (?, ?)",
  "insert into indexed values (?, ?)",
  "delete from indexed where a = 1",
  "insert into partial values (?, ?)",
  "insert into caller values (?)",
  "pragma integrity_check",
];

const QUICK = [
  "insert into plain values (?, ?)",
  "select * from checked",
  "select * from indexed where a = 1",
  "pragma table_info(checked)",
];

for (const sql of [...WARY, ...QUICK]) {
  const isWary = WARY.includes(sql);
  Deno.test(`Statement.quickUpTo is ${isWary ? "small" : "Infinity"}: ${sql}`, () => {
    using temporary = new TemporaryConnection();
    const { connection } = temporary;
    connection.exec(SCHEMA);
    connection.principal = "client";
    const statement = connection.prepare(sql).statement!;
    statement.finalize();
    assert.equal(statement.quickUpTo < Infinity, isWary);
  });
}

Deno.test("Statement.quickUpTo is that of the schema as it is now, whoever changed it", () => {
  using temporary = new TemporaryConnection();
  const { connection } = temporary;
  const another = temporary.another();
  const isWary = () => {
    connection.principal = "client";
    const statement = connection.prepare("insert into t values (1)").statement!;
    statement.finalize();
    connection.principal = "own";
    return statement.quickUpTo < Infinity;
  };
  connection.exec("create table t(a check (trim(a, a) = 1))");
  assert.ok(isWary());
  another.exec("drop table t; create table t(a)");
  assert.ok(!isWary());
  connection.exec("begin; drop table t; create table t(a check (a glob a))");
  assert.ok(isWary());
  connection.exec("rollback");
  assert.ok(!isWary());
});
