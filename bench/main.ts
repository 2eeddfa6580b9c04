/**
 * Measures the daemon beside what a user would pick instead, and prints a report.
 *
 *     deno task bench [--quick] [--seconds N] [--rounds N] [--only WORDS]… [--from-source]
 *                     [--folder DIR] [--results DIR]
 *
 * @module
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { buildSqlite } from "../tools/build_sqlite.ts";
import { runCommand, UsageError } from "./command.ts";
import { findProgram, type Program } from "./daemon_under_test.ts";
import { type Figures, figuresOf } from "./figures.ts";
import { commitOf, describeMachine, isInMemory } from "./machine.ts";
import { reportText, type Run } from "./report.ts";
import { saveResults } from "./results.ts";
import { Round, type RoundOptions } from "./round.ts";
import { targetResults } from "./targets.ts";
import type { Measured } from "./worker.ts";
import { type Workload, WORKLOADS } from "./workloads.ts";

const RESULTS = fileURLToPath(new URL("results", import.meta.url));
const GROUPS = [...Map.groupBy(WORKLOADS, ({ group }) => group)];

const USAGE = `deno task bench [OPTION…]

  --quick          one round of 0.2 s each: to see that it works, not for figures
  --seconds N      how long each workload is measured in a round (2)
  --rounds N       how often all are measured, by turns; medians are printed (3)
  --only WORDS     only workloads whose group and name hold these words, such as "query" or
                   "ping 64x1"; may be given several times
  --from-source    serve from source instead of by the executable
  --folder DIR     where to put the files, on a disk; the system's temporary folder by default
  --results DIR    where to write rates.md, rates.json and rates.svg; by default bench/results
                   after a full run, nowhere with --quick, --only or --from-source

Groups and their workloads:
${
  GROUPS.map(([group, all]) => `  ${group}: ${all.map(({ name }) => name).join(", ")}`).join("\n")
}`;

interface Options {
  readonly rounds: number;
  readonly round: RoundOptions;
  readonly workloads: readonly Workload[];
  readonly fromSource: boolean;
  readonly folder?: string;
  readonly results?: string;
}

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
      results: { type: "string" },
    },
  });
  if (values.help) return null;
  const rounds = number(values.rounds, "rounds", values.quick ? 1 : 3);
  if (!Number.isInteger(rounds)) throw new UsageError("--rounds must be a whole number");
  const isFull = !(values.quick || values.only || values["from-source"]);
  return {
    rounds,
    round: {
      seconds: number(values.seconds, "seconds", values.quick ? 0.2 : 2),
      warmUpSeconds: values.quick ? 0.1 : 0.5,
      coldStarts: values.quick ? 2 : 10,
    },
    workloads: chosen(values.only),
    fromSource: values["from-source"] ?? false,
    folder: values.folder,
    results: values.results ?? (isFull ? RESULTS : undefined),
  };
}

function number(text: string | undefined, name: string, otherwise: number): number {
  if (text === undefined) return otherwise;
  const value = Number(text);
  if (value > 0 && Number.isFinite(value)) return value;
  throw new UsageError(`--${name} must be a number above 0, not "${text}"`);
}

/** In the order of all, with those that they need. */
function chosen(only: readonly string[] | undefined): readonly Workload[] {
  if (only === undefined) return WORKLOADS;
  const wanted = WORKLOADS.filter(({ group, name }) => {
    const all = `${group} ${name}`.split(" ");
    return only.some((words) => words.split(/\s+/).every((word) => all.includes(word)));
  });
  if (wanted.length === 0) {
    throw new UsageError(`No workload holds the words of --only: ${only.join(", ")}`);
  }
  const names = new Set(wanted.flatMap(({ name, after }) => [name, after]));
  return WORKLOADS.filter(({ name }) => names.has(name));
}

/** Round by round over all workloads, so that a machine that changes its speed does so for all. */
async function measure(
  { rounds, workloads, round: options }: Options,
  program: Program,
  folder: string,
): Promise<ReadonlyMap<string, Measured>[]> {
  const measured: ReadonlyMap<string, Measured>[] = [];
  for (let i = 1; i <= rounds; i++) {
    const roundFolder = join(folder, `round-${i}`);
    await Deno.mkdir(roundFolder);
    {
      await using round = new Round(program, roundFolder, options);
      for (const workload of workloads) {
        console.error(`Round ${i} of ${rounds}: ${workload.name}`);
        round.measured.set(workload.name, await workload.measure(round));
      }
      await round.check();
      measured.push(round.measured);
    }
    await Deno.remove(roundFolder, { recursive: true }); // gigabytes
  }
  return measured;
}

async function main(args: string[]): Promise<void> {
  const options = readOptions(args);
  if (options === null) return console.log(USAGE);
  await buildSqlite();
  const folder = await Deno.makeTempDir({ dir: options.folder, prefix: "skylinedb-bench-" });
  try {
    const run = await runBench(options, folder);
    console.log(reportText(run));
    if (options.results) {
      await saveResults(run, options.results);
      console.log(`Written to ${options.results}`);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function runBench(options: Options, folder: string): Promise<Run> {
  const machine = describeMachine(folder);
  if (isInMemory(machine)) {
    throw new UsageError(
      `${folder} is in memory (${machine.filesystem}): name a --folder on a disk`,
    );
  }
  const program = await findProgram(folder, options.fromSource);
  const [commit, before] = [await commitOf(), Deno.loadavg()[0]];
  const rounds = await measure(options, program, folder);
  const figures = (some: typeof rounds): Figures[] =>
    options.workloads.map((each) => figuresOf(each, some.map((round) => round.get(each.name)!)));
  return {
    machine,
    daemon: program.description,
    commit,
    at: new Date().toISOString().slice(0, 16).replace("T", " "),
    rounds: options.rounds,
    seconds: options.round.seconds,
    load: { before, after: Deno.loadavg()[0] },
    targets: targetResults(rounds.map((round) => figures([round]))),
    figures: figures(rounds),
  };
}

await runCommand(main, USAGE);
