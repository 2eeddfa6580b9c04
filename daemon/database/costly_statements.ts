/**
 * Which statements were seen to hold the loop for too long.
 *
 * @module
 */
import { LIMITS } from "../process/limits.ts";
import type { Write } from "./write.ts";

/**
 * How a statement is stepped. `inline`: on the loop, under the clock. `mixed`: off the loop until a step was cheap, then
 * inline: a sort works before its first row and hardly after. `offLoop`: every step, because a later one was costly too.
 */
export type Stepping = "inline" | "mixed" | "offLoop";

/** Remembers by SQL text, for as many statements as were used last. */
export class CostlyStatements {
  readonly #stepping = new Map<string, Stepping>();

  /** How this SQL is to be stepped. */
  steppingOf(sql: string): Stepping {
    return this.#stepping.size === 0 ? "inline" : this.#stepping.get(key(sql)) ?? "inline";
  }

  /** Whether a statement of a write is known to be costly. */
  holds({ statements }: Write): boolean {
    return this.#stepping.size > 0 &&
      statements.some(({ sql }) => this.steppingOf(sql) !== "inline");
  }

  /** This SQL held the loop, or may: next time one way further off it, unless `next` says how. */
  mark(
    sql: string,
    next: Stepping = this.steppingOf(sql) === "inline" ? "mixed" : "offLoop",
  ): void {
    this.#stepping.delete(key(sql));
    this.#stepping.set(key(sql), next);
    if (this.#stepping.size > LIMITS.costlyStatementsMax) {
      this.#stepping.delete(this.#stepping.keys().next().value!);
    }
  }

  /** This SQL turned out cheap, perhaps because an index was made. */
  unmark(sql: string): void {
    this.#stepping.delete(key(sql));
  }
}

/** Long SQL by its beginning and length: a wrong match costs a little time, a long key memory. */
function key(sql: string): string {
  return sql.length <= 1000 ? sql : `${sql.length} ${sql.slice(0, 1000)}`;
}
