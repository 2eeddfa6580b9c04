/**
 * Forgetting what is too old while nobody writes.
 *
 * @module
 */
import { clearTimeout, setTimeout } from "node:timers";
import { LIMITS } from "../process/limits.ts";
import type { Commit } from "./commit.ts";

/** What a {@link Sweeper} needs of its database. */
export interface SweeperOptions {
  /** Has it run in the queue's next turn. */
  wake(): void;
  /** Whether the write-ahead log has room. */
  mayWrite(): boolean;
}

/**
 * Has what is too old forgotten without a client's commit to do it with: a database that is only read would keep it for ever.
 * It counts as no activity, and does not keep the process alive. A file that is closed is not opened for it.
 */
export class Sweeper {
  readonly #commit: Pick<Commit, "sweep" | "writer">;
  readonly #options: SweeperOptions;
  #timer: NodeJS.Timeout | undefined;
  /** Whether it is to be run in the queue's next turn in which nobody waits. */
  isAsked = false;

  /** Sweeps by `commit`. */
  constructor(commit: Pick<Commit, "sweep" | "writer">, options: SweeperOptions) {
    this.#commit = commit;
    this.#options = options;
  }

  /** The file has been opened. */
  start(): void {
    this.#lookIn(LIMITS.sweepMs);
  }

  /** It is closed. */
  stop(): void {
    clearTimeout(this.#timer);
    this.isAsked = false;
  }

  /** Forgets some; what is left is next after a pause, in which others have their turn. */
  async run(): Promise<void> {
    this.isAsked = false;
    const goesOn = this.#options.mayWrite() && await this.#commit.sweep() &&
      this.#commit.writer.once.isSweepDue;
    this.#lookIn(goesOn ? LIMITS.sweepPauseMs : LIMITS.sweepLookMs);
  }

  #lookIn(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#lookIn(LIMITS.sweepLookMs);
      if (!this.#commit.writer.once.isSweepDue) return;
      this.isAsked = true;
      this.#options.wake();
    }, ms).unref();
  }
}
