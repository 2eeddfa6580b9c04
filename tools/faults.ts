/**
 * Runs the fault scenarios in their long forms, and ends with a table of what was tried and what came of it.
 *
 *     deno task test:faults [NAME…] [--seed N] [--soak | --short]
 *     deno task soak [NAME…] [--seed N]
 *
 * The exit code is 0 only if something was tried and all held.
 *
 * @module
 */
import { Table } from "console-table-printer";
import { parseArgs } from "node:util";
import {
  allScenarios,
  freshSeed,
  type Outcome,
  runScenario,
  type Scenario,
  type Size,
} from "../tests/faults/scenario.ts";
import { testPrograms } from "./test_programs.ts";

const USAGE = `deno task test:faults [NAME…] [OPTION…]

  NAME       only scenarios whose name holds it, such as "kill" or "full disk"
  --seed N   repeat what was tried with this seed
  --soak     the long form: hours; the same as deno task soak
  --short    the form that runs among the tests: seconds`;

/** A mistake in the options, for the user. */
class UsageError extends Error {}

interface Options {
  readonly names: readonly string[];
  readonly size: Size;
  readonly seed: number;
}

interface Result {
  readonly scenario: Scenario;
  readonly seconds: number;
  /** A text where it was skipped: why. */
  readonly outcome: Outcome | string;
}

function readOptions(args: string[]): Options | null {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      help: { type: "boolean", short: "h" },
      seed: { type: "string" },
      soak: { type: "boolean" },
      short: { type: "boolean" },
    },
  });
  if (values.help) return null;
  const seed = values.seed === undefined ? freshSeed() : Number(values.seed);
  if (!Number.isInteger(seed) || seed < 0 || seed >= 2 ** 32) {
    throw new UsageError(`--seed must be an integer from 0 to 4294967295, not "${values.seed}"`);
  }
  return {
    names: positionals,
    size: values.soak ? "soak" : values.short ? "short" : "faults",
    seed,
  };
}

async function chosen(names: readonly string[]): Promise<Scenario[]> {
  const all = await allScenarios();
  if (names.length === 0) return all;
  const some = all.filter(({ name }) => names.some((part) => name.includes(part)));
  if (some.length > 0) return some;
  throw new UsageError(
    `No scenario has such a name; there are: ${all.map((s) => s.name).join(", ")}`,
  );
}

async function run(scenario: Scenario, { size, seed }: Options): Promise<Result> {
  console.log(`\n${scenario.name}: ${scenario.what}`);
  const started = performance.now();
  const log = (line: string) => console.log(`  ${line}`);
  const reason = await scenario.skip?.();
  const outcome = reason ?? await runScenario(scenario, size, seed, log);
  if (typeof outcome === "string") log(`Skipped: ${outcome}`);
  else for (const failure of outcome.failures) log(`FAILED: ${failure}`);
  return { scenario, outcome, seconds: (performance.now() - started) / 1000 };
}

function printTable(results: readonly Result[], seed: number): void {
  const table = new Table({
    title: `Seed ${seed}`,
    shouldDisableColors: !Deno.stdout.isTerminal() || Deno.noColor,
    columns: [
      { name: "scenario", alignment: "left" },
      { name: "tried", title: "what was tried", alignment: "left", maxLen: 70 },
      { name: "outcome", alignment: "left", maxLen: 40 },
      { name: "seconds", alignment: "right" },
    ],
  });
  for (const { scenario, outcome, seconds } of results) {
    const skipped = typeof outcome === "string";
    table.addRow({
      scenario: scenario.name,
      tried: skipped ? "" : outcome.tried,
      outcome: skipped
        ? `skipped: ${outcome}`
        : outcome.passed
        ? "held"
        : `FAILED: ${outcome.failures.length}`,
      seconds: seconds.toFixed(1),
    });
  }
  console.log();
  table.printTable();
}

async function main(args: string[]): Promise<boolean> {
  const options = readOptions(args);
  if (options === null) {
    console.log(USAGE);
    return true;
  }
  const { environment, failures } = await testPrograms();
  // The scenarios' daemons are those that these variables name: they are read when the scenarios are loaded.
  for (const [name, value] of Object.entries(environment)) Deno.env.set(name, value);
  const scenarios = await chosen(options.names);
  console.log(`Seed ${options.seed}, size ${options.size}`);
  const results: Result[] = [];
  for (const scenario of scenarios) results.push(await run(scenario, options));
  printTable(results, options.seed);
  const tried = results.filter(({ outcome }) => typeof outcome !== "string");
  const held = tried.every(({ outcome }) => (outcome as Outcome).passed);
  return failures === 0 && tried.length > 0 && held;
}

// An exit ends the daemons too; a signal alone would leave them behind.
Deno.addSignalListener("SIGINT", () => Deno.exit(1));
if (Deno.build.os !== "windows") Deno.addSignalListener("SIGTERM", () => Deno.exit(1));
try {
  Deno.exit(await main(Deno.args) ? 0 : 1);
} catch (error) {
  const isUsage = error instanceof UsageError ||
    (error as { code?: string }).code?.startsWith("ERR_PARSE_ARGS");
  console.error(isUsage ? `${(error as Error).message}\n\n${USAGE}` : error);
  Deno.exit(isUsage ? 2 : 1);
}
