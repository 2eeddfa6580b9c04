/**
 * Committing writes in groups: many requests, each in a savepoint of its own, share one durable COMMIT.
 *
 * @module
 */
import { setTimeout as sleep } from "node:timers/promises";
import { SkylineError } from "../../client/errors.ts";
import { WIRE_LIMITS } from "../../client/limits.ts";
import { LIMITS } from "../process/limits.ts";
import type { Log } from "../process/log.ts";
import type { Connection } from "../sqlite/connection.ts";
import { RESULT, SqliteError } from "../sqlite/errors.ts";
import type { CostlyStatements } from "./costly_statements.ts";
import { type Drive, driveBeside, driveInline, NotInline, timeout } from "./drivers.ts";
import {
  type Executed,
  executeStatement,
  executeWrite,
  type Execution,
  isVacuum,
  standsAlone,
} from "./execution.ts";
import type { Transaction } from "./transaction.ts";
import type { Write, WriteOutcome } from "./write.ts";
import { BUSY } from "./write_queue.ts";

/** A write that waits in the queue. */
export class QueuedWrite {
  /** Whether it has to be run by itself, beside the loop. */
  alone: boolean;
  readonly deadline: number;

  /** `settle` is called once, when the outcome is known. */
  constructor(readonly write: Write, readonly settle: (outcome: WriteOutcome) => void) {
    this.deadline = write.deadline;
    this.alone = !write.atomic || write.statements.length > LIMITS.groupStatementsMax ||
      write.statements.some(({ sql }) => standsAlone(sql));
  }
}

/** Counts since the start. */
export interface CommitCounts {
  /** Requests that took effect. */
  writes: number;
  /** Commits. */
  groups: number;
  /** Requests that failed. */
  failures: number;
}

/** What is open while a database is: replaced when it has to be opened again. */
export interface Writer {
  readonly connection: Connection;
  readonly transaction: Transaction;
  /** The revision of the last commit. */
  revision: number;
}

/** What {@link GroupCommit} needs of its database. */
export interface GroupCommitOptions {
  readonly costly: CostlyStatements;
  readonly log: Log;
  /** The open writer. */
  writer(): Writer;
  /**
   * After a COMMIT whose outcome is not known: opens the database again, so that its revision tells.
   *
   * @throws when that fails too.
   */
  reopen(): Promise<void>;
}

/** Commits the writes of one database, from the front of its queue. */
export class GroupCommit {
  readonly #options: GroupCommitOptions;
  /** How long commits took lately, in milliseconds. */
  #commitMs = 0;
  readonly counts: CommitCounts = { writes: 0, groups: 0, failures: 0 };

  /** Commits with what `options` gives. */
  constructor(options: GroupCommitOptions) {
    this.#options = options;
  }

  /** Commits writes from the front of `queued`: see `WriteQueueOptions.commit`. */
  commit(queued: readonly QueuedWrite[]): number | Promise<number> {
    if (queued[0].alone) return this.#commitAlone(queued[0]);
    try {
      return this.#commitGroup(queued);
    } catch (error) {
      return this.failAll(queued, error);
    }
  }

