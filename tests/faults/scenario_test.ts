import assert from "node:assert/strict";
import { integerBetween, runScenario, type Scenario, seededRandom } from "./scenario.ts";

Deno.test("seededRandom() gives the same numbers when the seed is the same", () => {
  const some = (seed: number) => Array.from({ length: 1_000 }, seededRandom(seed));
  assert.deepEqual(some(7), some(7));
  assert.notDeepEqual(some(7), some(8));
  assert.ok(some(7).every((number) => number >= 0 && number < 1));
});

Deno.test("integerBetween() gives each of its integers, and no other", () => {
  const random = seededRandom(1);
  const given = new Set(Array.from({ length: 1_000 }, () => integerBetween(random, 3, 6)));
  assert.deepEqual([...given].sort(), [3, 4, 5, 6]);
});

Deno.test("runScenario() fails when the scenario throws", async () => {
  const scenario: Scenario = {
    name: "broken",
    what: "throws",
    run: () => Promise.reject(new Error("no daemon")),
  };
  const { passed, failures } = await runScenario(scenario, "short", 1, () => {});
  assert.equal(passed, false);
  assert.match(failures[0], /no daemon/);
});
