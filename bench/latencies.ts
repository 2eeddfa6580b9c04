/**
 * Latencies, counted in buckets so that those of several processes can be put together.
 *
 * @module
 */
import { Histogram, type HistogramCounts } from "../daemon/process/histogram.ts";

/** Latencies as JSON, in milliseconds. */
export type LatenciesJson = HistogramCounts;

/** Percentiles are too large by 0.8% at most. */
const BITS = 7;

/** A distribution of latencies in milliseconds. The largest is exact. */
export class Latencies extends Histogram {
  /** None yet. */
  constructor() {
    super(BITS);
  }

  /** Puts together what workers counted. */
  static of(all: readonly LatenciesJson[]): Latencies {
    const latencies = new Latencies();
    for (const each of all) latencies.add(each);
    return latencies;
  }
}
