/**
 * Reads how many tests ran out of the summary that `deno test` prints.
 *
 * @module
 */

/** Numbers of tests; the steps of a test count with it, not beside it. */
export interface TestCounts {
  passed: number;
  failed: number;
  skipped: number;
}

// deno-lint-ignore no-control-regex -- the colours of a terminal
const COLOURS = /\x1b\[[0-9;]*m/g;
const SUMMARY = new RegExp(
  [/^(?:ok|FAILED) \| (\d+) passed/, / \| (\d+) failed/, /(?: \| (\d+) ignored)?.*$/]
    .map((part) => part.source).join(/(?: \(\d+ steps?\))?/.source),
  "gm",
);

/**
 * Returns the counts of the last summary in a test runner's output, or null where it has none
 * because the runner itself failed.
 */
export function testCounts(output: string): TestCounts | null {
  const last = [...output.replace(COLOURS, "").matchAll(SUMMARY)].at(-1);
  if (last === undefined) return null;
  const [passed, failed, skipped] = last.slice(1).map((digits) => Number(digits ?? 0));
  return { passed: passed!, failed: failed!, skipped: skipped! };
}
