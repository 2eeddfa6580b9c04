/**
 * Which statements hold the loop for too long, and which may.
 *
 * @module
 */
import { LIMITS } from "../process/limits.ts";
import type { Statement } from "../sqlite/statement.ts";
import { shapeOf } from "./statement_shape.ts";
import type { Write } from "./write.ts";

/**
 * How many steps of a statement, one after the other, have to be cheap off the loop before the next is done on it. 0: all
 * are done on the loop, under the clock. 1: a sort works before its first row and hardly after. Infinity: none ever is.
 */
export type Caution = number;

/** What is looked at of a statement. */
type Looked = Pick<Statement, "sql" | "isLong" | "isSeenCheap" | "isBlind">;

/** Those for steps off the loop. */
interface Places {
  /** Whether who comes now has to wait for one. */
  readonly isFull: boolean;
}
const PLENTY: Places = { isFull: false };

/** Remembers by SQL text, for as many statements as were used last. */
export class CostlyStatements {
  readonly #fileBytes: () => number;
  readonly #marks = new Map<string, Caution>();
  /** Shapes of SQL that were seen cheap on a large file. */
  readonly #cheapShapes = new Set<string>();
  /** What took long to prepare, and is not kept prepared. */
  readonly #expensive = new Set<string>();
  #isLarge = false;
  #looksAgainAt = -Infinity;

  /** `fileBytes` gives the size of the file; it is asked once a second. */
  constructor(fileBytes: () => number = () => 0) {
    this.#fileBytes = fileBytes;
  }

  /** Looks at the file's size, now and then: `now` is the time on the clock of `performance.now()`. */
  look(now: number): void {
    if (now < this.#looksAgainAt) return;
    this.#looksAgainAt = now + LIMITS.largeFile.lookMs;
    this.#isLarge = this.#fileBytes() >= LIMITS.largeFile.bytes;
  }

  /**
   * How a statement is to be stepped. On a large file, which may not be in memory, one that is new is not known to be cheap:
   * a single step of it may read all of the file before it looks at the clock. On a small one, which somebody may have forged,
   * only what never looks at it is not known to end. Where there is no place off the loop, what need not be long is no reason to
   * wait for one: eight queries that never end would have all that is new wait for its deadline.
   */
  cautionWith(statement: Looked, places: Places = PLENTY): Caution {
    const marked = this.#cautionOf(statement.sql);
    if (marked > 0 || statement.isSeenCheap) return marked;
    if (!this.#isLarge) return statement.isBlind && !places.isFull ? 1 : 0;
    if (statement.isLong) {
      // So that the next is not begun in a group, which would have to begin anew.
      this.mark(statement.sql);
      return 1;
    }
    statement.isSeenCheap = this.#cheapShapes.has(shapeOf(statement.sql));
    return statement.isSeenCheap || places.isFull ? 0 : 1;
  }

  #cautionOf(sql: string): Caution {
    return this.#marks.size === 0 ? 0 : this.#marks.get(key(sql)) ?? 0;
  }

  /** Whether a statement of a write is known to be costly. */
  holds({ statements }: Write): boolean {
    if (this.#marks.size === 0 && this.#expensive.size === 0) return false;
    return statements.some(({ sql }) => this.#cautionOf(sql) > 0 || this.isExpensive(sql));
  }

  /** This SQL held the loop, or may: the next time there is so much caution, or what there was if that is more. */
  mark(sql: string, caution: Caution = 1): void {
    this.#set(sql, Math.max(caution, this.#cautionOf(sql)));
  }

  /** Few steps of this SQL were costly: less caution will do the next time. */
  ease(sql: string): void {
    const caution = this.#cautionOf(sql);
    if (caution > 1) this.#set(sql, caution / LIMITS.costlyShare);
  }

  #set(sql: string, caution: Caution): void {
    this.#marks.delete(key(sql));
    this.#marks.set(key(sql), caution);
    dropOldest(this.#marks, LIMITS.costlyStatementsMax);
  }

  /** This SQL turned out cheap, perhaps because an index was made. */
  unmark({ sql, isLong }: Looked): void {
    if (!isLong || !this.#isLarge) this.#marks.delete(key(sql));
  }

  /** Whether this SQL, of one or more statements, is known to take long to prepare. */
  isExpensive(sql: string): boolean {
    return this.#expensive.size > 0 && this.#expensive.has(key(sql));
  }

  /** A statement of this SQL takes long to prepare. */
  markExpensive(sql: string): void {
    this.#expensive.delete(key(sql));
    this.#expensive.add(key(sql));
    dropOldest(this.#expensive, LIMITS.costlyStatementsMax);
  }

  /** This SQL has been prepared: it is kept so where it is not long. */
  notePrepared(sql: string): void {
    if (sql.length <= LIMITS.cachedSqlLengthMax) this.#expensive.delete(key(sql));
  }

  /** A run of a statement was cheap, or it was not: SQL that differs in its values alone is likely to be the same. */
  noteRun(statement: Looked, isCheap: boolean): void {
    statement.isBlind = false;
    if (!this.#isLarge || statement.isLong || isCheap && statement.isSeenCheap) return;
    statement.isSeenCheap = isCheap;
    const shape = shapeOf(statement.sql);
    this.#cheapShapes.delete(shape);
    if (!isCheap) return;
    this.#cheapShapes.add(shape);
    dropOldest(this.#cheapShapes, LIMITS.cheapShapesMax);
  }
}

/** One step more of caution. */
export function raised(caution: Caution): Caution {
  return caution === 0 ? 1 : caution * LIMITS.costlyShare;
}

function dropOldest(
  entries: { readonly size: number; keys(): Iterator<string>; delete(key: string): boolean },
  max: number,
): void {
  if (entries.size > max) entries.delete(entries.keys().next().value!);
}

/** Long SQL by its beginning and length: a wrong match costs a little time, a long key memory. */
function key(sql: string): string {
  return sql.length <= 1000 ? sql : `${sql.length} ${sql.slice(0, 1000)}`;
}
