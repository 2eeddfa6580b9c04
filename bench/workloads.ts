/**
 * What is measured: inserts and reads through the daemon, and as a program would do them without one.
 *
 * @module
 */
import { COLD_STAGES } from "./cold_start.ts";
import type { Durability } from "./daemon_under_test.ts";
import type { DirectReaderOptions } from "./direct_reader.ts";
import type { DirectWriterOptions } from "./direct_writer.ts";
import type { LoadOptions } from "./load.ts";
import type { OneShotOptions } from "./one_shot.ts";
import { READ_POINT } from "./points.ts";
import type { DaemonName, Round } from "./round.ts";
import { type Measured, runWorkers } from "./worker.ts";

const INSERT = "insert into t(v) values (?)";
/** What SQLite's users are told to set; many do not get by with it. */
const BUSY_TIMEOUT_MS = 5_000;
/** Statements of a batch. */
const BATCH = 100;
/** One-shot connections at a time. */
const ONE_SHOTS = 8;

const PING = { type: "Ping" };

/** Connections × requests in flight on each. */
type Shape = readonly [connections: number, inFlight: number];
const SHAPES: readonly Shape[] = [[1, 1], [8, 1], [64, 1], [8, 16], [1, 256]];

/** Values by what a name calls their length. */
const VALUES = { "100B": "x".repeat(100), "1KB": "x".repeat(1_000), "100KB": "x".repeat(100_000) };
type ValueName = keyof typeof VALUES;

/** Something to measure. */
export interface Workload {
  /** What it is measured with: a table of the report. */
  readonly group: string;
  /** Such as `daemon full 64x1`; `--only` takes its words, and the group's. */
  readonly name: string;
  /** The workload that has to be measured before it in the same round. */
  readonly after?: string;
  measure(round: Round): Promise<Measured>;
}

type Unnamed = Omit<Workload, "group">;

/** All workloads by their group, in the order of the report; those that are compared are near each other in time. */
const GROUPS: Readonly<Record<string, readonly Unnamed[]>> = {
  "writes full": [
    ...SHAPES.map((shape) => writes("full", shape, "session")),
    direct("8 processes full", "full", 8),
    direct("32 processes full", "full", 32),
    direct("in-process full 1", "full"),
    ...["8x1", "64x1", "8x16", "1x256"].map((shape) => grouped("full", shape)),
    ...SHAPES.map((shape) => writes("full", shape)),
    writes("full", [64, 1], "key"),
    writes("full", [8, 16], "key"),
  ],
  "writes normal": [
    ...SHAPES.map((shape) => writes("normal", shape, "session")),
    direct("8 processes normal", "normal", 8),
    direct("32 processes normal", "normal", 32),
    direct("in-process normal 1", "normal"),
    grouped("normal", "8x16"),
    ...SHAPES.map((shape) => writes("normal", shape)),
  ],
  batch: [
    batches("full", [1, 1], "session"),
    direct(`in-process full ${BATCH}`, "full", 1, BATCH),
    batches("full", [1, 1]),
    batches("full", [8, 1], "session"),
    batches("normal", [1, 1], "session"),
    direct(`in-process normal ${BATCH}`, "normal", 1, BATCH),
    batches("normal", [1, 1]),
    batches("normal", [8, 1], "session"),
  ],
  "one-shot": [
    oneShot("one-shot session", "full", insert(), true),
    oneShot("one-shot", "full", insert()),
    oneShot("one-shot ping", "points", PING),
    oneShot("one-shot source session", "source", insert(), true),
    oneShot("one-shot source", "source", insert()),
  ],
  query: [
    ...SHAPES.flatMap((shape) => [ping(shape), query(shape)]),
    directReads("direct read 1", 1),
    directReads("direct read 8", 8),
  ],
  "cold start": COLD_STAGES.map(coldStart),
  // Last: what they write takes the disk a while.
  values: [
    large("1KB", [1, 1]),
    large("1KB", [8, 1]),
    large("1KB", [8, 16]),
    direct("8 processes 1KB", "full", 8, 1, "1KB"),
    direct("in-process 1KB", "full", 1, 1, "1KB"),
    large("100KB", [1, 1]),
    large("100KB", [8, 1]),
    direct("8 processes 100KB", "full", 8, 1, "100KB"),
    direct("in-process 100KB", "full", 1, 1, "100KB"),
  ],
};

