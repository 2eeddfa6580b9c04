/**
 * The figures of a workload, over all rounds.
 *
 * @module
 */
import type { Measured } from "./worker.ts";
import type { Workload } from "./workloads.ts";

/** Figures: medians of the rounds', but for the slowest and the failures, which are of all rounds. Times in ms. */
export interface Figures {
  readonly group: string;
  readonly name: string;
  readonly rounds: number;
  /** Rows a second, or answers where nothing is written; 0 where a rate says nothing. */
  readonly perSecond: number;
  /** The lowest and the highest of the rounds. */
  readonly perSecondRange: readonly [number, number];
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
  readonly failures: Readonly<Record<string, number>>;
  /** Cores that the generator, or the writers, took. */
  readonly cores: number;
  /** Cores that the daemon took; missing where there was none, or the system does not say. */
  readonly daemonCores?: number;
  /** Requests that shared a commit, on average; of a program without a daemon, the rows of a transaction. */
  readonly perCommit?: number;
}

/** Sums up what the rounds measured. */
export function figuresOf({ group, name }: Workload, rounds: readonly Measured[]): Figures {
  const rates = rounds.map(({ perSecond }) => perSecond).sort((a, b) => a - b);
  const percentile = (share: number) =>
    median(rounds.map(({ latencies }) => latencies.percentile(share)));
  const failures: Record<string, number> = {};
  for (const round of rounds) {
    for (const [what, count] of Object.entries(round.failures)) {
      failures[what] = (failures[what] ?? 0) + count;
    }
  }
  const daemonCores = rounds.flatMap((round) => round.daemonCores ?? []).filter(Number.isFinite);
  const commits = rounds.flatMap((round) => round.perCommit ?? []);
  return {
    group,
    name,
    rounds: rounds.length,
    perSecond: median(rates),
    perSecondRange: [rates[0], rates.at(-1)!],
    p50: percentile(0.5),
    p99: percentile(0.99),
    p999: percentile(0.999),
    max: Math.max(...rounds.map(({ latencies }) => latencies.max)),
    failures,
    cores: median(rounds.map(({ cores }) => cores)),
    ...(daemonCores.length > 0 ? { daemonCores: median(daemonCores) } : {}),
    ...(commits.length > 0 ? { perCommit: median(commits) } : {}),
  };
}

/** The middle one, or the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
