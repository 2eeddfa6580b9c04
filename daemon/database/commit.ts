/**
 * The COMMIT that makes writes durable, and what is done where it fails.
 *
 * @module
 */
import { randomUUID } from "node:crypto";
import { SkylineError } from "../../client/errors.ts";
import { LIMITS } from "../process/limits.ts";
import type { Log } from "../process/log.ts";
import { RecentHistogram } from "../process/recent_histogram.ts";
import type { Connection } from "../sqlite/connection.ts";
import { DISK_WORK } from "./disk_work.ts";
import type { ExactlyOnce } from "./exactly_once.ts";
import { failureOf } from "./failures.ts";
import { FilesChanged } from "./file_rescue.ts";
import type { FileTrouble, FileWatch } from "./file_watch.ts";
import type { QueuedWrite } from "./queued_write.ts";
import type { Transaction } from "./transaction.ts";
import { isDone, revisionOf, type Write, type WriteOutcome } from "./write.ts";

/** What is open while a database is: replaced when it has to be opened again. */
export interface Writer {
  readonly connection: Connection;
  readonly transaction: Transaction;
  readonly once: ExactlyOnce;
  readonly files: FileWatch;
  /** The revision of the last commit. */
  revision: number;
  /** As it was found when the file was opened: what the last commit left that did not raise the revision. */
  readonly mark: string;
}

/** What became of a COMMIT that failed. */
export interface FailedCommit {
  /** `done`: it had happened all the same; `not done`: it has not, and never will; `unknown`: nobody can tell. */
  readonly verdict: "done" | "not done" | "unknown";
  /** What those are answered whom it was for, unless it is done. */
  readonly failure: SkylineError;
}

/** What the transaction that is open is to leave in the file, by which it is known again. */
interface Attempt {
  readonly revision: number;
  readonly before: number;
  /** Where the revision stays as it was. */
  readonly mark: string;
  /** Whether the COMMIT itself was begun: what fails before it has not happened. */
  isBegun: boolean;
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

/** What {@link Commit} needs of its database. */
export interface CommitOptions {
  readonly log: Log;
  /** The open writer. */
  writer(): Writer;
  /**
   * After a COMMIT whose outcome is not known: opens the database again, so that its revision tells.
   *
   * @throws when that fails too.
   */
  reopen(): Promise<void>;
  /** What queries are prepared from has changed: see `Readers.renew`. */
  outdated(): void;
  /** After the files changed: opens the database again if that is safe; if not, its revision stays as it was. */
  rescue(trouble: FileTrouble): Promise<void>;
}

/** Ends transactions of the write connection, for groups and for lone writes alike. */
export class Commit {
  readonly #options: CommitOptions;
  /** How long commits took lately, in milliseconds. */
  #recentMs = 0;
  #attempt!: Attempt;
  readonly counts: CommitCounts = { writes: 0, groups: 0, failures: 0 };
  /** Milliseconds that commits took. */
  readonly times: RecentHistogram = new RecentHistogram();
  /** How many requests that took effect shared each commit. */
  readonly groupSizes: RecentHistogram = new RecentHistogram();

  /** Commits on the writer that `options` gives. */
  constructor(options: CommitOptions) {
    this.#options = options;
  }

  /** The open writer. */
  get writer(): Writer {
    return this.#options.writer();
  }

  /** Whether a commit may hold the loop for too long: lately they did, as on a hard disk, or the disk is busy. */
  get isSlow(): boolean {
    return this.#recentMs > LIMITS.commitInlineMs || DISK_WORK.isUnderWay;
  }

  /** Commits while the loop waits: another thread would cost more than it saves. */
  inline(revision: number): void {
    const started = performance.now();
    this.#prepare(revision);
    this.writer.transaction.commit();
    this.#count(revision, this.#done(started));
  }

  /** Commits on another thread. */
  async beside(revision: number): Promise<void> {
    const started = performance.now();
    this.#prepare(revision);
    await this.writer.transaction.commitOffLoop();
    this.#count(revision, this.#done(started));
  }

  /**
   * Forgets some of what is too old, in a commit of its own, if there is anything. Nobody's request is in it: the revision stays
   * as it is, and nothing is counted.
   *
   * @returns false where it failed, or another process holds the lock.
   */
  async sweep(): Promise<boolean> {
    const { transaction, once, revision } = this.writer;
    try {
      if (!once.findOld()) return true;
      if (!transaction.begin()) return false;
      once.discard();
      once.sweep();
    } catch (error) {
      this.rollback();
      this.#options.log.warn("What is too old could not be forgotten", { error });
      return false;
    }
    const started = performance.now();
    try {
      this.#prepare(revision);
      if (this.isSlow) await transaction.commitOffLoop();
      else transaction.commit();
      this.#done(started);
      return true;
    } catch (error) {
      await this.failed(error);
      return false;
    }
  }

  #prepare(revision: number): void {
    const { transaction, once, revision: before } = this.writer;
    const mark = revision === before ? randomUUID() : "";
    const attempt: Attempt = { revision, before, mark, isBegun: false };
    this.#attempt = attempt;
    if (mark === "") transaction.setRevision(revision, before);
    else transaction.setMark(mark, before);
    once.save();
    attempt.isBegun = true;
  }

