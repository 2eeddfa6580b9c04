/**
 * What the daemon is to reach, mostly as ratios of what was measured beside it in the same round.
 *
 * @module
 */
import { type Figures, median } from "./figures.ts";

/** A target and how far it was reached. */
export interface TargetResult {
  readonly target: string;
  /** What was measured, in the target's unit: the median of the rounds. */
  readonly measured: number;
  readonly wanted: string;
  readonly reached: boolean;
}

/** Figures of one round. Those of a workload that was not measured are NaN, and so is what is made of them. */
class RoundFigures {
  readonly #all: ReadonlyMap<string, Figures>;

  constructor(figures: readonly Figures[]) {
    this.#all = new Map(figures.map((each) => [each.name, each]));
  }

  rate(name: string): number {
    return this.#all.get(name)?.perSecond ?? NaN;
  }

  p50(name: string): number {
    return this.#all.get(name)?.p50 ?? NaN;
  }

  /** The largest p99.9 of those whose name is so. */
  slowest(pattern: RegExp): number {
    const found = [...this.#all.values()].filter(({ name }) => pattern.test(name));
    return found.length === 0 ? NaN : Math.max(...found.map(({ p999 }) => p999));
  }
}

interface Target {
  readonly name: string;
  readonly measure: (round: RoundFigures) => number;
  readonly atLeast?: number;
  readonly atMost?: number;
  readonly unit?: "×" | "ms" | "/s";
  /** One of those that share this is enough. */
  readonly either?: string;
}

const TARGETS: readonly Target[] = [
  rate("FULL 64x1: rate beside 8 processes", "daemon full session 64x1", "8 processes full", 9),
  rate("FULL 8x16: rate beside 8 processes", "daemon full session 8x16", "8 processes full", 16),
  rate("FULL 8x16 without session: the same", "daemon full 8x16", "8 processes full", 20),
  rate(
    "FULL 64x1: rate with session to without",
    "daemon full session 64x1",
    "daemon full 64x1",
    0.85,
  ),
  rate(
    "FULL 8x16: rate with session to without",
    "daemon full session 8x16",
    "daemon full 8x16",
    0.85,
  ),
  slowest("FULL 64x1, 8x16: largest p99.9", /^daemon full (session )?(64x1|8x16)$/, 20),
  slowest("FULL, all shapes and keys: largest p99.9", /^daemon full /, 30),
  oneClient("FULL 1x1: p50 to Ping's + in-process", "full", 1.25),
  { ...oneClient("NORMAL 1x1: p50 to Ping's + in-process", "normal", 1.4), either: "normal 1x1" },
  {
    name: "NORMAL 1x1: or else its rate",
    measure: (round) => round.rate("daemon normal session 1x1"),
    atLeast: 10_000,
    unit: "/s",
    either: "normal 1x1",
  },
  rate(
    "NORMAL 8x16: rate beside 8 processes",
    "daemon normal session 8x16",
    "8 processes normal",
    1.8,
  ),
  slowest("NORMAL, all shapes: largest p99.9", /^daemon normal /, 30),
  rate("Query 1x1: rate to Ping's", "query 1x1", "ping 1x1", 0.8),
  rate("Query 8x1: rate to Ping's", "query 8x1", "ping 8x1", 0.8),
  ...batches("FULL", "full"),
  ...batches("NORMAL", "normal"),
  oneShots("One-shot, the executable: rate", "one-shot session", 4_500),
  oneShots("One-shot, from source: rate", "one-shot source session", 9_000),
  {
    name: "Cold start to the first durable write: p50",
    measure: (round) => round.p50("cold start write"),
    atMost: 75,
    unit: "ms",
  },
];

function rate(name: string, of: string, to: string, atLeast: number): Target {
  return { name, measure: (round) => round.rate(of) / round.rate(to), atLeast, unit: "×" };
}

function slowest(name: string, of: RegExp, atMost: number): Target {
  return { name, measure: (round) => round.slowest(of), atMost, unit: "ms" };
}

/** One client waits for the way to the daemon and back, and for what it would wait for without it. */
function oneClient(name: string, durability: string, atMost: number): Target {
  const measure = (round: RoundFigures) =>
    round.p50(`daemon ${durability} session 1x1`) /
    (round.p50("ping 1x1") + round.p50(`in-process ${durability} 1`));
  return { name, measure, atMost, unit: "×" };
}

/** One client waits for the way there and back with each batch; what several send is on its way meanwhile. */
function batches(title: string, durability: string): Target[] {
  return [["one client", "1x1"], ["8 clients", "8x1"]].map(([clients, shape]) =>
    rate(
      `${title} batch of 100, ${clients}: rate to in-process`,
      `batch ${durability} session ${shape}`,
      `in-process ${durability} 100`,
      0.6,
    )
  );
}

function oneShots(name: string, of: string, atLeast: number): Target {
  return { name, measure: (round) => round.rate(of), atLeast, unit: "/s" };
}

/** The targets that can be judged by these figures, of each round alone. */
export function targetResults(rounds: readonly (readonly Figures[])[]): TargetResult[] {
  const all = rounds.map((figures) => new RoundFigures(figures));
  const judged = TARGETS.flatMap((target) => {
    const measured = median(all.map(target.measure));
    const { atLeast = -Infinity, atMost = Infinity } = target;
    const reached = measured >= atLeast && measured <= atMost;
    return Number.isNaN(measured) ? [] : [{ target, measured, reached }];
  });
  return judged.map(({ target: { name, atLeast, atMost, unit, either }, measured, reached }) => ({
    target: name,
    measured,
    wanted: atLeast === undefined
      ? `at most ${atMost!.toLocaleString("en")} ${unit}`
      : `at least ${atLeast.toLocaleString("en")} ${unit}`,
    reached: reached ||
      either !== undefined && judged.some((each) => each.target.either === either && each.reached),
  }));
}