  get #writer(): Writer {
    return this.#options.writer();
  }

  /** Something failed that is no statement's fault, such as BEGIN with an I/O error: nothing was committed. */
  failAll(queued: readonly QueuedWrite[], error: unknown): number {
    this.#rollback();
    const failure = this.#failure(error);
    for (const { settle } of queued) this.#settle(settle, failure);
    return queued.length;
  }

  #rollback(): void {
    try {
      this.#writer.transaction.rollback();
    } catch (error) {
      this.#options.log.error("Rollback failed", { error: String(error) });
    }
  }

  #failure(error: unknown): SkylineError {
    if (error instanceof SkylineError) return error;
    if (error instanceof SqliteError) {
      const code = error.primary === RESULT.FULL ? "DISK_FULL" : "SQL_ERROR";
      return new SkylineError(code, error.message, { sqliteCode: error.codeName, retry: "safe" });
    }
    this.#options.log.error("Unexpected error", { error: (error as Error).stack ?? String(error) });
    return new SkylineError("INTERNAL_ERROR", `Unexpected: ${error}`, { retry: "safe" });
  }

  #settle(settle: QueuedWrite["settle"], outcome: WriteOutcome): void {
    if (outcome instanceof SkylineError) this.counts.failures++;
    else this.counts.writes++;
    settle(outcome);
  }

  // In groups

  #commitGroup(queued: readonly QueuedWrite[]): number | Promise<number> {
    const { transaction, revision } = this.#writer;
    let members = queued;
    for (;;) {
      if (!transaction.begin()) return BUSY;
      const outcomes = this.#executeGroup(members);
      if (outcomes !== null) return this.#commitOutcomes(queued, outcomes, revision);
      // A member ended the whole transaction. Those before it are run again as a group of their own; it comes next, alone.
      members = members.slice(0, members.findIndex(({ alone }) => alone));
      if (members.length === 0) return 0;
    }
  }

  /** Executes members up to one that has to run alone, or the time is up; `null` when the transaction was ended. */
  #executeGroup(members: readonly QueuedWrite[]): WriteOutcome[] | null {
    const { connection } = this.#writer;
    const outcomes: WriteOutcome[] = [];
    const until = performance.now() + LIMITS.groupMs;
    let { revision } = this.#writer;
    for (const member of members) {
      if (member.alone || outcomes.length > 0 && performance.now() > until) break;
      const outcome = this.#executeMember(member, revision);
      // The next savepoint would start a transaction of its own and its release commit it, without the others.
      if (connection.autocommit) {
        member.alone = true;
        return null;
      }
      if (outcome === null) {
        member.alone = true;
        break;
      }
      outcomes.push(outcome);
      if (!(outcome instanceof SkylineError)) revision = outcome.rev;
    }
    return outcomes;
  }

  /** A member's outcome should the group commit; `null` when it cannot be executed inline. */
  #executeMember({ write }: QueuedWrite, revision: number): WriteOutcome | null {
    const { connection, transaction } = this.#writer;
    const refusal = refusalOf(write, revision);
    if (refusal) return refusal;
    transaction.savepoint();
    try {
      const drive = this.#drive(write);
      const executed = driveInline(
        executeWrite(connection, write),
        drive,
        performance.now() + LIMITS.groupMs,
      );
      checkForeignKeys(connection);
      transaction.release();
      return { rev: revision + 1, ...executed };
    } catch (error) {
      if (!connection.autocommit) transaction.undo();
      return error instanceof NotInline ? null : this.#failure(error);
    }
  }

  #drive(write: Write): Drive {
    return {
      connection: this.#writer.connection,
      costly: this.#options.costly,
      deadline: write.deadline,
    };
  }

  #commitOutcomes(
    queued: readonly QueuedWrite[],
    outcomes: WriteOutcome[],
    before: number,
  ): number | Promise<number> {
    const { transaction } = this.#writer;
    const revision = revisionAfter(outcomes, before);
    const settle = () => {
      outcomes.forEach((outcome, i) => this.#settle(queued[i].settle, outcome));
      return outcomes.length;
    };
    if (revision === before) {
      transaction.rollback();
      return settle();
    }
    transaction.setRevision(revision);
    const failed = (error: unknown) => this.#commitFailed(error, outcomes, revision).then(settle);
    if (this.#commitMs > LIMITS.commitInlineMs) {
      return this.#commitBeside(revision).then(settle, failed);
    }
    try {
      this.#commitInline(revision);
    } catch (error) {
      return failed(error);
    }
    return settle();
  }

  // The COMMIT

  #commitInline(revision: number): void {
    const started = performance.now();
    this.#writer.transaction.commit();
    this.#committed(revision, started);
  }

  async #commitBeside(revision: number): Promise<void> {
    const started = performance.now();
    await this.#writer.transaction.commitOffLoop();
    this.#committed(revision, started);
  }

  #committed(revision: number, started: number): void {
    this.#writer.revision = revision;
    this.counts.groups++;
    this.#commitMs += (performance.now() - started - this.#commitMs) / 8;
  }

  /**
   * A failed COMMIT may have happened: after an I/O error in its fsync the row is invisible here and there after a crash.
   * The database is opened again, which recovers it, and its revision says which it was. Where even that fails, the
   * outcomes that were to be are replaced by "unknown". A full disk is known: the frame that commits was not written.
   */
  async #commitFailed(error: unknown, outcomes: WriteOutcome[], revision: number): Promise<void> {
    this.#rollback();
    const failure = this.#failure(error);
    if (failure.code === "DISK_FULL") return replaceDone(outcomes, failure);
    this.#options.log.error("Commit failed", {
      error: failure.message,
      sqlite: failure.sqliteCode,
    });
    try {
      await this.#options.reopen();
    } catch (error) {
      const message =
        `The commit failed (${failure.message}), and so did opening the database again: ${error}`;
      return replaceDone(outcomes, new SkylineError("OUTCOME_UNKNOWN", message));
    }
    if (this.#writer.revision >= revision) this.counts.groups++;
    else replaceDone(outcomes, failure);
  }

  // Alone, beside the loop

  async #commitAlone({ write, settle }: QueuedWrite): Promise<number> {
    const revision = this.#writer.revision + 1;
    let outcome: WriteOutcome;
    try {
      outcome = write.atomic
        ? await this.#runAtomic(write, revision)
        : await this.#runEach(write, revision);
    } catch (error) {
      outcome = this.#failure(error);
    }
    this.#settle(settle, outcome);
    return 1;
  }

  async #runAtomic(write: Write, revision: number): Promise<WriteOutcome> {
    const vacuum = write.statements.length === 1 && isVacuum(write.statements[0].sql);
    const executed = await this.#runUnit<Executed>(
      write,
      revision,
      vacuum,
      (connection) => executeWrite(connection, write),
    );
    return { rev: revision, ...executed };
  }

  /** Each statement is a transaction, and each writes the request's revision: what was kept has it, whatever comes after. */
  async #runEach(write: Write, revision: number): Promise<WriteOutcome> {
    const results: string[] = [];
    let bytesLeft = WIRE_LIMITS.frameBytesMax;
    let rowsAffected = 0;
    for (let index = 0; index < write.statements.length; index++) {
      try {
        const vacuum = isVacuum(write.statements[index].sql);
        const first = index === 0 ? write : { ...write, ifRev: undefined };
        const done = await this.#runUnit(
          first,
          revision,
          vacuum,
          (connection) => executeStatement(connection, write, index, bytesLeft),
        );
        rowsAffected += done.changes;
        bytesLeft = done.bytesLeft;
        if (done.result !== undefined) results.push(done.result);
      } catch (error) {
        throw index === 0 ? error : afterOthers(this.#failure(error), index);
      }
    }
    return write.results
      ? { rev: revision, rowsAffected, results: `[${results.join(",")}]` }
      : { rev: revision, rowsAffected };
  }

  /** Runs one transaction, until it is committed or has failed. */
  async #runUnit<T>(
    write: Write,
    revision: number,
    vacuum: boolean,
    execute: (connection: Connection) => Execution<T>,
  ): Promise<T> {
    for (;;) {
      try {
        const refusal = refusalOf(write, this.#writer.revision);
        if (refusal) throw refusal;
        if (!vacuum) await this.#beginWithin(write.deadline);
        const { connection } = this.#writer;
        if (vacuum) connection.attachedMax = 1;
        const done = await driveBeside(execute(connection), this.#drive(write));
        if (vacuum) await this.#beginWithin(write.deadline);
        checkForeignKeys(connection);
        await this.#commitUnit(revision);
        return done;
      } catch (error) {
        this.#rollback();
        if (!(error instanceof NotInline)) throw error;
      } finally {
        this.#writer.connection.attachedMax = 0;
      }
    }
  }

  async #beginWithin(deadline: number): Promise<void> {
    while (!this.#writer.transaction.begin()) {
      if (performance.now() > deadline) throw databaseBusy();
      await sleep(LIMITS.busyPauseMs.max);
    }
  }

  async #commitUnit(revision: number): Promise<void> {
    this.#writer.transaction.setRevision(revision);
    try {
      await this.#commitBeside(revision);
    } catch (error) {
      const outcomes: WriteOutcome[] = [{ rev: revision, rowsAffected: 0 }];
      await this.#commitFailed(error, outcomes, revision);
      if (outcomes[0] instanceof SkylineError) throw outcomes[0];
    }
  }
}