  /**
   * Nothing has been answered yet: what is in another file than the one that has the name now is not acknowledged. Gives how long
   * it took, in milliseconds.
   */
  #done(started: number): number {
    const trouble = this.writer.files.check();
    if (trouble) throw new FilesChanged(trouble);
    this.writer.once.committed();
    this.#tellOutdated();
    const took = performance.now() - started;
    this.#recentMs += (took - this.#recentMs) / 8;
    return took;
  }

  #count(revision: number, took: number): void {
    const size = revision - this.writer.revision;
    this.writer.revision = revision;
    this.counts.groups++;
    const now = performance.now();
    this.times.record(took, now);
    // Some keep only that a request was answered; and the statements of one that is not atomic share its revision.
    if (size > 0) this.groupSizes.record(size, now);
  }

  #tellOutdated(): void {
    const { connection } = this.writer;
    if (!connection.hasOutdated) return;
    connection.hasOutdated = false;
    try {
      this.#options.outdated();
    } catch (error) {
      // The commit is done, whatever this is.
      this.#options.log.error("Unexpected error", { error });
    }
  }

  /**
   * What became of the commit that has just failed. A failed COMMIT may have happened: after an I/O error in its fsync the
   * row is invisible here and there after a crash. The database is opened again, which recovers it, and its revision or mark
   * says which it was. Where there was no room to write (SQLITE_FULL) it is known: the frame that commits was not written. So
   * is a lock that is not had.
   */
  async failed(error: unknown): Promise<FailedCommit> {
    this.rollback();
    if (error instanceof FilesChanged) return await this.#filesChanged(error.trouble);
    const failure = this.failure(error);
    if (failure.sqliteCode === "SQLITE_FULL" || failure.code === "DATABASE_BUSY") {
      return { verdict: "not done", failure };
    }
    this.#options.log.error("Commit failed", {
      error: failure.message,
      sqlite: failure.sqliteCode,
    });
    try {
      await this.#options.reopen();
    } catch (error) {
      if (!this.#attempt.isBegun) return { verdict: "not done", failure };
      return unknown(
        `The commit failed (${failure.message}), and so did opening the database again: ${error}`,
      );
    }
    return { verdict: this.#isInFile() ? "done" : "not done", failure };
  }

  async #filesChanged(trouble: FileTrouble): Promise<FailedCommit> {
    const before = this.writer;
    await this.#options.rescue(trouble);
    const failed = unknown(`The write was committed, but ${trouble.what} meanwhile`);
    // Where it was not opened again nothing tells.
    return this.writer !== before && this.#isInFile() ? { ...failed, verdict: "done" } : failed;
  }

  /** Whether the file that was opened again holds what was to be committed. */
  #isInFile(): boolean {
    const { revision, before, mark } = this.#attempt;
    if (!this.#attempt.isBegun) return false;
    return revision > before ? this.writer.revision >= revision : this.writer.mark === mark;
  }

  /** Undoes what is not committed. */
  rollback(): void {
    try {
      this.writer.transaction.rollback();
    } catch (error) {
      this.#options.log.error("Rollback failed", { error });
    }
  }

  /** An error as an answer; one that is a mistake in this program is logged. */
  failure(error: unknown): SkylineError {
    const failure = failureOf(error);
    if (failure.code === "INTERNAL_ERROR") {
      this.#options.log.error("Unexpected error", {
        error: (error as Error).stack ?? String(error),
      });
    }
    return failure;
  }

  /** Tells whoever waits for it. */
  settle({ settle }: QueuedWrite, outcome: WriteOutcome): void {
    if (outcome instanceof SkylineError) this.counts.failures++;
    else if (isDone(outcome)) this.counts.writes++;
    settle(outcome);
  }

  /** Something failed that is no statement's fault, such as BEGIN with an I/O error: nothing was committed. */
  failAll(queued: readonly QueuedWrite[], error: unknown): number {
    const failure = this.failure(error);
    for (const member of queued) this.settle(member, failure);
    return queued.length;
  }
}

function unknown(message: string): FailedCommit {
  return { verdict: "unknown", failure: new SkylineError("OUTCOME_UNKNOWN", message) };
}

/**
 * The outcomes of writes whose COMMIT failed, where it was to raise the revision from `before`. If it is not done, also those
 * of requests that were to be repeated of it, and the final failures of sessions that were to be kept and were not: a
 * client that is told of one goes on with its next number, which would be out of turn. Sent again, they fail again.
 */
export function outcomesAfter(
  { verdict, failure }: FailedCommit,
  before: number,
  writes: readonly Write[],
  outcomes: readonly WriteOutcome[],
): readonly WriteOutcome[] {
  if (verdict === "done") return outcomes;
  return outcomes.map((outcome, i) => {
    const isFinal = outcome instanceof SkylineError && outcome.retry === "no";
    const isLost = isFinal ? writes[i].session !== undefined : revisionOf(outcome) > before;
    return isLost ? failure : outcome;
  });
}
