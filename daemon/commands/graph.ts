/**
 * A small graph of text.
 *
 * @module
 */

const BARS = "▁▂▃▄▅▆▇█";

/** Values that come at equal times, of which the last ones are shown as bars. */
export class Graph {
  readonly #values: number[] = [];
  readonly #length: number;
  /** How many have gone. */
  #gone = 0;

  /** Remembers the last `length` values. */
  constructor(length: number) {
    this.#length = length;
  }

  /** Adds a value, from 0 on. */
  add(value: number): void {
    this.#values.push(value);
    if (this.#values.length > this.#length) {
      this.#values.shift();
      this.#gone++;
    }
  }

  /** The last value; 0 where there is none. */
  get last(): number {
    return this.#values.at(-1) ?? 0;
  }

  /** The largest value that is remembered; 0 where there is none. */
  get max(): number {
    return Math.max(0, ...this.#values);
  }

  /** The values as bars from 0 to the largest, the last one at the right end of `width` columns. */
  bars(width: number): string {
    const { max } = this;
    // A bar is of the same values until it leaves: else all would flicker.
    const perBar = Math.ceil(this.#length / Math.max(1, width));
    const heights = new Map<number, number>();
    this.#values.forEach((value, i) => {
      const bar = Math.floor((this.#gone + i) / perBar);
      heights.set(bar, Math.max(heights.get(bar) ?? 0, value));
    });
    const text = [...heights.values()].map((value) =>
      BARS[max === 0 ? 0 : Math.round(value / max * (BARS.length - 1))]
    );
    return text.slice(Math.max(0, text.length - width)).join("").padStart(width);
  }
}
