/**
 * The COMMIT that makes writes durable, and what is done where it fails.
 *
 * @module
 */
import { SkylineError } from "../../client/errors.ts";
import { LIMITS } from "../process/limits.ts";
import type { Log } from "../process/log.ts";
import { RecentHistogram } from "../process/recent_histogram.ts";
import type { Connection } from "../sqlite/connection.ts";
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
  /** After the files changed: opens the database again if that is safe; if not, its revision stays as it was. */
  rescue(trouble: FileTrouble): Promise<void>;
}

/** Ends transactions of the write connection, for groups and for lone writes alike. */
export class Commit {
  readonly #options: CommitOptions;
  /** How long commits took lately, in milliseconds. */
  #recentMs = 0;
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

  /** Whether commits lately held the loop for too long, as they do on a hard disk. */
  get isSlow(): boolean {
    return this.#recentMs > LIMITS.commitInlineMs;
  }

  /** Commits while the loop waits: another thread would cost more than it saves. */
  inline(revision: number): void {
    const started = performance.now();
    this.#prepare(revision);
    this.writer.transaction.commit();
    this.#done(revision, started);
  }

  /** Commits on another thread. */
  async beside(revision: number): Promise<void> {
    const started = performance.now();
    this.#prepare(revision);
    await this.writer.transaction.commitOffLoop();
    this.#done(revision, started);
  }

  #prepare(revision: number): void {
    const { transaction, once, revision: before } = this.writer;
    if (revision !== before) transaction.setRevision(revision);
    once.save();
  }

  /** Nothing has been answered yet: what is in another file than the one that has the name now is not acknowledged. */
  #done(revision: number, started: number): void {
    const trouble = this.writer.files.check();
    if (trouble) throw new FilesChanged(trouble);
    this.writer.once.committed();
    const size = revision - this.writer.revision;
    this.writer.revision = revision;
    this.counts.groups++;
    const now = performance.now();
    const took = now - started;
    this.#recentMs += (took - this.#recentMs) / 8;
    this.times.record(took, now);
    // Some keep only that a request was answered; and the statements of one that is not atomic share its revision.
    if (size > 0) this.groupSizes.record(size, now);
  }

  /**
   * A failed COMMIT may have happened: after an I/O error in its fsync the row is invisible here and there after a crash.
   * The database is opened again, which recovers it, and its revision says which it was. Where even that fails, the
   * outcomes that were to be are replaced by "unknown". A full disk is known: the frame that commits was not written.
   */
  async failed(
    error: unknown,
    writes: readonly Write[],
    outcomes: WriteOutcome[],
  ): Promise<void> {
    this.rollback();
    if (error instanceof FilesChanged) return await this.#filesChanged(error.trouble, outcomes);
    const failure = this.failure(error);
    if (failure.code === "DISK_FULL") return this.#replaceAll(writes, outcomes, failure);
    this.#options.log.error("Commit failed", {
      error: failure.message,
      sqlite: failure.sqliteCode,
    });
    try {
      await this.#options.reopen();
    } catch (error) {
      const message =
        `The commit failed (${failure.message}), and so did opening the database again: ${error}`;
      return this.#replaceAll(writes, outcomes, new SkylineError("OUTCOME_UNKNOWN", message));
    }
    this.#replaceAll(writes, outcomes, failure);
  }

  /**
   * Also the failures of sessions that were to be kept and were not: a client that is told of one goes on with its next
   * number, which would be out of turn. Sent again, they fail again.
   */
  #replaceAll(writes: readonly Write[], outcomes: WriteOutcome[], failure: SkylineError): void {
    const isCommitted = outcomes.some((each) => isDone(each) && each.rev <= this.writer.revision);
    this.#replaceUncommitted(outcomes, failure);
    if (isCommitted) return;
    outcomes.forEach((outcome, i) => {
      const isFinal = outcome instanceof SkylineError && outcome.retry === "no";
      if (isFinal && writes[i].session !== undefined) outcomes[i] = failure;
    });
  }

  async #filesChanged(trouble: FileTrouble, outcomes: WriteOutcome[]): Promise<void> {
    await this.#options.rescue(trouble);
    const message = `The write was committed, but ${trouble.what} meanwhile`;
    this.#replaceUncommitted(outcomes, new SkylineError("OUTCOME_UNKNOWN", message));
  }

  /** Also what was to be repeated of the same group. */
  #replaceUncommitted(outcomes: WriteOutcome[], failure: SkylineError): void {
    outcomes.forEach((outcome, i) => {
      if (revisionOf(outcome) > this.writer.revision) outcomes[i] = failure;
    });
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
