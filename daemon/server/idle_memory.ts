/**
 * Giving memory back when a burst is over.
 *
 * @module
 */
import { setTimeout } from "node:timers";
import { setTimeout as sleep } from "node:timers/promises";
import { LIMITS } from "../process/limits.ts";
import { giveBack } from "../process/memory.ts";

/** What is given back, and when not. */
export interface IdleMemoryOptions {
  /** Whether requests wait or run. */
  isBusy(): boolean;
  /** Lets go of what can be had again, before the garbage is collected. */
  release(): void;
  /** Called after memory was given back. */
  onGivenBack(): void;
  /** Gives memory back in steps; {@link giveBack} by default. */
  readonly giveBack?: () => Iterator<void>;
  /** When; {@link LIMITS.memory} by default. */
  readonly limits?: {
    readonly quietMs: number;
    readonly notesMin: number;
    readonly pauseMs: number;
  };
}

/**
 * Gives memory back once the last request is over a second old, once a burst. It is told of what happens by
 * {@link IdleMemory.note}, which looks at no clock; while nothing happens no timer runs. It does not keep the process alive.
 */
export class IdleMemory {
  readonly #options: Required<IdleMemoryOptions>;
  /** What happened up to now, up to the last look, and up to when memory was given back last. */
  #noted = 0;
  #noticed = 0;
  #givenBack = 0;
  #givenBackAt = -Infinity;
  #timer: NodeJS.Timeout | undefined;

  /** Begins with the first note. */
  constructor(options: IdleMemoryOptions) {
    this.#options = { giveBack, limits: LIMITS.memory, ...options };
  }

  /** A request has come or was answered, or a connection came or went. */
  note(): void {
    this.#noted++;
    if (this.#timer === undefined) this.#lookLater();
  }

  #lookLater(): void {
    this.#timer = setTimeout(() => this.#look(), this.#options.limits.quietMs).unref();
  }

  #look(): void {
    const isQuiet = this.#noted === this.#noticed;
    this.#noticed = this.#noted;
    if (!isQuiet || !this.#isWorthIt() || this.#options.isBusy()) return this.#lookLater();
    this.#timer = undefined;
    this.#giveBack();
  }

  /** A program that asks for a little every other second must not cost a collection each time. */
  #isWorthIt(): boolean {
    const { notesMin, pauseMs } = this.#options.limits;
    return this.#noted - this.#givenBack >= notesMin ||
      performance.now() - this.#givenBackAt >= pauseMs;
  }

  async #giveBack(): Promise<void> {
    const before = this.#noted;
    this.#options.release();
    const steps = this.#options.giveBack();
    do {
      // A loop that waits reads what has come meanwhile: then it is not the time, and the note has started the timer.
      await sleep(1);
      if (this.#noted !== before) return;
    } while (!steps.next().done);
    this.#givenBack = before;
    this.#givenBackAt = performance.now();
    this.#options.onGivenBack();
  }
}
