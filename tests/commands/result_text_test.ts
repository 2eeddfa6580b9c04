import assert from "node:assert/strict";
import { rowsText } from "../../daemon/commands/result_text.ts";
import { Real } from "../../client/values.ts";

Deno.test("rowsText() writes a table whose cells cannot steer the terminal", async () => {
  const text = await rowsText(
    { columns: ["a\x1b", "a"], rows: [["\x1b[2J\u0085", "x\ny"]] },
    "table",
  );
  const lines = [
    "┌─────────────┬───┐",
    "│ a\\x1b       │ a │",
    "├─────────────┼───┤",
    "│ \\x1b[2J\\x85 │ x │",
    "│             │ y │",
    "└─────────────┴───┘",
    "1 row",
    "",
  ];
  assert.deepEqual((text as string).split("\n"), lines);
});

Deno.test("rowsText() writes the header alone when there are no rows", async () => {
  const none = { columns: ["a", "b"], rows: [] };
  assert.match(await rowsText(none, "table"), /│ a │ b │[^]*\n0 rows\n$/);
  assert.equal(await rowsText(none, "csv"), "a,b\n");
  assert.equal(await rowsText(none, "json"), "[]\n");
});

Deno.test("rowsText() keeps columns of one name apart in JSON", async () => {
  const text = await rowsText({ columns: ["a", "a", "a_2"], rows: [[1, 2, 3]] }, "json");
  assert.deepEqual(JSON.parse(text as string), [{ a: 1, a_2: 2, a_2_2: 3 }]);
});

Deno.test("rowsText() tells NULL from empty text in CSV", async () => {
  const rows = [[null, ""], [new Real(2), "a\nb"]];
  assert.equal(await rowsText({ columns: ["x", "y"], rows }, "csv"), 'x,y\n,""\n2.0,"a\nb"\n');
});
