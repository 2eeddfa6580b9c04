/**
 * Latencies, counted in buckets so that those of several processes can be put together.
 *
 * @module
 */

/** Upper bound of the first bucket, in milliseconds: less cannot be told apart. */
const SMALLEST_MS = 0.001;
/** Ratio of a bucket's bounds, and so the largest relative error of a percentile. */
const RATIO = 1.01;
const LOG_RATIO = Math.log(RATIO);

/** Latencies as JSON: the counts by bucket, and the largest in milliseconds. */
export interface LatenciesJson {
  readonly counts: readonly number[];
  readonly maxMs: number;
}

/** A distribution of latencies. Percentiles are exact to 1%, the largest is exact. */
export class Latencies {
  readonly #counts: number[] = [];
  #maxMs = 0;
  #count = 0;

  /** Reads what {@link Latencies.toJSON} wrote. */
  static of(all: readonly LatenciesJson[]): Latencies {
    const latencies = new Latencies();
    for (const { counts, maxMs } of all) {
      counts.forEach((count, bucket) => latencies.#add(bucket, count));
      latencies.#maxMs = Math.max(latencies.#maxMs, maxMs);
    }
    return latencies;
  }

  /** Adds a latency, in milliseconds. */
  record(ms: number): void {
    const bucket = ms <= SMALLEST_MS ? 0 : Math.ceil(Math.log(ms / SMALLEST_MS) / LOG_RATIO);
    this.#add(bucket, 1);
    if (ms > this.#maxMs) this.#maxMs = ms;
  }

  #add(bucket: number, count: number): void {
    while (this.#counts.length <= bucket) this.#counts.push(0);
    this.#counts[bucket] += count;
    this.#count += count;
  }

  /** How many there are. */
  get count(): number {
    return this.#count;
  }

  /** The largest, in milliseconds. */
  get maxMs(): number {
    return this.#maxMs;
  }

  /** The latency that the share `share` (0 to 1) does not exceed, in milliseconds; NaN where there are none. */
  percentile(share: number): number {
    let left = Math.ceil(share * this.#count);
    for (let bucket = 0; bucket < this.#counts.length; bucket++) {
      left -= this.#counts[bucket];
      if (left <= 0) return Math.min(SMALLEST_MS * RATIO ** bucket, this.#maxMs);
    }
    return NaN;
  }

  /** As plain data. */
  toJSON(): LatenciesJson {
    return { counts: this.#counts, maxMs: this.#maxMs };
  }
}
