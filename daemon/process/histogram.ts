/**
 * A distribution of values, counted in buckets of equal relative width, so that counting one costs nanoseconds.
 *
 * @module
 */

/** Values up to 2 to the power of this fall into the first bucket: in milliseconds that is 1 µs. */
const SMALLEST_EXPONENT = -10;
/** Doublings that are told apart: in milliseconds up to 70 minutes. Values beyond fall into the last bucket. */
const DOUBLINGS = 32;

// The exponent of a double and the first digits behind it are the number of its bucket.
const value = new Float64Array(1);
const words = new Uint32Array(value.buffer);
const HIGH = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1 ? 1 : 0;
const EXPONENT_BIAS = 1023, HIGH_FRACTION_BITS = 20;

/** What {@link Histogram.add} takes; as JSON it can be sent from process to process. */
export interface HistogramCounts {
  /** How many values are in each bucket; trailing empty ones may be missing. */
  readonly counts: ArrayLike<number>;
  readonly sum: number;
  readonly max: number;
}

/** A distribution of values from 0 on, such as milliseconds. Percentiles are too large by one part in 2 to the power of `bits` at most. */
export class Histogram implements HistogramCounts {
  readonly counts: Float64Array;
  /** The sum of all values. */
  sum = 0;
  /** The largest value, exact; 0 where there are none. */
  max = 0;
  readonly #bits: number;

  /** Divides each doubling into 2 to the power of `bits` buckets. */
  constructor(bits: number) {
    this.#bits = bits;
    this.counts = new Float64Array(DOUBLINGS << bits);
  }

  /** Counts a value. */
  record(each: number): void {
    value[0] = each;
    // A bucket holds its upper bound, not its lower one: whole numbers are told exactly as long as buckets are that narrow.
    const high = words[HIGH] - (words[1 - HIGH] === 0 ? 1 : 0);
    const bucket = (high >> (HIGH_FRACTION_BITS - this.#bits)) -
      ((SMALLEST_EXPONENT + EXPONENT_BIAS) << this.#bits);
    const last = this.counts.length - 1;
    this.counts[bucket < 0 ? 0 : bucket > last ? last : bucket]++;
    this.sum += each;
    if (each > this.max) this.max = each;
  }

  /** Counts all values of another one, which divides as finely. */
  add({ counts, sum, max }: HistogramCounts): void {
    for (let i = 0; i < counts.length; i++) this.counts[i] += counts[i];
    this.sum += sum;
    if (max > this.max) this.max = max;
  }

  /** Forgets all values. */
  clear(): void {
    this.counts.fill(0);
    this.sum = 0;
    this.max = 0;
  }

  /** How many values there are. */
  get count(): number {
    let count = 0;
    for (const each of this.counts) count += each;
    return count;
  }

  /** The value that the share `share` (0 to 1) does not exceed; NaN where there are none. */
  percentile(share: number): number {
    let left = Math.max(1, Math.ceil(share * this.count));
    for (let bucket = 0; bucket < this.counts.length; bucket++) {
      left -= this.counts[bucket];
      if (left <= 0) return Math.min(this.#upperBound(bucket), this.max);
    }
    return NaN;
  }

  #upperBound(bucket: number): number {
    if (bucket === this.counts.length - 1) return Infinity;
    const parts = 1 << this.#bits;
    return 2 ** (SMALLEST_EXPONENT + (bucket >> this.#bits)) * (1 + (bucket % parts + 1) / parts);
  }

  /** As plain data. */
  toJSON(): HistogramCounts {
    const length = this.counts.findLastIndex((count) => count > 0) + 1;
    return { counts: [...this.counts.subarray(0, length)], sum: this.sum, max: this.max };
  }
}
