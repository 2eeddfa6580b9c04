/**
 * The report: tables for the terminal.
 *
 * @module
 */
import { Table } from "console-table-printer";
import type { Figures } from "./figures.ts";
import type { Machine } from "./machine.ts";
import type { TargetResult } from "./targets.ts";

/** Cores that a generator may take: with nearly a whole one it may be itself what was measured. */
const GENERATOR_CORES_MAX = 0.9;

/** Colours are for terminals: in a file they would be codes. */
const shouldDisableColors = !Deno.stdout.isTerminal() || Deno.noColor;

/** The line that says where figures are from. */
export function machineText(machine: Machine): string {
  const { processor, cores, memoryGiB, system, deno, sqlite, filesystem } = machine;
  return `${processor}, ${cores} cores, ${memoryGiB} GiB; ${system}; files on ${filesystem}; ` +
    `Deno ${deno}, SQLite ${sqlite}`;
}

/** The table of figures. */
export function figuresTable(figures: readonly Figures[]): string {
  const table = new Table({
    shouldDisableColors,
    columns: [
      { name: "workload", alignment: "left" },
      ...["per second", "lowest–highest", "p50 ms", "p99 ms", "p99.9 ms", "slowest ms", "cores"]
        .map((name) => ({ name, alignment: "right" as const })),
      { name: "failed", alignment: "left" },
    ],
  });
  for (const each of figures) {
    table.addRow({
      workload: each.name,
      "per second": whole(each.perSecond),
      "lowest–highest": each.perSecondRange.map(whole).join("–"),
      "p50 ms": decimal(each.p50),
      "p99 ms": decimal(each.p99),
      "p99.9 ms": decimal(each.p999),
      "slowest ms": decimal(each.max),
      cores: each.cores.toFixed(2),
      failed: Object.entries(each.failures).map(([what, n]) => `${n} ${what}`).join(", "),
    });
  }
  return table.render();
}

/** The table of targets; says so where no target can be judged. */
export function targetsTable(results: readonly TargetResult[]): string {
  if (results.length === 0) return "No target can be judged by these workloads alone.";
  const table = new Table({
    shouldDisableColors,
    columns: [
      { name: "target", alignment: "left" },
      { name: "wanted", alignment: "left" },
      { name: "measured", alignment: "right" },
      { name: "reached", alignment: "left" },
    ],
  });
  for (const { target, wanted, measured, reached } of results) {
    const row = { target, wanted, measured: decimal(measured), reached: reached ? "yes" : "NO" };
    table.addRow(row, { color: reached ? "green" : "red" });
  }
  return table.render();
}

/** What a reader has to know before trusting the figures. */
export function warnings(figures: readonly Figures[]): string[] {
  return figures
    .filter(({ name, cores }) => /^(daemon|ping) /.test(name) && cores > GENERATOR_CORES_MAX)
    .map(({ name, cores }) =>
      `${name}: the generator took ${cores.toFixed(2)} cores and may be what was measured`
    );
}

function whole(value: number): string {
  return Math.round(value).toLocaleString("en");
}

function decimal(value: number): string {
  return value >= 100 ? whole(value) : value.toFixed(value >= 10 ? 1 : 3);
}
