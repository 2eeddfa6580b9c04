/** The bench, as it is run by hand, but for a moment only: its figures mean nothing here. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { targetResults } from "../../bench/targets.ts";
import type { Figures } from "../../bench/figures.ts";
import { ratesPlot } from "../../bench/plot.ts";
import { renderSvg } from "../../bench/svg.ts";
import { runBench } from "./bench_command.ts";

const RUN_MS_MAX = 60_000;

const bench = (...args: string[]) => runBench("main.ts", RUN_MS_MAX, args);

function figures(name: string, perSecond: number, p50 = 1, p999 = 1): Figures {
  return {
    ...{ group: "", name, perSecond, p50, p999, rounds: 1, perSecondRange: [perSecond, perSecond] },
    ...{ p99: 1, max: p999, failures: {}, cores: 0.1 },
  };
}

Deno.test("bench measures the daemon beside programs without one", async () => {
  const results = await Deno.makeTempDir({ prefix: "skylinedb-bench-test-" });
  try {
    const only = ["8 processes full", "in-process full grouped 64x1", "batch full session 1x1"];
    const more = ["one-shot session", "query 8x16", "direct read 1"];
    const needed = ["daemon full session 64x1", "one-shot source session", "ping 8x16"];
    const { code, out, log } = await bench(
      ...["--quick", "--results", results],
      ...(Deno.env.has("SKYLINEDB_TEST_EXE") ? [] : ["--from-source"]),
      ...[...only, ...more, "cold start"].flatMap((words) => ["--only", words]),
    );
    if (log.includes("is in memory")) return console.log("Skipped: temporary files are in memory");
    assert.equal(code, 0, log);
    const { figures, targets, machine } = JSON.parse(
      await Deno.readTextFile(join(results, "rates.json")),
    );
    const cold = ["version", "listening", "ping", "write"].map((stage) => `cold start ${stage}`);
    assert.deepEqual(
      figures.map(({ name }: Figures) => name).sort(),
      [...only, ...more, ...needed, ...cold].sort(),
    );
    for (const { name, group, perSecond, p50, p999, max } of figures as Figures[]) {
      assert.ok(perSecond > 0 || group === "cold start", name);
      assert.ok(p50 > 0 && p50 <= p999 && p999 <= max, name);
      assert.ok(out.includes(`| ${name} `), out);
    }
    assert.equal(targets.length, 6, "64x1, its p99.9 twice, one-shot twice, cold start");
    assert.ok(out.includes(machine.sqlite), out);
    const report = await Deno.readTextFile(join(results, "rates.md"));
    assert.ok(out.startsWith(report.slice(0, report.indexOf("\n!["))), out);
    const picture = await Deno.readTextFile(join(results, "rates.svg"));
    assert.equal(picture, renderSvg(ratesPlot(figures)));
  } finally {
    await Deno.remove(results, { recursive: true });
  }
});

Deno.test("ratesPlot() draws what was measured", () => {
  const measured = ["daemon full session 8x16", "8 processes full", "ping 1x1"];
  const { option } = ratesPlot(measured.map((name, i) => figures(name, 12_345 + i, 0.25)));
  const drawn = JSON.stringify(option.series);
  for (const value of [12_345, 12_346, 12_347, 0.25]) assert.ok(drawn.includes(`${value}`), drawn);
  assert.match(renderSvg(ratesPlot([])), /^<svg/, "nothing to draw is no mistake");
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

Deno.test("targetResults() holds the median of the rounds against the targets", () => {
  const round = (many: number, direct: number) => [
    figures("daemon full session 1x1", 1_000, 0.18),
    figures("daemon full session 64x1", many, 1, 20.1),
    figures("8 processes full", direct),
    figures("in-process full 1", 1_000, 0.1),
    figures("ping 1x1", 1_000, 0.05),
    figures("daemon normal session 1x1", 10_000, 0.5),
    figures("in-process normal 1", 1_000, 0.1),
  ];
  const results = targetResults([round(9_000, 1_000), round(90, 1_000), round(11_000, 1_000)]);
  assert.deepEqual(results.map(({ target, measured, reached }) => [target, measured, reached]), [
    ["FULL 64x1: rate beside 8 processes", 9, true],
    ["FULL 64x1, 8x16: largest p99.9", 20.1, false],
    ["FULL, all shapes and keys: largest p99.9", 20.1, true],
    ["FULL 1x1: p50 to Ping's + in-process", 0.18 / 0.15000000000000002, true],
    ["NORMAL 1x1: p50 to Ping's + in-process", 0.5 / 0.15000000000000002, true],
    ["NORMAL 1x1: or else its rate", 10_000, true],
    ["NORMAL, all shapes: largest p99.9", 1, true],
  ]);
});
