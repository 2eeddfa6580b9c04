import assert from "node:assert/strict";
import { testCounts } from "../../tools/test_summary.ts";

Deno.test("testCounts() counts tests, not their steps", () => {
  assert.deepEqual(
    testCounts("a ... ok\n\nok | 12 passed (3 steps) | 0 failed | 2 ignored (1 step) (7ms)\n"),
    { passed: 12, failed: 0, skipped: 2 },
  );
});

Deno.test("testCounts() reads failures through the colours of a terminal", () => {
  assert.deepEqual(
    testCounts("\x1b[0m\x1b[31mFAILED\x1b[0m | 1 passed | 3 failed (2 steps) \x1b[0m(61ms)\x1b[0m"),
    { passed: 1, failed: 3, skipped: 0 },
  );
});

Deno.test("testCounts() takes the last summary when a test printed one too", () => {
  assert.deepEqual(
    testCounts("ok | 9 passed | 0 failed (1ms)\nok | 1 passed | 0 failed | 4 filtered out (7ms)"),
    { passed: 1, failed: 0, skipped: 0 },
  );
});

Deno.test("testCounts() returns null when the runner printed no summary", () => {
  assert.equal(testCounts("error: Type checking failed.\n"), null);
});
