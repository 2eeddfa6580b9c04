/**
 * The patterns in which programs connect, and what the daemon's memory is to be in each.
 *
 * @module
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { LoadProcess } from "./load_process.ts";
import type { Samples } from "./samples.ts";

/** How much is done. */
export interface PatternOptions {
  /** How long the idle daemon is looked at. */
  readonly idleMs: number;
  /** Connections of the last pattern, twice. */
  readonly shots: number;
}

/** One figure against its target; memory in MiB. */
export interface Figure {
  readonly what: string;
  readonly wanted: string;
  readonly measured: string;
  readonly reached: boolean;
}

/** A pattern. */
export interface Pattern {
  readonly name: string;
  /** What is done, for the reader of the table. */
  readonly description: string;
  /** The guide's figure in words, and the highest of it in MB for the picture, where it names one. */
  readonly guide: string;
  readonly guideMB?: number;
  run(load: LoadProcess, samples: Samples, options: PatternOptions): Promise<Figure[]>;
}

/** When memory is looked at after the last request. */
const AFTER_MS = 5_000;
/** The daemon is started and has given back what it needed for that. */
const STARTED_MS = 4_000;
/** A rate may vary by so much from thousand to thousand. */
const RATE_RATIO_MIN = 0.95;

/** All patterns, in the order of the table. */
export const PATTERNS: readonly Pattern[] = [
  {
    name: "idle",
    description:
      "Nobody connects. The highest from 4 s after the start on, and by how much the end is above the beginning.",
    guide: "10–20 MB, flat",
    guideMB: 20,
    async run(_, samples, { idleMs }) {
      await sleep(STARTED_MS + idleMs);
      const growth = samples.about(samples.now - 500) - samples.about(STARTED_MS);
      return [
        atMost("highest", samples.highest(STARTED_MS), 15),
        atMost("growth", growth, 0.5),
      ];
    },
  },
  {
    name: "10 clients",
    description:
      "10 connections write 10 times each, 100 ms apart, and stay open. 5 s after the last write.",
    guide: "30–40 MB",
    guideMB: 40,
    run: (load, samples) => keepAlive(load, samples, 10, 17),
  },
  {
    name: "50 clients",
    description: "The same with 50 connections.",
    guide: "100–120 MB",
    guideMB: 120,
    run: (load, samples) => keepAlive(load, samples, 50, 20),
  },
  {
    name: "burst",
    description:
      "100 connections at once, each writes and closes. The highest, and 5 s after the last.",
    guide: "200 MB, drops fast",
    guideMB: 200,
    async run(load, samples) {
      const from = samples.now;
      await load.run({ do: "shoot", shots: 100, atATime: 100 });
      const after = await rest(samples);
      return [atMost("highest", samples.highest(from), 32), atMost("5 s after", after, 18)];
    },
  },
  {
    name: "services and orders",
    description:
      "3 connections write 10 times each and stay open; then for 5 s 50 connections a second that write and close. " +
      "Before these, the highest, and 5 s after the last.",
    guide: "21 → 120 → 21 MB",
    guideMB: 120,
    async run(load, samples) {
      await load.run({ do: "open", connections: 3 });
      await load.run({ do: "write", times: 10, pauseMs: 100 });
      const before = await rest(samples);
      const from = samples.now;
      await load.run({ do: "shoot", shots: 250, everyMs: 20 });
      const after = await rest(samples);
      return [
        atMost("before", before, 16),
        atMost("highest", samples.highest(from), 30),
        atMost("5 s after", after, 18),
      ];
    },
  },
  {
    name: "one-shot",
    description:
      "10,000 connections that write and close, 8 at a time, then 10,000 more. 5 s after the first, how much more it is " +
      "5 s after the second, and how fast the last thousand were against the first.",
    guide: "no growth",
    async run(load, samples, { shots }) {
      const first = await load.run({ do: "shoot", shots, atATime: 8 });
      const after = await rest(samples);
      const second = await load.run({ do: "shoot", shots, atATime: 8 });
      const growth = await rest(samples) - after;
      const ratio = (second.perSecond.at(-1) ?? NaN) / first.perSecond[0];
      return [
        atMost("5 s after", after, 18),
        atMost("growth", growth, 0.1),
        {
          what: "last thousand against the first",
          wanted: `≥ ${RATE_RATIO_MIN}`,
          measured: ratio.toFixed(2),
          reached: ratio >= RATE_RATIO_MIN,
        },
      ];
    },
  },
];

async function keepAlive(
  load: LoadProcess,
  samples: Samples,
  connections: number,
  wanted: number,
): Promise<Figure[]> {
  await load.run({ do: "open", connections });
  await load.run({ do: "write", times: 10, pauseMs: 100 });
  return [atMost("open and silent", await rest(samples), wanted)];
}

/** Waits until memory is looked at after the last request, and looks. */
async function rest(samples: Samples): Promise<number> {
  const moment = samples.now + AFTER_MS;
  await sleep(AFTER_MS + 500);
  return samples.about(moment);
}

/** Holds a figure against the most that it may be, both in MiB, as precise as the target is. */
function atMost(what: string, measured: number, wanted: number): Figure {
  const digits = wanted < 1 ? 2 : 1;
  return {
    what,
    wanted: `≤ ${wanted}`,
    measured: measured.toFixed(digits),
    reached: Number(measured.toFixed(digits)) <= wanted,
  };
}
