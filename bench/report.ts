/**
 * The report: Markdown, for the terminal and for `bench/results/`.
 *
 * @module
 */
import type { Figures } from "./figures.ts";
import type { Machine } from "./machine.ts";
import type { TargetResult } from "./targets.ts";

/** All that a run of the bench found. */
export interface Run {
  readonly machine: Machine;
  /** How the daemon was run. */
  readonly daemon: string;
  /** What was measured: the commit that was checked out. */
  readonly commit: string;
  /** Day and time at the end, UTC. */
  readonly at: string;
  readonly rounds: number;
  readonly seconds: number;
  /** How many programs wanted a processor, over the minute before and at the end. */
  readonly load: { readonly before: number; readonly after: number };
  readonly targets: readonly TargetResult[];
  readonly figures: readonly Figures[];
}

/** Cores that a generator may take: with nearly a whole one it may be itself what was measured. */
const GENERATOR_CORES_MAX = 0.9;
/** Programs that may want a processor before the bench begins. */
const LOAD_BEFORE_MAX = 0.5;

const TITLES: Readonly<Record<string, string>> = {
  "writes full": "Writes, FULL: rows a second",
  "writes normal": "Writes, NORMAL: rows a second",
  batch: "Batches of 100 statements: rows a second",
  values: "Large values, FULL: rows a second",
  "one-shot": "One-shot connections, 8 at a time, FULL: connections a second",
  query: "Reads of a row by its primary key, beside Ping: answers a second",
  "cold start": "Cold start: milliseconds from the start of the process",
};

/** The whole report. */
export function reportText(run: Run): string {
  const groups = Map.groupBy(run.figures, ({ group }) => group);
  const sections = [...groups].map(([group, figures]) =>
    `## ${TITLES[group]}\n\n${figuresTable(figures)}`
  );
  const warned = warnings(run).map((warning) => `- ${warning}\n`).join("");
  return [
    `# Rates\n\n${runText(run)}`,
    `## Targets\n\n${targetsTable(run.targets)}`,
    ...sections,
    ...(warned === "" ? [] : [`## To be doubted\n\n${warned}`]),
  ].join("\n");
}

function runText({ machine, daemon, commit, at, rounds, seconds, load }: Run): string {
  const { processor, cores, memoryGiB, system, deno, sqlite, filesystem } = machine;
  return `Commit ${commit}, ${at}. The daemon: ${daemon}; SQLite ${sqlite}; the load and the programs without a daemon: Deno ${deno}.

${processor}, ${cores} cores, ${memoryGiB} GiB; ${system}; files on ${filesystem}. Load average ${
    load.before.toFixed(1)
  } before, ${load.after.toFixed(1)} at the end, the bench's own included.

${rounds} × ${seconds} s, by turns: medians of the rounds, but for the slowest and for what failed, which are of all.
"Cores" are those of the generator, or of the programs without a daemon, and then the daemon's; "a commit" is how many requests, or rows, shared one.
`;
}

type Cell = readonly [text: string, alignment: "left" | "right"];
type Columns<Row> = Readonly<Record<string, (row: Row) => Cell>>;

const FIGURES: Columns<Figures> = {
  workload: ({ name }) => [name, "left"],
  "per second": ({ perSecond }) => [perSecond > 0 ? whole(perSecond) : "", "right"],
  "lowest–highest": ({ perSecond, perSecondRange }) => [
    perSecond > 0 ? perSecondRange.map(whole).join("–") : "",
    "right",
  ],
  "p50 ms": ({ p50 }) => [decimal(p50), "right"],
  "p99 ms": ({ p99 }) => [decimal(p99), "right"],
  "p99.9 ms": ({ p999 }) => [decimal(p999), "right"],
  "slowest ms": ({ max }) => [decimal(max), "right"],
  "a commit": ({ perCommit }) => [perCommit?.toFixed(1) ?? "", "right"],
  cores: ({ cores }) => [cores > 0 ? cores.toFixed(2) : "", "right"],
  "daemon's": ({ daemonCores }) => [daemonCores?.toFixed(2) ?? "", "right"],
  failed: ({ failures }) => [
    Object.entries(failures).map(([what, n]) => `${n} ${what}`).join(", "),
    "left",
  ],
};

const TARGETS: Columns<TargetResult> = {
  target: ({ target }) => [target, "left"],
  wanted: ({ wanted }) => [wanted, "left"],
  measured: ({ measured }) => [decimal(measured), "right"],
  reached: ({ reached }) => [reached ? "yes" : "**no**", "left"],
};

/** A table of figures, without the columns that are empty. */
function figuresTable(figures: readonly Figures[]): string {
  return table(FIGURES, figures);
}

/** The table of targets; says so where no target can be judged. */
function targetsTable(results: readonly TargetResult[]): string {
  return results.length === 0
    ? "No target can be judged by these workloads alone.\n"
    : table(TARGETS, results);
}

/** A Markdown table, padded so that it can be read as it is. */
function table<Row>(columns: Columns<Row>, rows: readonly Row[]): string {
  const lines = rows.map(() => "|");
  let head = "|", rule = "|";
  for (const [title, cell] of Object.entries(columns)) {
    const cells = rows.map(cell);
    if (cells.every(([text]) => text === "")) continue;
    const width = Math.max(title.length, ...cells.map(([text]) => text.length));
    const right = cells[0][1] === "right";
    const pad = (text: string) => right ? text.padStart(width) : text.padEnd(width);
    head += ` ${pad(title)} |`;
    rule += right ? ` ${"-".repeat(width - 1)}: |` : ` ${"-".repeat(width)} |`;
    cells.forEach(([text], i) => lines[i] += ` ${pad(text)} |`);
  }
  return [head, rule, ...lines].join("\n") + "\n";
}

/** What a reader has to know before trusting the figures. */
function warnings({ load, figures }: Run): string[] {
  const busy = load.before > LOAD_BEFORE_MAX
    ? [`Other programs ran on the machine: the load average before was ${load.before.toFixed(1)}.`]
    : [];
  const generators = figures
    .filter(({ name, cores }) => !/process|direct/.test(name) && cores > GENERATOR_CORES_MAX)
    .map(({ name, cores }) =>
      `${name}: the generator took ${cores.toFixed(2)} cores and may be what was measured.`
    );
  return [...busy, ...generators];
}

/** A whole number with its thousands set apart. */
function whole(value: number): string {
  return Math.round(value).toLocaleString("en");
}

function decimal(value: number): string {
  return value >= 100 ? whole(value) : value.toFixed(value >= 10 ? 1 : value >= 1 ? 2 : 3);
}
