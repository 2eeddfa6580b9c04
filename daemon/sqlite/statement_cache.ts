/**
 * Prepared statements that are kept for the next time.
 *
 * @module
 */
import type { Statement } from "./statement.ts";

/** A cached statement costs a few KB; an app has few different ones, or else caching is of no use. */
const STATEMENTS_CACHED_MAX = 200;
/** Bytes of those of one connection, of which a database has up to 10: all of them are far below what SQLite may have. */
const CACHED_BYTES_MAX = 8 * 1024 * 1024;

/** Statements of one connection by their SQL: those that were used last. */
export class StatementCache {
  readonly #cache = new Map<string, Statement>();
  #bytes = 0;
  /**
   * Whether the schema may have changed since they were prepared. SQLite prepares them anew without a word, with calls that take
   * long where a view or a trigger brings them: what is known of a statement's nature would be wrong.
   */
  isOutdated = false;
  /** The one that was used last. */
  #lastSql: string | undefined;
  #last: Statement | undefined;

  /** That of this very SQL, most recently used from now on; `undefined` if there is none. */
  get(sql: string): Statement | undefined {
    if (this.isOutdated) this.clear();
    // A batch has the same SQL over and over; to compare takes less than to hash.
    if (sql === this.#lastSql) return this.#last;
    const statement = this.#cache.get(sql);
    if (statement !== undefined) this.#remember(sql, statement);
    if (statement !== undefined && this.#cache.size === STATEMENTS_CACHED_MAX) {
      this.#cache.delete(sql);
      this.#cache.set(sql, statement);
    }
    return statement;
  }

  /** Keeps one, unless it is large; finalizes those that were not used for longest. Gives whether it is kept. */
  add(sql: string, statement: Statement): boolean {
    if (statement.isLarge) return false;
    this.#bytes += statement.bytes;
    while (this.#cache.size >= STATEMENTS_CACHED_MAX || this.#bytes > CACHED_BYTES_MAX) {
      const [oldestSql, oldest] = this.#cache.entries().next().value!;
      this.#cache.delete(oldestSql);
      this.#bytes -= oldest.bytes;
      oldest.finalize();
    }
    this.#cache.set(sql, statement);
    this.#remember(sql, statement);
    return true;
  }

  #remember(sql: string, statement: Statement): void {
    this.#lastSql = sql;
    this.#last = statement;
  }

  /** Finalizes all. */
  clear(): void {
    for (const statement of this.#cache.values()) statement.finalize();
    this.#cache.clear();
    this.#bytes = 0;
    this.isOutdated = false;
    this.#lastSql = this.#last = undefined;
  }
}
