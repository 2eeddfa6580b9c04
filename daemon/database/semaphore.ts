/**
 * A bound on what happens at once.
 *
 * @module
 */
import { gone, timeout } from "./failures.ts";

/** How long one may wait. */
export interface Wait {
  /** When it is given up, on the clock of `performance.now()`. */
  readonly deadline: number;
  /** Whether nobody waits for it any more. */
  readonly signal?: AbortSignal;
}

/**
 * Waits for `promise`, which does not fail.
 *
 * @throws {SkylineError} `TIMEOUT` at the deadline, and when nobody waits for it any more.
 */
export function within({ deadline, signal }: Wait, promise: Promise<void>): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
      if (signal?.aborted) reject(gone(signal));
      else if (performance.now() >= deadline) reject(timeout());
      else resolve();
    };
    const timer = setTimeout(end, Math.max(0, deadline - performance.now()));
    signal?.addEventListener("abort", end);
    if (signal?.aborted) end();
    else promise.then(end);
  });
}

/** One that waits. */
interface Waiting {
  readonly semaphore: Semaphore;
  enter(): void;
}

/**
 * Room that several semaphores have in common. One that has nobody in may use the last `reserved` places as well: so
 * those that take all they can leave a place for the others.
 */
export class Room {
  readonly #reserved: number;
  readonly #waiting = new Set<Waiting>();
  #free: number;

  /** Has `count` places, the reserved ones among them. */
  constructor(count: number, reserved = 0) {
    this.#free = count;
    this.#reserved = reserved;
  }

  /** Whether there is no place now. */
  isFull(isFirst: boolean): boolean {
    return this.#free <= (isFirst ? 0 : this.#reserved);
  }

  /** Takes a place if there is one. */
  take(isFirst: boolean): boolean {
    if (this.isFull(isFirst)) return false;
    this.#free--;
    return true;
  }

  /** Gives a place back, and lets those in who can be, in the order in which they came. */
  giveBack(): void {
    this.#free++;
    for (const waiting of this.#waiting) {
      if (this.#free === 0) return;
      if (!waiting.semaphore.tryAcquire()) continue;
      this.#waiting.delete(waiting);
      waiting.enter();
    }
  }

  /** Waits until {@link Room.giveBack} lets `semaphore` in. */
  wait(semaphore: Semaphore, { deadline, signal }: Wait): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = () => {
        this.#waiting.delete(waiting);
        clearTimeout(timer);
        signal?.removeEventListener("abort", end);
        if (signal?.aborted) return reject(gone(signal));
        reject(timeout());
      };
      const waiting = {
        semaphore,
        enter: () => {
          clearTimeout(timer);
          signal?.removeEventListener("abort", end);
          resolve();
        },
      };
      const timer = setTimeout(end, Math.max(0, deadline - performance.now()));
      signal?.addEventListener("abort", end);
      this.#waiting.add(waiting);
    });
  }
}

/** Lets so many through at once, the others in the order in which they came. */
export class Semaphore {
  readonly #room: Room;
  #free: number;
  #count = 0;

  /** Lets `count` through, as far as `room` has places. */
  constructor(count: number, room: Room = new Room(count)) {
    this.#free = count;
    this.#room = room;
  }

  /** Whether one would have to wait now. */
  get isFull(): boolean {
    return this.#free === 0 || this.#room.isFull(this.#count === 0);
  }

  /** Enters if there is room at once. */
  tryAcquire(): boolean {
    if (this.isFull || !this.#room.take(this.#count === 0)) return false;
    this.#free--;
    this.#count++;
    return true;
  }

  /**
   * Enters when there is room.
   *
   * @throws {SkylineError} `TIMEOUT` at the deadline, and when nobody waits for it any more.
   */
  async acquire(wait: Wait): Promise<void> {
    if (wait.signal?.aborted) throw gone(wait.signal);
    if (!this.tryAcquire()) await this.#room.wait(this, wait);
  }

  /** Leaves. */
  release(): void {
    this.#free++;
    this.#count--;
    this.#room.giveBack();
  }
}
