/**
 * Who sent requests that failed a short while ago, and may do so again.
 *
 * @module
 */
import { LIMITS } from "../process/limits.ts";

/** Remembers those who sent what failed, for as many groups as {@link LIMITS.waryGroups} says. */
export class FailedLately {
  /** The last group, by its number, in which each is still remembered. */
  readonly #until = new Map<unknown, number>();
  #group = 0;

  /** Another group begins. */
  nextGroup(): void {
    this.#group++;
  }

  /** Whether what this one sends may fail. */
  has(source: unknown): boolean {
    const until = this.#until.size === 0 ? undefined : this.#until.get(source);
    if (until === undefined) return false;
    if (until >= this.#group) return true;
    this.#until.delete(source);
    return false;
  }

  /** A request of this one failed. */
  note(source: unknown): void {
    if (this.#until.size >= LIMITS.connectionsMax) this.#until.clear();
    this.#until.set(source, this.#group + LIMITS.waryGroups);
  }
}
