/**
 * How much memory a daemon has, again and again.
 *
 * @module
 */
import { readFileSync } from "node:fs";

/** How often it is looked, in milliseconds. */
const SAMPLE_MS = 50;
/** What belongs to a moment is what was measured within so many milliseconds of it. */
const MOMENT_MS = 250;
const KIB_OF_MIB = 1_024;

/** One look. */
export interface Sample {
  /** Milliseconds since the first. */
  readonly ms: number;
  /** Private memory: the anonymous pages. */
  readonly privateMiB: number;
  /** All that is resident, the executable's own pages too. */
  readonly residentMiB: number;
  readonly connections: number;
}

/** Looks at a process until it is disposed. The process is not asked for anything: that would be a request. Only on Linux. */
export class Samples implements Disposable {
  readonly all: Sample[] = [];
  readonly #pid: number;
  readonly #endpoint: string;
  readonly #startedAt = performance.now();
  readonly #timer: ReturnType<typeof setInterval>;

  /** Begins to look at the process `pid`, and at the connections of its socket. */
  constructor(pid: number, endpoint: string) {
    this.#pid = pid;
    this.#endpoint = endpoint;
    this.#timer = setInterval(() => this.#look(), SAMPLE_MS);
    this.#look();
  }

  #look(): void {
    const memory = readFileSync(`/proc/${this.#pid}/smaps_rollup`, "utf8");
    this.all.push({
      ms: this.now,
      privateMiB: mebibytes(memory, "Pss_Anon"),
      residentMiB: mebibytes(memory, "Rss"),
      connections: connectionsAt(this.#endpoint),
    });
  }

  /** Milliseconds since the first look. */
  get now(): number {
    return performance.now() - this.#startedAt;
  }

  /** The highest private memory from one moment to another, in MiB. */
  highest(fromMs = 0, toMs = Infinity): number {
    const within = this.all.filter(({ ms }) => ms >= fromMs && ms <= toMs);
    return Math.max(...within.map(({ privateMiB }) => privateMiB));
  }

  /** The median of private memory about a moment, in MiB. */
  about(moment: number): number {
    const near = this.all.filter(({ ms }) => Math.abs(ms - moment) <= MOMENT_MS)
      .map(({ privateMiB }) => privateMiB).sort((a, b) => a - b);
    if (near.length === 0) throw new Error(`Nothing was measured about ${Math.round(moment)} ms`);
    return near[near.length >> 1];
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

function mebibytes(text: string, field: string): number {
  const kibibytes = new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(text)?.[1];
  if (kibibytes === undefined) throw new Error(`The system does not tell ${field}: Linux 5.4 does`);
  return Number(kibibytes) / KIB_OF_MIB;
}

/** Both ends of a connection have a line, and the daemon's has the path of its socket: state 03 is "connected". */
function connectionsAt(path: string): number {
  return readFileSync("/proc/net/unix", "utf8").split("\n")
    .filter((line) => line.endsWith(` ${path}`) && / 03 +\d+ [^ ]+$/.test(line)).length;
}
