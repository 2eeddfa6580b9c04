/** The bench, as it is run by hand, but for a moment only: its figures mean nothing here. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { targetResults } from "../../bench/targets.ts";
import type { Figures } from "../../bench/figures.ts";

const MAIN = fileURLToPath(new URL("../../bench/main.ts", import.meta.url));
const RUN_MS_MAX = 60_000;

async function bench(...args: string[]) {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", MAIN, ...args],
    signal: AbortSignal.timeout(RUN_MS_MAX),
  }).output();
  const decoder = new TextDecoder();
  return { code, out: decoder.decode(stdout), log: decoder.decode(stderr) };
}

Deno.test("bench measures the daemon beside programs without one", async () => {
  const folder = await Deno.makeTempDir({ prefix: "skylinedb-bench-test-" });
  try {
    const json = join(folder, "figures.json");
    const only = ["daemon full 64x1", "8 processes full", "in-process full 8", "ping 8x16"];
    const { code, out, log } = await bench(
      ...["--quick", "--json", json],
      ...(Deno.env.has("SKYLINEDB_TEST_EXE") ? [] : ["--from-source"]),
      ...only.flatMap((words) => ["--only", words]),
    );
    if (log.includes("is in memory")) return console.log("Skipped: temporary files are in memory");
    assert.equal(code, 0, log);
    const { figures, targets, machine } = JSON.parse(await Deno.readTextFile(json));
    assert.deepEqual(
      figures.map(({ name }: Figures) => name).sort(),
      [...only, "daemon full key 64x1", "daemon full session 64x1"].sort(),
    );
    for (const { name, perSecond, p50, p999, max, cores } of figures as Figures[]) {
      assert.ok(perSecond > 0 && cores > 0, name);
      assert.ok(p50 > 0 && p50 <= p999 && p999 <= max, name);
      assert.ok(out.includes(name), out);
    }
    assert.equal(targets.length, 5, "two rates at 64x1, and three times the slowest of a thousand");
    assert.ok(out.includes(machine.sqlite), out);
    assert.ok(!out.includes("\x1b"), "no colours where there is no terminal");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("bench says what is wrong with its options", async () => {
  for (
    const args of [["--only", "nothing"], ["--rounds", "0"], ["--rounds", "1.5"], ["--colour"]]
  ) {
    const { code, log } = await bench(...args);
    assert.equal(code, 2, log);
    assert.match(log, /--(only|rounds)|colour/);
    assert.match(log, /deno task bench \[OPTION…\]/);
  }
});

Deno.test("targetResults() holds figures against the targets", () => {
  const figures = (name: string, perSecond: number, p50 = 1, p999 = 1): Figures => ({
    ...{ name, perSecond, p50, p999, rounds: 1, perSecondRange: [perSecond, perSecond] },
    ...{ p99: 1, max: p999, failures: {}, cores: 0.1 },
  });
  const results = targetResults([
    figures("daemon full 1x1", 1_000, 0.15),
    figures("daemon full 64x1", 8_000, 1, 30),
    figures("daemon full 8x16", 15_999, 1, 30.1),
    figures("8 processes full", 1_000),
    figures("in-process full 1", 1_000, 0.1),
    figures("ping 1x1", 1_000, 0.05),
  ]);
  const reached = new Map(results.map(({ target, reached }) => [target, reached]));
  assert.deepEqual([...reached], [
    ["FULL 64x1: rate against 8 processes", true],
    ["FULL 8x16: rate against 8 processes", false],
    ["p99.9 of daemon full 1x1, ms", true],
    ["p99.9 of daemon full 64x1, ms", true],
    ["p99.9 of daemon full 8x16, ms", false],
    ["FULL 1x1: p50 against Ping + in-process", true],
  ]);
});
