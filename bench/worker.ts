/**
 * Worker processes: they get ready, begin at the same moment, and report what they measured.
 *
 * @module
 */
import process from "node:process";
import { fileURLToPath } from "node:url";
import { Latencies, type LatenciesJson } from "./latencies.ts";

/** What a worker measured. */
export interface WorkerResult {
  /** Operations that succeeded within the time that is measured. */
  readonly done: number;
  /** Operations that succeeded altogether. */
  readonly doneInAll: number;
  /** Operations that failed, by what failed. */
  readonly failures: Readonly<Record<string, number>>;
  /** How much of a core it took, from its start to its end. */
  readonly cores: number;
  readonly latencies: LatenciesJson;
}

/** What all workers are told. */
export interface WorkerOptions {
  /** How long they work before it is measured, in seconds. */
  readonly warmUpSeconds: number;
  /** How long is measured, in seconds. */
  readonly seconds: number;
}

/** What several workers measured at the same time. */
export interface Measured {
  readonly perSecond: number;
  readonly doneInAll: number;
  readonly failures: Readonly<Record<string, number>>;
  /** Processor time of all workers per second: 1 is one core. */
  readonly cores: number;
  /** The same of the daemon, where there is one; NaN where the system does not say. */
  readonly daemonCores?: number;
  readonly latencies: Latencies;
  /** Requests that shared a commit, on average; of a program without a daemon, the rows of a transaction. */
  readonly perCommit?: number;
}

/** How long a worker may take beyond what it measures, in milliseconds. */
const EXTRA_MS_MAX = 30_000;

/**
 * Runs `count` workers at once, each a Deno process of the module `name` in this folder with `options` as JSON.
 *
 * @throws {Error} when one of them fails or does not end in time.
 */
export async function runWorkers(
  name: string,
  count: number,
  options: WorkerOptions,
): Promise<Measured> {
  const { warmUpSeconds, seconds } = options;
  const signal = AbortSignal.timeout((warmUpSeconds + seconds) * 1000 + EXTRA_MS_MAX);
  const children = Array.from({ length: count }, () => spawn(name, options, signal));
  try {
    await Promise.all(children.map((child) => child.ready));
    const from = Date.now() + warmUpSeconds * 1000;
    for (const child of children) await child.go(from);
    return together(await Promise.all(children.map((child) => child.result)), seconds);
  } finally {
    for (const child of children) child.kill();
  }
}

function spawn(name: string, options: unknown, signal: AbortSignal) {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", fileURLToPath(new URL(name, import.meta.url)), JSON.stringify(options)],
    stdin: "piped",
    stdout: "piped",
    signal,
  }).spawn();
  const lines = linesOf(child.stdout);
  const ready = lines.next();
  const result = ready.then(() => lines.next()).then(({ value }): WorkerResult => {
    if (value === undefined) throw new Error(`${name} ended without a result, or took too long`);
    return JSON.parse(value);
  });
  result.catch(() => {}); // where another worker fails first, nobody waits for this one
  return {
    ready,
    result,
    async go(from: number) {
      const writer = child.stdin.getWriter();
      await writer.write(new TextEncoder().encode(`${from}`));
      await writer.close();
    },
    kill() {
      try {
        child.kill("SIGKILL");
      } catch {
        // It has ended already.
      }
    },
  };
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string, undefined> {
  let text = "";
  for await (const part of stream.pipeThrough(new TextDecoderStream() as TransformStream)) {
    const lines = (text + part).split("\n");
    text = lines.pop()!;
    yield* lines;
  }
}

function together(results: readonly WorkerResult[], seconds: number): Measured {
  const failures: Record<string, number> = {};
  let perSecond = 0, doneInAll = 0, cores = 0;
  for (const result of results) {
    perSecond += result.done / seconds;
    doneInAll += result.doneInAll;
    cores += result.cores;
    for (const [what, count] of Object.entries(result.failures)) {
      failures[what] = (failures[what] ?? 0) + count;
    }
  }
  const latencies = Latencies.of(results.map((result) => result.latencies));
  return { perSecond, doneInAll, failures, cores, latencies };
}

// In the worker

/**
 * Counts what a worker does. All workers measure the same time, by the clock on the wall: were it each one's own, those
 * that others had kept from writing would measure when these have ended.
 */
export class Tally {
  /** When to end, on the clock of `performance.now()`. */
  readonly until: number;
  readonly #from: number;
  readonly #startedAt = performance.now();
  readonly #cpuAtStart = process.cpuUsage();
  readonly #latencies = new Latencies();
  readonly #failures: Record<string, number> = {};
  #done = 0;
  #doneInAll = 0;

  private constructor(from: number, seconds: number) {
    this.#from = from;
    this.until = from + seconds * 1000;
  }

  /** Says that this worker is ready, and waits until all are. */
  static async start({ seconds }: WorkerOptions): Promise<Tally> {
    console.log("ready");
    const bytes = new Uint8Array(32);
    const length = await Deno.stdin.read(bytes);
    const from = Number(new TextDecoder().decode(bytes.subarray(0, length ?? 0)));
    return new Tally(from - performance.timeOrigin, seconds);
  }

  /** Counts an operation that succeeded; both times on the clock of `performance.now()`. */
  done(since: number, now: number): void {
    this.#doneInAll++;
    if (now >= this.#from && now < this.until) this.#done++;
    this.#record(since, now);
  }

  /** Counts an operation that failed, by what failed. */
  failed(what: string, since: number, now: number): void {
    this.#failures[what] = (this.#failures[what] ?? 0) + 1;
    this.#record(since, now);
  }

  /** What began in time counts however long it took, or the slowest would be left out. */
  #record(since: number, now: number): void {
    if (now >= this.#from && since < this.until) this.#latencies.record(now - since);
  }

  /** Writes the result to standard output. */
  report(): void {
    const { user, system } = process.cpuUsage(this.#cpuAtStart);
    const result: WorkerResult = {
      done: this.#done,
      doneInAll: this.#doneInAll,
      failures: this.#failures,
      cores: (user + system) / 1000 / (performance.now() - this.#startedAt),
      latencies: this.#latencies.toJSON(),
    };
    console.log(JSON.stringify(result));
  }
}
