/** The bench of memory, as it is run by hand, but for a moment only. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../../bench/memory/main.ts", import.meta.url));
const RUN_MS_MAX = 60_000;

const ignore = Deno.build.os !== "linux";
if (ignore) console.log("Skipping the bench of memory: only Linux tells that of another process");

async function bench(...args: string[]) {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", MAIN, ...args],
    signal: AbortSignal.timeout(RUN_MS_MAX),
  }).output();
  const decoder = new TextDecoder();
  return { code, out: decoder.decode(stdout), log: decoder.decode(stderr) };
}

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
