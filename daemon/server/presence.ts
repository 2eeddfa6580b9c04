/**
 * Being found for as long as it lives: a socket, or the notice beside it, that somebody has removed is there again within a second.
 *
 * @module
 */
import { clearInterval, setInterval } from "node:timers";
import { LIMITS } from "../process/limits.ts";
import type { Log } from "../process/log.ts";

/** Looks every second. On Windows nobody can remove what tells where a daemon is. */
export class Presence {
  readonly #keep: () => Promise<void>;
  readonly #log: Log;
  #timer: ReturnType<typeof setInterval> | undefined;
  #isAtWork = false;
  /** It is told once, not every second. */
  #hasFailed = false;

  /** @param keep puts right what is not there; throws when it cannot. */
  constructor(keep: () => Promise<void>, log: Log) {
    this.#keep = keep;
    this.#log = log;
  }

  /** Begins to look. */
  start(): void {
    if (Deno.build.os === "windows") return;
    this.#timer = setInterval(() => this.#look(), LIMITS.presenceMs).unref();
  }

  /** Looks no more. */
  stop(): void {
    clearInterval(this.#timer);
  }

  async #look(): Promise<void> {
    if (this.#isAtWork) return;
    this.#isAtWork = true;
    try {
      await this.#keep();
      this.#hasFailed = false;
    } catch (error) {
      if (!this.#hasFailed) this.#log.warn("Others do not find this daemon", { error });
      this.#hasFailed = true;
    }
    this.#isAtWork = false;
  }
}