/** All workloads, in the order of the report. */
export const WORKLOADS: readonly Workload[] = Object.entries(GROUPS)
  .flatMap(([group, workloads]) => workloads.map((workload) => ({ ...workload, group })));

function insert(value: ValueName = "100B", rows = 1) {
  return { type: "ExecBatch", stmts: Array(rows).fill({ sql: INSERT, params: [VALUES[value]] }) };
}

/** Requests of which each leaves `rows` rows; 0: it writes none. */
function load(
  kind: string,
  daemon: DaemonName,
  [connections, inFlight]: Shape,
  request: object,
  rows: number,
  varied?: LoadOptions["varied"],
): Unnamed {
  return {
    name: `${kind} ${connections}x${inFlight}`,
    measure: (round) =>
      round.load<LoadOptions>(
        daemon,
        "load.ts",
        { connections, inFlight, request, varied },
        rows,
      ),
  };
}

function writes(durability: Durability, shape: Shape, varied?: "session" | "key"): Unnamed {
  const kind = `daemon ${durability}${varied ? ` ${varied}` : ""}`;
  return load(kind, durability, shape, insert(), 1, varied);
}

function batches(durability: Durability, shape: Shape, varied?: "session"): Unnamed {
  const kind = `batch ${durability}${varied ? ` ${varied}` : ""}`;
  return load(kind, durability, shape, insert("100B", BATCH), BATCH, varied);
}

function large(value: ValueName, shape: Shape): Unnamed {
  return load(`daemon session ${value}`, "values", shape, insert(value), 1, "session");
}

function ping(shape: Shape): Unnamed {
  return load("ping", "points", shape, PING, 0);
}

function query(shape: Shape): Unnamed {
  return load("query", "points", shape, { type: "Query", sql: READ_POINT }, 0, "point");
}

function oneShot(name: string, daemon: DaemonName, request: object, session = false): Unnamed {
  const options = { atATime: ONE_SHOTS, request, session };
  const rows = request === PING ? 0 : 1;
  return {
    name,
    measure: (round) => round.load<OneShotOptions>(daemon, "one_shot.ts", options, rows),
  };
}

function direct(
  name: string,
  durability: Durability,
  writers = 1,
  rows = 1,
  value: ValueName = "100B",
): Unnamed {
  return { name, measure: (round) => measureDirect(round, durability, writers, rows, value) };
}

/** One program with as many rows a transaction as the daemon, at the best, had requests in a commit. */
function grouped(durability: Durability, shape: string): Unnamed {
  const after = `daemon ${durability} session ${shape}`;
  return {
    name: `in-process ${durability} grouped ${shape}`,
    after,
    measure(round) {
      const rows = Math.max(1, Math.round(round.measured.get(after)!.perCommit!));
      return measureDirect(round, durability, 1, rows, "100B");
    },
  };
}

async function measureDirect(
  round: Round,
  durability: Durability,
  writers: number,
  rows: number,
  value: ValueName,
): Promise<Measured> {
  const options: DirectWriterOptions = {
    ...round.options,
    ...{ file: round.newFile(), durability, rows },
    ...{ sql: INSERT, value: VALUES[value], busyTimeoutMs: BUSY_TIMEOUT_MS },
  };
  const measured = await runWorkers("direct_writer.ts", writers, options);
  return { ...measured, perSecond: measured.perSecond * rows, perCommit: rows };
}

/** While the daemon serves the file, as programs that read beside it do. */
function directReads(name: string, readers: number): Unnamed {
  return {
    name,
    async measure(round) {
      const { file } = await round.daemon("points");
      const options: DirectReaderOptions = { ...round.options, file };
      return await runWorkers("direct_reader.ts", readers, options);
    },
  };
}

function coldStart(stage: typeof COLD_STAGES[number]): Unnamed {
  return {
    name: `cold start ${stage}`,
    async measure(round) {
      const latencies = (await round.coldStarts())[stage];
      return { perSecond: 0, doneInAll: latencies.count, failures: {}, cores: 0, latencies };
    },
  };
}
