/**
 * The order of one connection's requests to one database.
 *
 * @module
 */
import type { SkylineError } from "../../client/errors.ts";
import type { Database } from "../database/database.ts";
import { timeout } from "../database/failures.ts";
import { PutOffQuery, type Query, type QueryOutcome } from "../database/readers.ts";
import type { Write, WriteOutcome } from "../database/write.ts";

/** A request that waits for its turn. */
interface Waiting {
  readonly isQuery: boolean;
  /** On the clock of `performance.now()`. */
  readonly deadline: number;
  start(): void;
  expire(error: SkylineError): void;
}

/**
 * Requests take effect in the order in which they are given: writes go to the queue at once, a query waits for the writes
 * before it, and the writes after it wait until its snapshot is taken. None waits past its deadline.
 */
export class Lane {
  readonly #database: Database;
  #pendingWrites = 0;
  /** Queries whose snapshots are not taken yet. */
  #putOff = 0;
  #waiting: Waiting[] = [];
  #expiry: ReturnType<typeof setTimeout> | undefined;
  #expiresAt = Infinity;

  /** The lane of a connection to `database`. */
  constructor(database: Database) {
    this.#database = database;
  }

  /** Gives a write its turn. */
  write(write: Write): Promise<WriteOutcome> {
    if (this.#waiting.length === 0 && this.#putOff === 0) return this.#write(write);
    return new Promise((resolve) =>
      this.#wait({
        isQuery: false,
        deadline: write.deadline,
        start: () => resolve(this.#write(write)),
        expire: resolve,
      })
    );
  }

  /** Gives a query its turn. */
  query(query: Query): QueryOutcome | Promise<QueryOutcome> {
    if (this.#waiting.length === 0 && this.#pendingWrites === 0) return this.#query(query);
    return new Promise((resolve) =>
      this.#wait({
        isQuery: true,
        deadline: query.deadline,
        start: () => resolve(this.#query(query)),
        expire: resolve,
      })
    );
  }

  #write(write: Write): Promise<WriteOutcome> {
    this.#pendingWrites++;
    const outcome = this.#database.write(write, this);
    outcome.then(() => {
      if (--this.#pendingWrites === 0) this.#goOn();
    });
    return outcome;
  }

  #query(query: Query): QueryOutcome | Promise<QueryOutcome> {
    const answer = this.#database.query(query);
    if (!(answer instanceof PutOffQuery)) return answer;
    this.#putOff++;
    answer.begun.then(() => {
      if (--this.#putOff === 0) this.#goOn();
    });
    return answer.outcome;
  }

  #wait(waiting: Waiting): void {
    this.#waiting.push(waiting);
    if (waiting.deadline < this.#expiresAt) this.#expireAt(waiting.deadline);
  }

  #goOn(): void {
    // Nearly always, after each write: all that follows would take over a microsecond.
    if (this.#waiting.length === 0) return;
    let started = 0;
    for (const { isQuery, start } of this.#waiting) {
      if ((isQuery ? this.#pendingWrites : this.#putOff) > 0) break;
      start();
      started++;
    }
    this.#waiting.splice(0, started);
    if (this.#waiting.length === 0) this.#expireAt(Infinity);
  }

  /** Ends the waiting of those whose deadlines have passed; the others may then go on. */
  #expire(): void {
    const now = performance.now();
    const expired = this.#waiting.filter(({ deadline }) => deadline <= now);
    this.#waiting = this.#waiting.filter(({ deadline }) => deadline > now);
    for (const { expire } of expired) expire(timeout());
    this.#expireAt(Math.min(Infinity, ...this.#waiting.map(({ deadline }) => deadline)));
    this.#goOn();
  }

  #expireAt(time: number): void {
    clearTimeout(this.#expiry);
    this.#expiresAt = time;
    if (time === Infinity) return;
    this.#expiry = setTimeout(() => this.#expire(), Math.max(0, time - performance.now()));
  }
}
