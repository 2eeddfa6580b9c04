/**
 * Queries, on connections that cannot write.
 *
 * @module
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { SkylineError } from "../../client/errors.ts";
import { LIMITS } from "../process/limits.ts";
import type { Connection } from "../sqlite/connection.ts";
import type { BindValues } from "../sqlite/statement.ts";
import { CostlyStatements } from "./costly_statements.ts";
import { fileBytes } from "./database_file.ts";
import { Clock, driveBeside, driveInline, NotInline } from "./drivers.ts";
import { executeQuery, type QueryResult } from "./execution.ts";
import { databaseBusy, failureOf, gone, isBusy, NotOpen } from "./failures.ts";
import { openBeside, openConnection } from "./open_connection.ts";
import { ownRowChanged } from "./own_tables.ts";
import { NoRevision, Reader, SchemaUnread } from "./reader.ts";
import { Semaphore, within } from "./semaphore.ts";
import { preparationSlots, querySlots } from "./slow_steps.ts";
import type { ConnectionSettings } from "./writer.ts";

/** Who gets answers. */
export interface Recipient {
  /** Whether it has fetched enough of its answers to begin a query that takes long. */
  readonly hasFetched: boolean;
  /** Whether there is room for such answers, as all together have fetched enough. */
  readonly hasRoom: boolean;
  /** Settles when `isDue` gives true, which is asked as answers are fetched. */
  wait(isDue: () => boolean): Promise<void>;
}

/** A request to read; all its fields have been checked. */
export interface Query {
  readonly sql: string;
  readonly params: BindValues;
  /** When it is given up, on the clock of `performance.now()`. */
  readonly deadline: number;
  /** Ends it when nobody waits for it any more. */
  readonly signal: AbortSignal;
  readonly recipient: Recipient;
}

/** What a query returned, and the revision that it was read at. */
export interface QueryDone extends QueryResult {
  readonly rev: number;
}

/** How a query ended. */
export type QueryOutcome = QueryDone | SkylineError;

/** A query whose snapshot is not taken yet. */
export class PutOffQuery {
  /**
   * `begun` settles when its snapshot is taken, or it has failed: what its connection sent after it must not take effect
   * sooner.
   */
  constructor(readonly begun: Promise<void>, readonly outcome: Promise<QueryOutcome>) {}
}

/** How a query is answered: now, later, or later than it was begun. */
export type QueryAnswer = QueryOutcome | Promise<QueryOutcome> | PutOffQuery;

/** What {@link Readers} needs of its database. */
export interface ReadersOptions {
  /** The database file. */
  readonly path: string;
  readonly settings: ConnectionSettings;
  /** Opens the file where it is closed. */
  open(): Promise<void>;
  /** Throws `NotOpen` while the file is closed, and when another one is there now. */
  checkFiles(): void;
  /** The revision of the last commit. */
  revision(): number;
  /** Has the daemon's own tables made anew. */
  mend(): void;
}

/** Whether what a query needs can be had, but not at once. */
function isUnready(error: unknown): error is NotOpen | SchemaUnread {
  return error instanceof NotOpen || error instanceof SchemaUnread;
}

/** The readers of one database, opened as they are needed. */
export class Readers {
  readonly #options: ReadersOptions;
  readonly #idle: Reader[] = [];
  /** Set while one is opened beside the loop. */
  #opening: Promise<void> | undefined;
  /** The one of the last quick query, with its snapshot. */
  #last: Reader | undefined;
  /** Set while that is to be ended: one timer for many snapshots. */
  #endTimer: ReturnType<typeof setTimeout> | undefined;
  readonly #costly: CostlyStatements;
  /** One less than readers: a quick query always finds one. */
  readonly #besideLoop = new Semaphore(LIMITS.readersMax - 1);
  readonly #slots = querySlots();
  readonly #preparationSlots = preparationSlots();
  readonly #running = new Set<Promise<unknown>>();
  /** Ends those that run. */
  #ending = new AbortController();
  #endSoonTimer: ReturnType<typeof setTimeout> | undefined;
  /** Readers of an earlier one are used no more. */
  #generation = 0;
  /** Queries answered since the start. */
  count = 0;

  /** Opens nothing yet. */
  constructor(options: ReadersOptions) {
    this.#options = options;
    this.#costly = new CostlyStatements(() => fileBytes(options.path));
  }

