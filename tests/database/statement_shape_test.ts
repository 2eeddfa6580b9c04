import assert from "node:assert/strict";
import { shapeOf } from "../../daemon/database/statement_shape.ts";

const ALIKE: readonly (readonly [string, string])[] = [
  ["select a1 from t where b = 12", "select a1 from t where b = 3.5e4"],
  ["select 'it''s' from t", "select '' from t"],
  ["select x'00ff'", "select x''"],
  ["select ?1, ?2", "select ?, ?"],
  ["select a from t where b in (1, 2, 'x')", "select a from t where b in (?)"],
  ["insert into t values (1, 'a'), (2, 'b')", "insert into t values (?, ?)"],
  ["insert into t values (1),(2),(3)", "insert into t values (1)"],
  [
    `insert into t values ('${"x".repeat(2_000)}')`,
    `insert into t values ('${"y".repeat(3_000)}')`,
  ],
];

const DIFFERENT: readonly (readonly [string, string])[] = [
  ["select a1 from t", "select a2 from t"],
  [`select "it's 1" from t`, `select "it's 2" from t`],
  ["select [a 1] from t", "select [a 2] from t"],
  ["select a from t where b = 1", "select a from t where c = 1"],
];

for (const [one, other] of ALIKE) {
  Deno.test(`shapeOf() is the same for values that differ: ${one.slice(0, 60)}`, () => {
    assert.equal(shapeOf(one), shapeOf(other));
  });
}

for (const [one, other] of DIFFERENT) {
  Deno.test(`shapeOf() is another where more than values differs: ${one}`, () => {
    assert.notEqual(shapeOf(one), shapeOf(other));
  });
}
