/**
 * Measures the daemon beside what a user would pick instead, and prints tables.
 *
 *     deno task bench [--quick] [--seconds N] [--rounds N] [--only WORDS]… [--from-source]
 *                     [--folder DIR] [--json FILE]
 *
 * @module
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { buildSqlite } from "../tools/build_sqlite.ts";
import { findProgram, type Program } from "./daemon_under_test.ts";
import { type Figures, figuresOf } from "./figures.ts";
import { describeMachine, isInMemory } from "./machine.ts";
import { figuresTable, machineText, targetsTable, warnings } from "./report.ts";
import { targetResults } from "./targets.ts";
import type { Measured, WorkerOptions } from "./worker.ts";
import { Round, type Workload, WORKLOADS } from "./workloads.ts";

const USAGE = `deno task bench [OPTION…]

  --quick          one round of 0.5 s each: to see that it works, not for figures
  --seconds N      how long each workload is measured in a round (3)
  --rounds N       how often all are measured, by turns; medians are printed (3)
  --only WORDS     only workloads whose name holds these words, such as "full" or "ping 64x1";
                   may be given several times
  --from-source    serve from source instead of by the executable
  --folder DIR     where to put the files, on a disk; the system's temporary folder by default
  --json FILE      write the figures there as well

Workloads: ${WORKLOADS.map(({ name }) => name).join(", ")}`;

interface Options {
  readonly rounds: number;
  readonly time: WorkerOptions;
  readonly workloads: readonly Workload[];
  readonly fromSource: boolean;
  readonly folder?: string;
  readonly json?: string;
}

/** A mistake in the options, for the user. */
class UsageError extends Error {}

function readOptions(args: string[]): Options | null {
  const { values } = parseArgs({
    args,
    options: {
      help: { type: "boolean", short: "h" },
      quick: { type: "boolean" },
      seconds: { type: "string" },
      rounds: { type: "string" },
      only: { type: "string", multiple: true },
      "from-source": { type: "boolean" },
      folder: { type: "string" },
      json: { type: "string" },
    },
  });
  if (values.help) return null;
  const rounds = number(values.rounds, "rounds", values.quick ? 1 : 3);
  if (!Number.isInteger(rounds)) throw new UsageError("--rounds must be a whole number");
  return {
    rounds,
    time: {
      seconds: number(values.seconds, "seconds", values.quick ? 0.5 : 3),
      warmUpSeconds: values.quick ? 0.1 : 1,
    },
    workloads: chosen(values.only),
    fromSource: values["from-source"] ?? false,
    folder: values.folder,
    json: values.json,
  };
}

function number(text: string | undefined, name: string, otherwise: number): number {
  if (text === undefined) return otherwise;
  const value = Number(text);
  if (value > 0 && Number.isFinite(value)) return value;
  throw new UsageError(`--${name} must be a number above 0, not "${text}"`);
}

function chosen(only: readonly string[] | undefined): readonly Workload[] {
  if (only === undefined) return WORKLOADS;
  const workloads = WORKLOADS.filter(({ name }) =>
    only.some((words) => words.split(/\s+/).every((word) => name.split(" ").includes(word)))
  );
  if (workloads.length > 0) return workloads;
  throw new UsageError(`No workload holds the words of --only: ${only.join(", ")}`);
}

/** Round by round over all workloads, so that a machine that changes its speed does so for all. */
async function measure(
  { rounds, workloads, time }: Options,
  program: Program,
  folder: string,
): Promise<Figures[]> {
  const measured = new Map<Workload, Measured[]>(workloads.map((each) => [each, []]));
  for (let i = 1; i <= rounds; i++) {
    const roundFolder = join(folder, `round-${i}`);
    await Deno.mkdir(roundFolder);
    await using round = new Round(program, roundFolder, time);
    for (const workload of workloads) {
      console.error(`Round ${i} of ${rounds}: ${workload.name}`);
      measured.get(workload)!.push(await workload.measure(round));
    }
    await round.check();
  }
  return [...measured].map(([workload, each]) => figuresOf(workload, each));
}

async function main(args: string[]): Promise<void> {
  const options = readOptions(args);
  if (options === null) return console.log(USAGE);
  await buildSqlite();
  const folder = await Deno.makeTempDir({ dir: options.folder, prefix: "skylinedb-bench-" });
  try {
    const machine = describeMachine(folder);
    if (isInMemory(machine)) {
      throw new UsageError(
        `${folder} is in memory (${machine.filesystem}): name a --folder on a disk`,
      );
    }
    const program = await findProgram(folder, options.fromSource);
    const loadBefore = Deno.loadavg()[0];
    const figures = await measure(options, program, folder);
    const targets = targetResults(figures);
    console.log(machineText(machine));
    console.log(`The daemon: ${program.description}`);
    console.log(
      `Rounds: ${options.rounds} × ${options.time.seconds} s; medians, but for the slowest and what failed`,
    );
    console.log(`Load average before: ${loadBefore.toFixed(2)} (figures want an idle machine)\n`);
    console.log(figuresTable(figures));
    console.log(targetsTable(targets));
    for (const warning of warnings(figures)) console.log(`Warning: ${warning}`);
    if (options.json) {
      const all = { machine, daemon: program.description, loadBefore, figures, targets };
      await Deno.writeTextFile(options.json, JSON.stringify(all, null, 2) + "\n");
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

try {
  await main(Deno.args);
} catch (error) {
  const isUsage = error instanceof UsageError ||
    (error as { code?: string }).code?.startsWith("ERR_PARSE_ARGS");
  console.error(isUsage ? `${(error as Error).message}\n\n${USAGE}` : error);
  Deno.exit(isUsage ? 2 : 1);
}
