/** Holds docs/durability.md to the tests that it names. */
import assert from "node:assert/strict";
import { allScenarios } from "../faults/scenario.ts";
import { names, readDocument, tableRows } from "./document.ts";

const DOCUMENT = readDocument("docs/durability.md");
const shownBy = ["answer", "what happens"].flatMap((title) =>
  tableRows(DOCUMENT, title).map(([, , by]) => by)
);

Deno.test("durability.md names the fault scenarios that there are, and each of them", async () => {
  const named = shownBy.flatMap((by) => /faults: ([^;(]+)/.exec(by)?.[1].trim().split(", ") ?? []);
  const there = (await allScenarios()).map(({ name }) => name);
  assert.deepEqual([...new Set(named)].sort(), there.sort());
});

Deno.test("durability.md names test files that exist", async () => {
  const files = shownBy.flatMap(names);
  assert.ok(files.length > 10);
  for (const file of files) await Deno.stat(new URL(`../${file}`, import.meta.url));
});
