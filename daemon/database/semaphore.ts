/**
 * A bound on what happens at once.
 *
 * @module
 */

/** Lets so many through at once, the others in the order in which they came. */
export class Semaphore {
  readonly #waiting: (() => void)[] = [];
  #free: number;

  /** Has room for `count`. */
  constructor(count: number) {
    this.#free = count;
  }

  /** Enters if there is room at once. */
  tryAcquire(): boolean {
    if (this.#free === 0) return false;
    this.#free--;
    return true;
  }

  /** Enters when there is room. */
  async acquire(): Promise<void> {
    if (!this.tryAcquire()) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** Leaves. */
  release(): void {
    const next = this.#waiting.shift();
    if (next) next();
    else this.#free++;
  }
}
