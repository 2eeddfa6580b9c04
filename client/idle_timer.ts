/**
 * Noticing that nothing happens any more.
 *
 * @module
 */
import { clearInterval, setInterval } from "node:timers";

/** How often it is looked within the time given: it is noticed late by a tenth of it at most. */
const LOOKS = 10;

/**
 * Tells when nothing has happened for a while. What happens need not be told: that would cost each request a look at the
 * clock. In its place a count is looked at now and then. It does not keep the process alive.
 */
export class IdleTimer {
  readonly #idleMs: number;
  readonly #activity: () => number | null;
  readonly #expired: () => void;
  #timer: NodeJS.Timeout | undefined;
  #seen: number | null = null;
  #quietLooks = 0;

  /**
   * @param idleMs for how many milliseconds nothing must happen; 0: it never tells.
   * @param activity gives a number, another one whenever something has happened; `null` while something is under way.
   * @param expired is called then, and with each look from then on, until something happens or it is stopped.
   */
  constructor(idleMs: number, activity: () => number | null, expired: () => void) {
    this.#idleMs = idleMs;
    this.#activity = activity;
    this.#expired = expired;
  }

  /** Begins to look, as if something had happened now. */
  start(): void {
    if (this.#idleMs === 0) return;
    this.stop();
    this.#seen = this.#activity();
    this.#quietLooks = 0;
    this.#timer = setInterval(() => this.#look(), Math.max(1, this.#idleMs / LOOKS)).unref();
  }

  /** Looks no more. */
  stop(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const before = this.#seen;
    this.#seen = this.#activity();
    const isQuiet = this.#seen !== null && this.#seen === before;
    this.#quietLooks = isQuiet ? this.#quietLooks + 1 : 0;
    if (this.#quietLooks >= LOOKS) this.#expired();
  }
}