/** Why a write is not even started. */
function refusalOf({ deadline, ifRev }: Write, revision: number): SkylineError | null {
  if (performance.now() >= deadline) return timeout();
  if (ifRev === undefined || ifRev === revision) return null;
  return new SkylineError("REVISION_CHANGED", `The revision is ${revision}, not ${ifRev}`);
}

/** The error of a request that another process kept from starting. */
export function databaseBusy(): SkylineError {
  return new SkylineError(
    "DATABASE_BUSY",
    "Another process held the database's lock until the request's deadline",
  );
}

/** RELEASE succeeds with a deferred key violated; only the COMMIT would fail, for all members. */
function checkForeignKeys(connection: Connection): void {
  if (!connection.violatesDeferredForeignKeys) return;
  throw new SkylineError("SQL_ERROR", "FOREIGN KEY constraint failed", {
    sqliteCode: "SQLITE_CONSTRAINT_FOREIGNKEY",
  });
}

function revisionAfter(outcomes: readonly WriteOutcome[], before: number): number {
  return outcomes.reduce(
    (revision, outcome) => outcome instanceof SkylineError ? revision : outcome.rev,
    before,
  );
}

function replaceDone(outcomes: WriteOutcome[], failure: SkylineError): void {
  outcomes.forEach((outcome, i) => {
    if (!(outcome instanceof SkylineError)) outcomes[i] = failure;
  });
}

/** Statements before it were kept, so sending the request again would repeat them. */
function afterOthers(error: SkylineError, index: number): SkylineError {
  const { code, message, sqliteCode, hint } = error;
  const retry = error.retry === "unknown" ? "unknown" : "no";
  return new SkylineError(code, message, { sqliteCode, statement: index, hint, retry });
}
