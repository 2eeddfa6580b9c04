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

/** What a queue needs of its owner. */
export interface WriteQueueOptions<T> {
  /** Commits items from the front; gives how many it settled, or {@link BUSY}. A plain number where it never waited. */
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
 */
export class WriteQueue<T extends { readonly deadline: number }> {
  readonly #options: WriteQueueOptions<T>;
  #items: T[] = [];
  /** How many at the front are being committed. */
  #inFlight = 0;
  #draining: Promise<void> | undefined;

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
      await this.#gather();
      const settled = await this.#commit();
      if (settled === BUSY) {
        await sleep(pauseMs);
        this.#expire();
        pauseMs = Math.min(2 * pauseMs, LIMITS.busyPauseMs.max);
      } else {
        pauseMs = LIMITS.busyPauseMs.min;
        await this.#options.maintain();
      }
    }
    this.#draining = undefined;
  }

  /**
   * Lets the requests come that are on their way: asks for them once, then gives the loop turns for as long as they bring
   * some. Without this a group holds a third of what it could.
   */
  async #gather(): Promise<void> {
    if (!this.#options.othersMaySend()) return;
    await poll();
    const until = performance.now() + LIMITS.gatherMs;
    for (let turns = 0; turns < LIMITS.gatherTurnsMax; turns++) {
      const before = this.#items.length;
      await turn();
      if (this.#items.length === before || performance.now() > until) return;
    }
  }

  #commit(): number | Promise<number> {
    const group = this.#items.slice(0, LIMITS.groupRequestsMax);
    const settled = this.#options.commit(group);
    if (typeof settled === "number") return this.#settled(settled);
    this.#inFlight = group.length;
    return this.#expiring(settled).then((count) => this.#settled(count));
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
