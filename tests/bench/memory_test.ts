/** The bench of memory, as it is run by hand, but for a moment only. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { runBench } from "./bench_command.ts";

const RUN_MS_MAX = 60_000;

const ignore = Deno.build.os !== "linux";
if (ignore) console.log("Skipping the bench of memory: only Linux tells that of another process");

const bench = (...args: string[]) => runBench("memory/main.ts", RUN_MS_MAX, args);

Deno.test("bench:memory measures a pattern, and draws it", { ignore }, async () => {
  const results = await Deno.makeTempDir({ prefix: "skylinedb-bench-test-" });
  try {
    const { code, out, log } = await bench(
      ...["--quick", "--only", "burst", "--results", results],
      ...(Deno.env.has("SKYLINEDB_TEST_EXE") ? [] : ["--from-source"]),
    );
    assert.equal(code, 0, log);
    const report = await Deno.readTextFile(join(results, "memory.md"));
    assert.ok(out.startsWith(report), out);
    const [highest, after] = [...report.matchAll(/\| ≤ \d+ \| ([\d.]+) \|/g)].map(([, mib]) =>
      Number(mib)
    );
    assert.ok(after > 5 && after < highest && highest < 500, report);
    assert.match(await Deno.readTextFile(join(results, "memory.svg")), /^<svg[^]+burst[^]+<\/svg>/);
  } finally {
    await Deno.remove(results, { recursive: true });
  }
});

Deno.test("bench:memory says what is wrong with its options", { ignore }, async () => {
  for (const args of [["--only", "nothing"], ["--idle-minutes", "0"], ["--colour"]]) {
    const { code, log } = await bench(...args);
    assert.equal(code, 2, log);
    assert.match(log, /deno task bench:memory \[OPTION…\]/);
  }
});
