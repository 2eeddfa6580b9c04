/**
 * The order of one connection's requests to one database.
 *
 * @module
 */
import type { Database } from "../database/database.ts";
import type { Query, QueryOutcome } from "../database/readers.ts";
import type { Write, WriteOutcome } from "../database/write.ts";

/**
 * Requests take effect in the order in which they are given: writes go to the queue at once, a query waits for the writes
 * before it, and the writes after it wait until its snapshot is taken.
 */
export class Lane {
  readonly #database: Database;
  #pendingWrites = 0;
  /** Starts of what has to wait; each gives whether it could. */
  readonly #waiting: (() => boolean)[] = [];

  /** The lane of a connection to `database`. */
  constructor(database: Database) {
    this.#database = database;
  }

  /** Gives a write its turn. */
  write(write: Write): Promise<WriteOutcome> {
    if (this.#waiting.length === 0) return this.#write(write);
    return new Promise((resolve) => {
      this.#waiting.push(() => {
        this.#write(write).then(resolve);
        return true;
      });
    });
  }

  /** Gives a query its turn. */
  query(query: Query): QueryOutcome | Promise<QueryOutcome> {
    if (this.#waiting.length === 0 && this.#pendingWrites === 0) return this.#database.query(query);
    return new Promise((resolve) => {
      this.#waiting.push(() => {
        if (this.#pendingWrites > 0) return false;
        resolve(this.#database.query(query));
        return true;
      });
    });
  }

  #write(write: Write): Promise<WriteOutcome> {
    this.#pendingWrites++;
    const outcome = this.#database.write(write, this);
    outcome.then(() => {
      if (--this.#pendingWrites === 0) this.#goOn();
    });
    return outcome;
  }

  #goOn(): void {
    while (this.#waiting.length > 0 && this.#waiting[0]()) this.#waiting.shift();
  }
}
