/**
 * What is measured: the same insert through the daemon, and as a program would do it without one.
 *
 * @module
 */
import { join } from "node:path";
import { Connection } from "../daemon/sqlite/connection.ts";
import { type DaemonUnderTest, type Program, startDaemon } from "./daemon_under_test.ts";
import type { DirectWriterOptions } from "./direct_writer.ts";
import type { LoadOptions } from "./load.ts";
import { type Measured, runWorkers, type WorkerOptions } from "./worker.ts";

const SCHEMA = "create table t(id integer primary key, v text)";
const INSERT = "insert into t(v) values (?)";
const VALUE = "x".repeat(100);
/** What SQLite's users are told to set; many do not get by with it. */
const BUSY_TIMEOUT_MS = 5_000;
/** Processes that write one file without a daemon. */
const DIRECT_WRITERS = 8;

const WRITE = { type: "ExecBatch", stmts: [{ sql: INSERT, params: [VALUE] }] };
const PING = { type: "Ping" };

/** Connections × requests in flight on each. */
const SHAPES = [[1, 1], [8, 1], [64, 1], [8, 16]] as const;

/** How durable what was written is. */
export type Durability = "full" | "normal";

/** Something to measure. */
export interface Workload {
  /** Such as `daemon full 64x1`; `--only` takes its words. */
  readonly name: string;
  /** Rows an operation. */
  readonly rows: number;
  measure(round: Round): Promise<Measured>;
}

/** All workloads, in the order of the report. */
export const WORKLOADS: readonly Workload[] = [
  ...SHAPES.map((shape) => load("daemon full", "full", WRITE, shape)),
  ...SHAPES.map((shape) => load("daemon full session", "full", WRITE, shape, "session")),
  ...SHAPES.slice(2).map((shape) => load("daemon full key", "full", WRITE, shape, "key")),
  direct(`${DIRECT_WRITERS} processes full`, "full", DIRECT_WRITERS, 1),
  ...[1, 8, 64, 256].map((rows) => direct(`in-process full ${rows}`, "full", 1, rows)),
  ...SHAPES.map((shape) => load("daemon normal", "normal", WRITE, shape)),
  direct(`${DIRECT_WRITERS} processes normal`, "normal", DIRECT_WRITERS, 1),
  direct("in-process normal 1", "normal", 1, 1),
  ...SHAPES.map((shape) => load("ping", "full", PING, shape)),
];

function load(
  kind: string,
  durability: Durability,
  request: object,
  [connections, inFlight]: readonly [number, number],
  once?: LoadOptions["once"],
): Workload {
  return {
    name: `${kind} ${connections}x${inFlight}`,
    rows: 1,
    async measure(round) {
      const { endpoint } = await round.daemon(durability);
      const options: LoadOptions = {
        ...round.time,
        endpoint,
        connections,
        inFlight,
        request,
        once,
      };
      const measured = await runWorkers("load.ts", 1, options);
      if (request === WRITE) round.acknowledged[durability] += measured.doneInAll;
      return measured;
    },
  };
}

function direct(name: string, durability: Durability, writers: number, rows: number): Workload {
  return {
    name,
    rows,
    async measure(round) {
      const file = round.newFile();
      const connection = Connection.open(file);
      connection.exec(`PRAGMA journal_mode = wal; ${SCHEMA}`);
      connection.close();
      const options: DirectWriterOptions = {
        ...round.time,
        ...{ file, durability, rows, sql: INSERT, value: VALUE, busyTimeoutMs: BUSY_TIMEOUT_MS },
      };
      return await runWorkers("direct_writer.ts", writers, options);
    },
  };
}

/** One pass over the workloads, with daemons and files of its own. At dispose the daemons end. */
export class Round implements AsyncDisposable {
  readonly time: WorkerOptions;
  /** Writes that a daemon has acknowledged. */
  readonly acknowledged: Record<Durability, number> = { full: 0, normal: 0 };
  readonly #program: Program;
  readonly #folder: string;
  readonly #daemons = new Map<Durability, DaemonUnderTest>();
  #files = 0;

  /** Files go into `folder`, which must be empty. */
  constructor(program: Program, folder: string, time: WorkerOptions) {
    this.#program = program;
    this.#folder = folder;
    this.time = time;
  }

  /** A name for a file that does not exist. */
  newFile(): string {
    return join(this.#folder, `direct-${++this.#files}.db`);
  }

  /** The daemon of this durability, started at the first call. */
  async daemon(durability: Durability): Promise<DaemonUnderTest> {
    const running = this.#daemons.get(durability);
    if (running !== undefined) return running;
    const file = join(this.#folder, `${durability}.db`);
    const daemon = await startDaemon(this.#program, file, durability, SCHEMA);
    this.#daemons.set(durability, daemon);
    return daemon;
  }

  /**
   * Holds the rows in the files against what was acknowledged.
   *
   * @throws {Error} when they differ.
   */
  async check(): Promise<void> {
    for (const [durability, daemon] of this.#daemons) {
      const [rows, acknowledged] = [await daemon.rows(), this.acknowledged[durability]];
      if (rows === acknowledged) continue;
      throw new Error(`${daemon.file} holds ${rows} rows, but ${acknowledged} were acknowledged`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const daemon of this.#daemons.values()) await daemon[Symbol.asyncDispose]();
  }
}
