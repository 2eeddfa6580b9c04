/**
 * Distributions of the last minute, and since the start.
 *
 * @module
 */
import type { Distribution } from "../../client/protocol.ts";
import { Histogram } from "./histogram.ts";

/** Percentiles are too large by 3% at most; a histogram takes 8 KB. */
const BITS = 5;
/** The last minute is made of so many pieces, so it is between {@link SLOTS} - 1 and {@link SLOTS} of them long. */
const SLOTS = 3, SLOT_MS = 20_000;

/** Values as they come. Counting one costs nanoseconds; memory is taken for pieces of the minute that have any. */
export class RecentHistogram {
  /** The newest first. */
  readonly #slots: (Histogram | null)[] = Array.from({ length: SLOTS }, () => null);
  #older: Histogram | null = null;
  #slotEndsAt = -Infinity;

  /** Counts a value at `now`, on the clock of `performance.now()`. */
  record(value: number, now: number): void {
    if (now >= this.#slotEndsAt) this.#advance(now);
    (this.#slots[0] ??= new Histogram(BITS)).record(value);
  }

  /** The values of the last 40 to 60 seconds before `now`. */
  lastMinute(now: number): Distribution {
    this.#advance(now);
    return distributionOf(this.#slots);
  }

  /** All values since the start. */
  total(): Distribution {
    return distributionOf([...this.#slots, this.#older]);
  }

  /** Begins a new piece where the newest is over, and moves to the older values what is over a minute old. */
  #advance(now: number): void {
    for (let i = 0; i < SLOTS && now >= this.#slotEndsAt; i++) {
      const oldest = this.#slots.pop()!;
      if (oldest) {
        (this.#older ??= new Histogram(BITS)).add(oldest);
        oldest.clear();
      }
      this.#slots.unshift(oldest);
      this.#slotEndsAt += SLOT_MS;
    }
    if (now >= this.#slotEndsAt) this.#slotEndsAt = now + SLOT_MS;
  }
}

function distributionOf(histograms: readonly (Histogram | null)[]): Distribution {
  const all = new Histogram(BITS);
  for (const each of histograms) if (each) all.add(each);
  const { count, sum, max } = all;
  if (count === 0) return { count, sum, p50: 0, p99: 0, max };
  return { count, sum, p50: all.percentile(0.5), p99: all.percentile(0.99), max };
}
