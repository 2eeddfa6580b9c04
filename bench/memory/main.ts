/**
 * Measures the daemon's memory in the patterns in which programs connect.
 *
 *     deno task bench:memory [--quick] [--only WORDS]… [--idle-minutes N] [--from-source] [--results DIR]
 *
 * @module
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { buildSqlite } from "../../tools/build_sqlite.ts";
import { runCommand, UsageError } from "../command.ts";
import { findProgram, type Program, startDaemon } from "../daemon_under_test.ts";
import { commitOf, describeMachine } from "../machine.ts";
import { renderSvg } from "../svg.ts";
import { LoadProcess } from "./load_process.ts";
import { type Pattern, type PatternOptions, PATTERNS } from "./patterns.ts";
import { memoryPlot, type MemoryRun, type PatternResult, reportText } from "./report.ts";
import { Samples } from "./samples.ts";

const RESULTS = fileURLToPath(new URL("../results/", import.meta.url));

const USAGE = `deno task bench:memory [OPTION…]

  --quick           few connections and a short time: to see that it works, not for figures
  --only WORDS      only patterns whose name holds these words, such as "burst" or "10 clients";
                    may be given several times
  --idle-minutes N  how long the idle daemon is looked at (1)
  --from-source     serve from source instead of by the executable
  --results DIR     where memory.md and memory.svg are written; a full run writes them to
                    bench/results/, one with --quick, --only or --from-source nowhere

Patterns: ${PATTERNS.map(({ name }) => name).join(", ")}`;

interface Options extends PatternOptions {
  readonly patterns: readonly Pattern[];
  readonly fromSource: boolean;
  readonly results: string | undefined;
}

function readOptions(args: string[]): Options | null {
  const { values } = parseArgs({
    args,
    options: {
      help: { type: "boolean", short: "h" },
      quick: { type: "boolean" },
      only: { type: "string", multiple: true },
      "idle-minutes": { type: "string" },
      "from-source": { type: "boolean" },
      results: { type: "string" },
    },
  });
  if (values.help) return null;
  const minutes = Number(values["idle-minutes"] ?? (values.quick ? 0.05 : 1));
  if (!(minutes > 0 && minutes <= 24 * 60)) {
    throw new UsageError("--idle-minutes must be a number above 0, up to those of a day");
  }
  const isFull = !(values.quick || values.only || values["from-source"]);
  return {
    idleMs: minutes * 60_000,
    shots: values.quick ? 1_000 : 10_000,
    patterns: chosen(values.only),
    fromSource: values["from-source"] ?? false,
    results: values.results ?? (isFull ? RESULTS : undefined),
  };
}

function chosen(only: readonly string[] | undefined): readonly Pattern[] {
  if (only === undefined) return PATTERNS;
  const patterns = PATTERNS.filter(({ name }) => only.some((words) => name.includes(words)));
  if (patterns.length > 0) return patterns;
  throw new UsageError(`No pattern holds the words of --only: ${only.join(", ")}`);
}

/** Each pattern has a daemon of its own. */
async function measure(
  pattern: Pattern,
  program: Program,
  folder: string,
  options: Options,
): Promise<PatternResult> {
  const file = join(folder, `${pattern.name.replaceAll(" ", "-")}.db`);
  await using daemon = await startDaemon(program, file, "full");
  await using load = new LoadProcess(daemon.endpoint);
  using samples = new Samples(daemon.pid, daemon.endpoint);
  const figures = await pattern.run(load, samples, options);
  return { pattern, figures, samples: samples.all };
}

async function main(args: string[]): Promise<void> {
  const options = readOptions(args);
  if (options === null) return console.log(USAGE);
  if (Deno.build.os !== "linux") {
    throw new UsageError("Only Linux tells the private memory of another process");
  }
  await buildSqlite();
  const folder = await Deno.makeTempDir({ prefix: "skylinedb-memory-" });
  try {
    const run = await runPatterns(options, folder);
    const report = reportText(run);
    console.log(report);
    if (options.results === undefined) return;
    await Deno.mkdir(options.results, { recursive: true });
    await Deno.writeTextFile(join(options.results, "memory.md"), report);
    const picture = renderSvg(memoryPlot(run.results));
    await Deno.writeTextFile(join(options.results, "memory.svg"), picture);
    console.log(`Written to ${options.results}`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function runPatterns(options: Options, folder: string): Promise<MemoryRun> {
  const program = await findProgram(folder, options.fromSource);
  const commit = await commitOf();
  const results: PatternResult[] = [];
  for (const pattern of options.patterns) {
    console.error(pattern.name);
    results.push(await measure(pattern, program, folder, options));
  }
  return {
    machine: describeMachine(folder),
    daemon: program.description,
    commit,
    at: new Date().toISOString().slice(0, 16).replace("T", " "),
    results,
  };
}

await runCommand(main, USAGE);
