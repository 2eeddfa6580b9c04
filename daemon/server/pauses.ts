/**
 * Pauses between attempts at what keeps failing.
 *
 * @module
 */
import { LIMITS } from "../process/limits.ts";

/** The lengths of the pauses after failures of accepting connections: longer and longer, unless it had worked for a while. */
export class Pauses {
  #ms: number = LIMITS.acceptPauseMs.min;
  #workedFrom = 0;

  /** It works from now on. */
  restart(): void {
    this.#workedFrom = performance.now();
  }

  /** It failed: how long to wait, in milliseconds. */
  next(): number {
    const { min, max, settledAfter } = LIMITS.acceptPauseMs;
    const hadSettled = performance.now() - this.#workedFrom > settledAfter;
    return this.#ms = hadSettled ? min : Math.min(2 * this.#ms, max);
  }
}
