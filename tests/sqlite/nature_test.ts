import assert from "node:assert/strict";
import { TemporaryConnection } from "./temporary_connection.ts";

const SCHEMA = `
  create table t(a, b);
  create index t_b on t(b);
  create table parent(id integer primary key);
  create table child(parent references parent(id) on delete cascade);
  create table log(a);
  create trigger t_log after delete on t begin delete from log where a = old.a; end;
  create table emptied(a);
  create trigger emptied_log after insert on emptied begin delete from log; end;
  create view v as select a from t;
  create virtual table words using fts5(text);
`;

const LONG = [
  "select count(*) from log",
  "select count(1) from log",
  "select (select count(*) from log), 1",
  "delete from log",
  "delete from log where 1",
  "delete from log where ?",
  "insert into emptied values (1)",
  "drop table log",
  "drop table words",
  "drop index t_b",
  "create index t_a on t(a)",
  "reindex t_b",
  "analyze",
  "analyze log",
  "alter table t add column c",
  "alter table t drop column a",
  "alter table log rename to log2",
  "PRAGMA Integrity_Check",
  "pragma quick_check(3)",
  "pragma foreign_key_check",
  "pragma optimize",
];

const SHORT = [
  "select * from t",
  "select a from v",
  "select count(*) from log where a = 1",
  "select count(a) from log",
  "select exists (select 1 from log)",
  "delete from t where a = 1",
  "delete from log where rowid = 1",
  "delete from log as l where l.a = 1",
  "delete from parent where id = 1",
  "update t set a = 1",
  "insert into t values (1, 2), (3, 4)",
  "replace into parent values (1)",
  "insert into words values ('x')",
  "create table u(a)",
  "pragma table_info(t)",
];

/** Of those. */
const BLIND = new Set([...LONG.slice(0, LONG.indexOf("drop index t_b") + 1)]);

function natureOf(sql: string): { isLong: boolean; isBlind: boolean } {
  using temporary = new TemporaryConnection();
  const { connection } = temporary;
  connection.exec("pragma foreign_keys = 1;" + SCHEMA);
  connection.principal = "client";
  const statement = connection.prepare(sql).statement!;
  statement.finalize();
  return statement;
}

for (const sql of LONG) {
  Deno.test(`Nature.isLong is true: ${sql}`, () => {
    const { isLong, isBlind } = natureOf(sql);
    assert.equal(isLong, true);
    assert.equal(isBlind, BLIND.has(sql));
  });
}

for (const sql of SHORT) {
  Deno.test(`Nature.isLong is false: ${sql}`, () => {
    const { isLong, isBlind } = natureOf(sql);
    assert.ok(!isLong && !isBlind);
  });
}
