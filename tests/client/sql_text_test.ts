/** What the client reads from the text of SQL. */
import assert from "node:assert/strict";
import { isScript, isWriting } from "../../client/sql_text.ts";

Deno.test("the text tells whether a statement writes", () => {
  const writing = [
    "insert into t values (1) returning a",
    "\n-- a\n/* select */ REPLACE into t values (1)",
    "with x as (select 1) insert into t select * from x returning a",
    "WITH RECURSIVE replace(a, b) AS NOT MATERIALIZED (select ')', 2), [y)] as (values (1)) /* ( */ delete from t",
    'with "a(" as (select (1)), b as (select 2) update t set a = 1',
    "pragma user_version = 7",
    "pragma main.application_id(7)",
    "drop table t",
    "analyze",
  ];
  for (const sql of writing) assert.equal(isWriting(sql), true, sql);
  const reading = [
    "select 'insert'",
    "values (1)",
    "with replace as (select 1) select * from replace",
    "with x(update_) as (select 'a) insert') select replace(1, 2, 3) from x",
    "explain insert into t values (1)",
    "pragma user_version",
    "pragma table_info(user_version)",
    "/* insert */",
    "",
    "with",
    "insertion",
  ];
  for (const sql of reading) assert.equal(isWriting(sql), false, sql);
});

Deno.test("the text tells whether it is several statements", () => {
  const trigger =
    "create temp trigger a after insert on t begin select case when 1 then 2 end; delete from t; end";
  const one = [
    "select 1",
    "select 1;",
    "select 1; ;\n-- b; c\n/* ; */ ;",
    "select ';', \";\", `;`, [;], 'it''s; so' /* ; */ -- ; x",
    "select $a(;b)",
    "select '; select 2",
    trigger,
    trigger + " ; ",
    "explain query plan " + trigger,
  ];
  for (const sql of one) assert.equal(isScript(sql), false, sql);
  const several = [
    "select 1; select 2",
    "; select 1",
    "select ';';select 2",
    "select trigger; end; select 1",
    trigger + "; select 1",
    "select 1 -- ;\n; x",
  ];
  for (const sql of several) assert.equal(isScript(sql), true, sql);
});
