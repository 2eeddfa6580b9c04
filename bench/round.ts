/**
 * One pass over the workloads, with daemons and files of its own.
 *
 * @module
 */
import { join } from "node:path";
import { Connection } from "../daemon/sqlite/connection.ts";
import { type ColdStarts, coldStarts } from "./cold_start.ts";
import {
  type DaemonUnderTest,
  type Durability,
  type Program,
  rowsIn,
  SOURCE,
  startDaemon,
  workDone,
} from "./daemon_under_test.ts";
import { fillPoints, POINTS } from "./points.ts";
import { type Measured, runWorkers, type WorkerOptions } from "./worker.ts";

/** How long and how often is measured. */
export interface RoundOptions extends WorkerOptions {
  /** Daemons that are started to see how long it takes. */
  readonly coldStarts: number;
}

/** The daemons of a round, each with a file of its own, so that one kind of workload leaves nothing behind for another. */
const DAEMONS = {
  full: { durability: "full" },
  normal: { durability: "normal" },
  /** For large values. */
  values: { durability: "full" },
  /** For what does not write: its table holds {@link POINTS}. */
  points: { durability: "full", rows: POINTS },
  /** Run from source, whatever the others are. */
  source: { durability: "full", program: SOURCE },
} as const satisfies Record<
  string,
  { durability: Durability; rows?: number; program?: Program }
>;

/** Which daemon. */
export type DaemonName = keyof typeof DAEMONS;

/** A daemon, and the rows that its table has to hold. */
interface Serving {
  readonly daemon: DaemonUnderTest;
  rows: number;
}

const SCHEMA = "create table t(id integer primary key, v text)";

/** One pass over the workloads. At dispose its daemons end. */
export class Round implements AsyncDisposable {
  readonly options: RoundOptions;
  /** What was measured in it, by the workload's name. */
  readonly measured = new Map<string, Measured>();
  readonly #program: Program;
  readonly #folder: string;
  readonly #serving = new Map<DaemonName, Serving>();
  #coldStarts: Promise<ColdStarts> | undefined;
  #files = 0;

  /** Files go into `folder`, which must be empty. */
  constructor(program: Program, folder: string, options: RoundOptions) {
    this.#program = program;
    this.#folder = folder;
    this.options = options;
  }

  /** A new file with an empty table, for programs that write it themselves. */
  newFile(): string {
    const file = join(this.#folder, `direct-${++this.#files}.db`);
    makeFile(file);
    return file;
  }

  /** The daemon of this name, started at the first call. */
  async daemon(name: DaemonName): Promise<DaemonUnderTest> {
    return (await this.#served(name)).daemon;
  }

  /**
   * Loads a daemon from a process of the module `worker`, each of whose operations leaves `rows` rows in the table. The
   * rate is that of the rows, or of the operations where there are none.
   */
  async load<Options extends WorkerOptions & { readonly endpoint: string }>(
    name: DaemonName,
    worker: string,
    own: Omit<Options, keyof WorkerOptions | "endpoint">,
    rows: number,
  ): Promise<Measured> {
    const serving = await this.#served(name);
    const { daemon } = serving;
    const before = await workDone(daemon);
    const options = { ...this.options, ...own, endpoint: daemon.endpoint };
    const measured = await runWorkers(worker, 1, options);
    const after = await workDone(daemon);
    serving.rows += measured.doneInAll * rows;
    const groups = after.groups - before.groups;
    const { warmUpSeconds, seconds } = this.options;
    return {
      ...measured,
      perSecond: measured.perSecond * Math.max(rows, 1),
      daemonCores: (after.cpuSeconds - before.cpuSeconds) / (warmUpSeconds + seconds),
      ...(groups > 0 ? { perCommit: (after.writes - before.writes) / groups } : {}),
    };
  }

  /** How long daemons take to start. */
  coldStarts(): Promise<ColdStarts> {
    return this.#coldStarts ??= coldStarts(this.#program, this.#folder, this.options.coldStarts);
  }

  async #served(name: DaemonName): Promise<Serving> {
    const running = this.#serving.get(name);
    if (running !== undefined) return running;
    const { durability, rows, program }: {
      durability: Durability;
      rows?: number;
      program?: Program;
    } = DAEMONS[name];
    const file = join(this.#folder, `${name}.db`);
    if (rows === undefined) makeFile(file);
    else fillPoints(file);
    const daemon = await startDaemon(program ?? this.#program, file, durability);
    const serving = { daemon, rows: rows ?? 0 };
    this.#serving.set(name, serving);
    return serving;
  }

  /**
   * Holds the rows in the daemons' files against what was acknowledged.
   *
   * @throws {Error} when they differ.
   */
  async check(): Promise<void> {
    for (const { daemon, rows } of this.#serving.values()) {
      const found = await rowsIn(daemon);
      if (found === rows) continue;
      throw new Error(`${daemon.file} holds ${found} rows, but ${rows} were acknowledged`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { daemon } of this.#serving.values()) await daemon[Symbol.asyncDispose]();
  }
}

function makeFile(file: string): void {
  const connection = Connection.open(file);
  connection.exec(`PRAGMA journal_mode = wal; ${SCHEMA}`);
  connection.close();
}
