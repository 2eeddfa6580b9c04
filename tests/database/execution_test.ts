import assert from "node:assert/strict";
import { changesSchema, isVacuum, standsAlone } from "../../daemon/database/execution.ts";

Deno.test("isVacuum() sees a VACUUM behind white space, comments and semicolons", () => {
  for (
    const sql of [
      "vacuum",
      "VACUUM;",
      " \n\tVacuum main",
      "-- x\nvacuum",
      "/* a */ /* b * c */vacuum",
      ";; vacuum",
      "/**/vacuum",
      "vacuum into 'x'",
      "vacuum main;; -- done",
      "vacuum /* x */;",
    ]
  ) {
    assert.ok(isVacuum(sql), sql);
    assert.ok(standsAlone(sql), sql);
  }
  for (
    const sql of [
      "vacuums",
      "select 'vacuum'",
      "-- vacuum",
      "/* vacuum */ select 1",
      "/* vacuum",
      "insert into vacuum values (1)",
      "select 1; vacuum",
      "vacuum; select 1",
      "vacuum;;/* */-- \n select 1",
      "",
    ]
  ) {
    assert.ok(!isVacuum(sql), sql);
  }
});

Deno.test("standsAlone() sees a REINDEX as well", () => {
  assert.ok(standsAlone("reindex t"));
  assert.ok(!isVacuum("reindex t"));
  assert.ok(!standsAlone("create index reindex on t(a)"));
});

Deno.test("isVacuum() takes no time on a text of many comments", () => {
  const started = performance.now();
  for (const unit of ["/**/", "--\n", " ", ";", "/* * */", "/*"]) {
    assert.ok(!isVacuum(unit.repeat(100_000 / unit.length) + "x"));
  }
  assert.ok(performance.now() - started < 500);
});

Deno.test("changesSchema() sees what a statement starts with", () => {
  for (const sql of ["create table t(a)", " /* a */ DROP TABLE t", "-- a\nalter table t add b"]) {
    assert.ok(changesSchema(sql), sql);
  }
  for (const sql of ["delete from t", "created", "insert into t values ('create table')"]) {
    assert.ok(!changesSchema(sql), sql);
  }
});
