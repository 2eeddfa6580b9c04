/**
 * How long requests take, from arrival to answer.
 *
 * @module
 */
import type { RecentHistogram } from "../process/recent_histogram.ts";

/**
 * Requests whose answers are known but not sent yet. They are sent together, so one reading of the clock, of some 0.1 µs,
 * does for all of them.
 */
export class AnswerTimes {
  readonly #histograms: RecentHistogram[] = [];
  readonly #arrivedAt: number[] = [];
  #count = 0;

  /** Notes that a request has its answer; times are on the clock of `performance.now()`, in milliseconds. */
  note(histogram: RecentHistogram, arrivedAt: number): void {
    this.#histograms[this.#count] = histogram;
    this.#arrivedAt[this.#count++] = arrivedAt;
  }

  /** Answers are sent now: counts the times of all that were noted. */
  sent(): void {
    if (this.#count === 0) return;
    const now = performance.now();
    for (let i = 0; i < this.#count; i++) {
      this.#histograms[i].record(now - this.#arrivedAt[i], now);
    }
    this.#count = 0;
  }
}