  /** Answers a query: at once if it is quick. Its snapshot is taken before this returns, unless it is put off. */
  query(query: Query): QueryAnswer {
    this.count++;
    const clock = new Clock();
    let reader: Reader | undefined;
    let rev = 0;
    try {
      reader = this.#takeLast(clock.now) ?? this.#take();
      rev = reader.rev ?? reader.beginSnapshot(clock.now);
      const { connection } = reader;
      const { deadline } = query;
      const drive = { connection, costly: this.#costly, slots: this.#slots, deadline };
      const execution = executeQuery(connection, query.sql, query.params);
      const untilMs = clock.now + LIMITS.stepInlineMs;
      const { columns, rows } = driveInline(execution, drive, clock, untilMs);
      this.#putLast(reader);
      return { rev, columns, rows };
    } catch (error) {
      if (reader && error instanceof NotInline) {
        const slow = { ...query, signal: AbortSignal.any([query.signal, this.#ending.signal]) };
        const { hasFetched, hasRoom } = query.recipient;
        if (hasFetched && hasRoom && this.#besideLoop.tryAcquire()) {
          return this.#tracked(this.#beside(slow, reader, rev));
        }
        // Those that wait may be many: each would have a connection, and keep the log from starting over.
        this.#put(reader);
        return this.#putOff((begin) => this.#later(slow, begin));
      }
      if (isUnready(error)) {
        reader?.close();
        return this.#putOff((begin) => this.#readied(query, error, begin));
      }
      if (reader) this.#put(reader);
      if (isBusy(error)) return this.#putOff((begin) => this.#retry(query, begin));
      return this.#failure(error);
    }
  }

  /**
   * A snapshot costs as much as a short query, for its locks: those that come within a millisecond share one. For our own
   * commits it is as good as new; another process's may be missing for so long as two commits at one time may be seen apart.
   */
  #takeLast(now: number): Reader | undefined {
    const last = this.#last;
    if (last === undefined) return undefined;
    this.#last = undefined;
    const isFresh = last.rev === this.#options.revision() &&
      now - last.takenAt < LIMITS.snapshotSharedMs;
    if (!isFresh) last.endSnapshot();
    return last;
  }

  #putLast(reader: Reader): void {
    if (this.#last !== undefined) this.#put(this.#last);
    this.#last = reader;
    this.#endTimer ??= setTimeout(() => {
      this.#endTimer = undefined;
      this.endLast();
    }, LIMITS.snapshotSharedMs);
  }

  /** Ends the snapshot that is kept for the next query: it would be in the way of a checkpoint. */
  endLast(): void {
    if (this.#last === undefined) return;
    this.#put(this.#last);
    this.#last = undefined;
  }

  #take(): Reader {
    return this.#idle.pop() ?? this.#open();
  }

  /**
   * Before, because to open another file beside the index of ours would cut the index, which this process has mapped; and
   * after, because it may have come in between.
   */
  #open(): Reader {
    const { path, settings, checkFiles } = this.#options;
    checkFiles();
    const connection = openConnection(path, { readOnly: true });
    return this.#checked(new Reader(connection, settings, this.#generation));
  }

