/**
 * The queue of writes: it gathers what arrives into groups. It knows batching, not SQL.
 *
 * @module
 */
import { setTimeout as sleep } from "node:timers/promises";
import { LIMITS } from "../process/limits.ts";
import { poll, turn } from "./turn.ts";

/** What {@link WriteQueueOptions.commit} answers when it could not begin: another process holds the lock. */
export const BUSY = -1;

/** What a queue needs to know of an item. */
export interface Queued {
  /** When it is given up, on the clock of `performance.now()`. */
  readonly deadline: number;
  /** Who sent it: the items of one source are committed in their order. */
  readonly source?: unknown;
  /** Whether it is committed by itself, which may take long; may become true by an attempt to commit it. */
  readonly alone: boolean;
}

/** What a queue needs of its owner. */
export interface WriteQueueOptions<T> {
  /**
   * Commits items from the front, either one that is `alone` or several that are not; gives how many it settled, or
   * {@link BUSY}. A plain number where it never waited.
   */
  commit(items: readonly T[]): number | Promise<number>;
  /** Settles an item whose deadline passed while it waited. */
  expire(item: T): void;
  /** Does what is due after a commit, or when woken. */
  maintain(): void | Promise<void>;
  /** Whether waiting for a moment may bring more requests. */
  othersMaySend(): boolean;
}

/**
 * Group commit without a timer: while one group commits, requests gather; the next group is what gathered.
 *
 * Who sends slow writes all day takes no more than a quarter of the time from the others: an item that is `alone` puts
 * the next such off, and what their sources sent after them, until the others had three times the time that it took.
 */
export class WriteQueue<T extends Queued> {
  readonly #options: WriteQueueOptions<T>;
  #items: T[] = [];
  /** How many at the front are being committed. */
  #inFlight = 0;
  #draining: Promise<void> | undefined;
  /** Until when lone items are put off, and whose caused it; 0 where none are. */
  #putOffUntil = 0;
  #slowSource: unknown;
  /** When others than that last wrote. */
  #othersAt = -Infinity;
  /** Ends the wait for others. */
  #pushed: (() => void) | undefined;

  /** An empty queue. */
  constructor(options: WriteQueueOptions<T>) {
    this.#options = options;
  }

  /** How many items wait. */
  get length(): number {
    return this.#items.length;
  }

  /** Adds an item. */
  push(item: T): void {
    this.#items.push(item);
    this.#pushed?.();
    this.#draining ??= this.#drain();
  }

  /** Has the maintenance done although nothing may have been committed; after a commit it is done anyway. */
  wake(): void {
    this.#draining ??= this.#drain();
  }

  /** Settles when nothing waits any more. */
  async idle(): Promise<void> {
    while (this.#draining) await this.#draining;
  }

  async #drain(): Promise<void> {
    // What else came in the same read is pushed before this goes on.
    await null;
    if (this.#items.length === 0) await this.#options.maintain();
    let pauseMs: number = LIMITS.busyPauseMs.min;
    while (this.#items.length > 0) {
      if (this.#putOffUntil > 0) await this.#othersSend();
      await this.#gather();
      if (this.#putOffUntil > 0) this.#othersFirst();
      const settled = await this.#commit();
      if (settled === BUSY) {
        await sleep(pauseMs);
        this.#expire();
        pauseMs = Math.min(2 * pauseMs, LIMITS.busyPauseMs.max);
      } else {
        pauseMs = LIMITS.busyPauseMs.min;
        await this.#options.maintain();
        if (this.#putOffUntil > 0) this.#expire();
      }
    }
    this.#draining = undefined;
  }

  /**
   * Lets the requests come that are on their way: asks for them once, then gives the loop turns for as long as they bring
   * some. Without this a group holds a third of what it could.
   */
  async #gather(): Promise<void> {
    // One that sent several at once may be sending more than one read brings.
    if (this.#items.length === 1 && !this.#options.othersMaySend()) return;
    await poll();
    const until = performance.now() + LIMITS.gatherMs;
    for (let turns = 0; turns < LIMITS.gatherTurnsMax; turns++) {
      const before = this.#items.length;
      await turn();
      if (this.#items.length === before || performance.now() > until) return;
    }
  }

  /** Waits for a moment while all that there is is put off, and others write who may send the next. */
  async #othersSend(): Promise<void> {
    const until = performance.now() + LIMITS.putOff.othersSendMs;
    for (;;) {
      const now = performance.now();
      if (now >= this.#putOffUntil) this.#putOffUntil = 0;
      if (now >= Math.min(until, this.#putOffUntil)) return;
      if (now - this.#othersAt > LIMITS.putOff.othersWroteMs) return;
      if (this.#split().first.length > 0) return;
      await this.#push(until - now);
    }
  }

  /** Moves what is put off behind the rest. */
  #othersFirst(): void {
    const { first, putOff } = this.#split();
    this.#items = first.concat(putOff);
    if (first.some(({ source }) => source !== this.#slowSource)) this.#othersAt = performance.now();
  }

  /** Lone items are put off, and with each what its source sent after it. */
  #split(): { first: T[]; putOff: T[] } {
    const sources = new Set<unknown>();
    const [first, putOff]: [T[], T[]] = [[], []];
    for (const item of this.#items) {
      if (item.alone) sources.add(item.source);
      (sources.has(item.source) ? putOff : first).push(item);
    }
    return { first, putOff };
  }

  /** Waits for an item, at most so long. */
  async #push(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#pushed = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#pushed = undefined;
  }

  #commit(): number | Promise<number> {
    const [{ alone, source }] = this.#items;
    const group = this.#items.slice(0, alone ? 1 : LIMITS.groupRequestsMax);
    const started = alone ? performance.now() : 0;
    const settled = this.#options.commit(group);
    if (typeof settled === "number") return this.#settled(settled);
    this.#inFlight = group.length;
    return this.#expiring(settled).then((count) => {
      if (alone) this.#putOff(source, performance.now() - started);
      return this.#settled(count);
    });
  }

  #putOff(source: unknown, tookMs: number): void {
    this.#slowSource = source;
    this.#putOffUntil = performance.now() +
      Math.min(LIMITS.putOff.factor * tookMs, LIMITS.putOff.msMax);
  }

  #settled(count: number): number {
    if (count > 0) this.#items.splice(0, count);
    return count;
  }

  /** Waits, and meanwhile settles those that wait behind and whose deadlines pass. */
  async #expiring<R>(waiting: Promise<R>): Promise<R> {
    const timer = setInterval(() => this.#expire(), LIMITS.busyPauseMs.max);
    try {
      return await waiting;
    } finally {
      clearInterval(timer);
      this.#inFlight = 0;
    }
  }

  #expire(): void {
    const now = performance.now();
    this.#items = this.#items.filter((item, index) => {
      const expired = index >= this.#inFlight && item.deadline <= now;
      if (expired) this.#options.expire(item);
      return !expired;
    });
  }
}