  #checked(reader: Reader): Reader {
    try {
      this.#options.checkFiles();
      return reader;
    } catch (error) {
      reader.close();
      throw error;
    }
  }

  #put(reader: Reader): void {
    reader.endSnapshot();
    if (reader.generation === this.#generation) this.#idle.push(reader);
    else reader.close();
  }

  /** What queries are prepared from has changed: the schema, or statistics, which SQLite reads with the schema alone. */
  renew(): void {
    this.#generation++;
    this.closeIdle();
  }

  #failure(error: unknown): SkylineError {
    if (!(error instanceof NoRevision)) return failureOf(error);
    this.#options.mend();
    return ownRowChanged("the row of the revision is gone");
  }

  #tracked<T>(running: Promise<T>): Promise<T> {
    this.#running.add(running);
    return running.finally(() => this.#running.delete(running));
  }

  #putOff(answer: (begin: () => void) => Promise<QueryOutcome>): PutOffQuery {
    const begun = Promise.withResolvers<void>();
    const outcome = answer(begun.resolve).finally(begun.resolve);
    return new PutOffQuery(begun.promise, this.#tracked(outcome));
  }

  /** Waits for a place beside the loop, and until answers were fetched. */
  async #later(query: Query, begin: () => void): Promise<QueryOutcome> {
    try {
      await this.#place(query);
    } catch (error) {
      return failureOf(error);
    }
    let reader: Reader | undefined;
    let rev: number;
    try {
      reader = this.#take();
      rev = reader.beginSnapshot(performance.now());
    } catch (error) {
      this.#besideLoop.release();
      if (!isUnready(error)) {
        if (reader) this.#put(reader);
        return this.#failure(error);
      }
      reader?.close();
      return await this.#readied(query, error, begin);
    }
    begin();
    return await this.#beside(query, reader, rev);
  }

  /** Who has not fetched its own answers waits without a place, so that others have it. */
  async #place(query: Query): Promise<void> {
    const { recipient } = query;
    for (;;) {
      if (!recipient.hasFetched) await within(query, recipient.wait(() => recipient.hasFetched));
      await this.#besideLoop.acquire(query);
      if (recipient.hasFetched) break;
      this.#besideLoop.release();
    }
    try {
      if (!recipient.hasRoom) await within(query, recipient.wait(() => recipient.hasRoom));
    } catch (error) {
      this.#besideLoop.release();
      throw error;
    }
  }

  /** Goes on beside the loop, where it has a place, with the snapshot that was taken. */
  async #beside(query: Query, reader: Reader, rev: number): Promise<QueryOutcome> {
    try {
      return { rev, ...await this.#runBeside(query, reader.connection) };
    } catch (error) {
      return this.#failure(error);
    } finally {
      this.#put(reader);
      this.#besideLoop.release();
    }
  }

  async #runBeside(query: Query, connection: Connection): Promise<QueryResult> {
    for (let attempt = 0;; attempt++) {
      try {
        return await driveBeside(executeQuery(connection, query.sql, query.params), {
          connection,
          costly: this.#costly,
          slots: this.#slots,
          preparationSlots: this.#preparationSlots,
          attempt,
          ...query,
        });
      } catch (error) {
        if (!(error instanceof NotInline)) throw error;
      }
    }
  }

  /** Opens one while the loop goes on, and keeps it for who comes next. */
  async #openBeside(): Promise<void> {
    const { path, settings, checkFiles } = this.#options;
    checkFiles();
    const generation = this.#generation;
    const connection = await openBeside(path, { readOnly: true });
    this.#put(this.#checked(new Reader(connection, settings, generation)));
  }

  /** Opens the file where it is closed, or a reader where that takes long; then it answers the query. */
  async #readied(query: Query, unready: Error, begin: () => void): Promise<QueryOutcome> {
    let failure: unknown;
    const readying = unready instanceof NotOpen
      ? this.#options.open()
      : this.#opening ??= this.#openBeside().finally(() => this.#opening = undefined);
    try {
      await within(query, this.#tracked(readying.catch((error) => failure = error)));
    } catch (error) {
      return failureOf(error);
    }
    if (isBusy(failure)) return await this.#retry(query, begin);
    return failure ? this.#failure(failure) : await this.#again(query, begin);
  }

  /** Another process recovers the log or holds the file for itself: it is tried again until the deadline. */
  async #retry(query: Query, begin: () => void): Promise<QueryOutcome> {
    await sleep(LIMITS.busyPauseMs.max);
    if (performance.now() >= query.deadline) return databaseBusy();
    if (query.signal.aborted) return gone(query.signal);
    return await this.#again(query, begin);
  }

  async #again(query: Query, begin: () => void): Promise<QueryOutcome> {
    const answer = this.query(query);
    if (!(answer instanceof PutOffQuery)) return answer;
    answer.begun.then(begin);
    return await answer.outcome;
  }

  /** Whether queries run. */
  get isBusy(): boolean {
    return this.#running.size > 0;
  }

  /** Closes the connections that no query uses. */
  closeIdle(): void {
    clearTimeout(this.#endTimer);
    this.#endTimer = undefined;
    this.endLast();
    for (const reader of this.#idle.splice(0)) reader.close();
  }

  /** Gives the queries that run some seconds; then they end with `error`. */
  endSoon(error: SkylineError): void {
    this.#endSoonTimer ??= setTimeout(() => this.#ending.abort(error), LIMITS.endMs);
  }

  /** Waits for the queries that run, for some seconds, then ends them with `error`; and closes. */
  async close(error: SkylineError): Promise<void> {
    this.endSoon(error);
    while (this.#running.size > 0) await Promise.allSettled(this.#running);
    clearTimeout(this.#endSoonTimer);
    this.#endSoonTimer = undefined;
    this.#ending = new AbortController();
    this.closeIdle();
  }
}
