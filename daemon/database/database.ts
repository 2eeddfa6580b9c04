/**
 * One database: its writer, its readers, its queue.
 *
 * @module
 */
import { setTimeout as sleep } from "node:timers/promises";
import { SkylineError } from "../../client/errors.ts";
import { IdleTimer } from "../../client/idle_timer.ts";
import { LIMITS } from "../process/limits.ts";
import type { Log } from "../process/log.ts";
import type { RecentHistogram } from "../process/recent_histogram.ts";
import { Checkpoints } from "./checkpoints.ts";
import { Commit } from "./commit.ts";
import { CostlyStatements } from "./costly_statements.ts";
import { cannotOpen } from "./database_file.ts";
import { FileClaim } from "./file_claim.ts";
import { emptyLog, fileReplaced, leaveLog } from "./file_rescue.ts";
import { type FileTrouble, FileWatch } from "./file_watch.ts";
import { databaseBusy, isBusy, queueFull, shuttingDown, timeout } from "./failures.ts";
import { GroupCommit } from "./group_commit.ts";
import { LoneCommit } from "./lone_commit.ts";
import { QueuedWrite } from "./queued_write.ts";
import { type Query, type QueryOutcome, Readers } from "./readers.ts";
import type { Write, WriteOutcome } from "./write.ts";
import { BUSY, WriteQueue } from "./write_queue.ts";
import {
  closeWriter,
  openError,
  type OpenWriter,
  openWriter,
  releaseMemory,
  type WriterOptions,
} from "./writer.ts";

/** How a database is served. */
export interface DatabaseOptions extends WriterOptions {
  /** For how long nothing must be asked of it until its file is closed, in milliseconds; 0: it stays open. */
  readonly closeIdleMs: number;
  /** Size of the write-ahead log from which on writes are refused. */
  readonly walLimitBytes: number;
  readonly log: Log;
  /** Whether waiting for a moment may bring more requests. */
  othersMaySend(): boolean;
  /**
   * While it was closed for being unused another file has come to its path: takes the right to serve that one.
   *
   * @throws {SkylineError} `CANNOT_OPEN` when another daemon serves it.
   */
  claimFile(): void;
}

/** Counts and sizes, for `Status`. */
export interface DatabaseFigures {
  /** Whether the file is open; where it is not, the next request opens it. */
  readonly open: boolean;
  /** Why the database is served no more. */
  readonly lost: SkylineError | undefined;
  readonly rev: number;
  readonly queued: number;
  /** Length of the requests that wait, in UTF-16 units. */
  readonly queuedUnits: number;
  readonly writes: number;
  readonly groups: number;
  readonly failures: number;
  readonly queries: number;
  /** Milliseconds that commits took. */
  readonly commitTimes: RecentHistogram;
  readonly groupSizes: RecentHistogram;
  /** Checkpoints since the start. */
  readonly checkpoints: number;
  /** Milliseconds that the last one took. */
  readonly checkpointMs: number;
  /** Size of the log's file. */
  readonly walBytes: number;
  readonly walFramesLeft: number;
  /** For how long a reader has kept the log from starting over. */
  readonly walHeldMs: number;
  readonly walLimitBytes: number;
}

/** A database that is served. Its file is open, but for when nobody has used it for a while. */
export class Database {
  /** The file's real path. */
  readonly path: string;
  readonly #options: DatabaseOptions;
  readonly #checkpoints: Checkpoints;
  readonly #commit: Commit;
  readonly #groups: GroupCommit;
  readonly #lone: LoneCommit;
  readonly #queue: WriteQueue<QueuedWrite>;
  readonly #readers: Readers;
  #writer: OpenWriter;
  readonly #claim: FileClaim;
  readonly #idleTimer: IdleTimer;
  /** Length of the requests that wait. */
  #queuedUnits = 0;
  /** False after the database could not be opened again, and while it is closed as unused: the next write opens it. */
  #isOpen = true;
  /** It was closed in order, because nobody used it. */
  #isUnused = false;
  /** It is to be closed as unused, or to let go of memory, once it is the queue's turn. */
  #isCloseDue = false;
  #isReleaseDue = false;
  #isLocked = false;
  #isClosed = false;
  /** The files were found to have changed by somebody who could do nothing about it. */
  #isSuspect = false;
  /** Why the database is served no more. */
  #lost: SkylineError | undefined;

  private constructor(path: string, options: DatabaseOptions, writer: OpenWriter) {
    this.path = path;
    this.#options = options;
    this.#writer = writer;
    const pageBytes = () => this.#writer.pageBytes;
    this.#checkpoints = new Checkpoints({
      path,
      get pageBytes() {
        return pageBytes(); // of another file, if need be
      },
      walLimitBytes: options.walLimitBytes,
      log: options.log,
      checkFiles: () => this.#checkFiles(),
      wake: () => this.#queue.wake(),
    });
    this.#readers = new Readers(path, () => this.#checkFiles());
    this.#commit = new Commit({
      log: options.log,
      writer: () => this.#writer,
      reopen: () => this.#reopen(),
      rescue: (trouble) => this.#rescue(trouble),
    });
    const costly = new CostlyStatements();
    this.#groups = new GroupCommit(this.#commit, costly);
    this.#lone = new LoneCommit(this.#commit, costly);
    this.#queue = new WriteQueue<QueuedWrite>({
      commit: (queued) => this.#commitSome(queued),
      expire: ({ settle }) => settle(this.#isLocked ? databaseBusy() : timeout()),
      maintain: () => this.#maintain(),
      othersMaySend: options.othersMaySend,
    });
    this.#claim = new FileClaim(path, options.claimFile);
    this.#idleTimer = new IdleTimer(options.closeIdleMs, () => this.#activity(), () => {
      this.#isCloseDue = true;
      this.#queue.wake();
    });
    this.#idleTimer.start();
  }

  /**
   * Opens the file at `path`, which exists and which nobody else serves; waits up to 5 s for other processes' locks.
   *
   * @throws {SkylineError} `CANNOT_OPEN`, `DATABASE_BUSY`.
   */
  static async open(path: string, options: DatabaseOptions): Promise<Database> {
    const until = performance.now() + LIMITS.openBusyMs;
    for (;;) {
      try {
        return new Database(path, options, openWriter(path, options));
      } catch (error) {
        if (!isBusy(error) || performance.now() > until) throw openError(path, error);
      }
      await sleep(LIMITS.busyPauseMs.max);
    }
  }

  /**
   * Executes a write; settles when it is durable, or has failed. Those of one `source` take effect in the order in which they
   * are given; between sources slow ones may be put off.
   */
  write(write: Write, source?: unknown): Promise<WriteOutcome> {
    if (this.#isClosed) return Promise.resolve(shuttingDown());
    if (this.#lost) return Promise.resolve(this.#lost);
    if (
      this.#queue.length >= LIMITS.queueRequestsMax || this.#queuedUnits > LIMITS.queueUnitsMax
    ) {
      return Promise.resolve(queueFull());
    }
    this.#queuedUnits += write.units;
    return new Promise((resolve) =>
      this.#queue.push(
        new QueuedWrite(write, (outcome) => {
          this.#queuedUnits -= write.units;
          resolve(outcome);
        }, source),
      )
    );
  }

  /** A client sends no more: what is remembered of it goes with the next commit, or with time where the file is closed. */
  leave(client: string): void {
    if (!this.#isClosed && this.#isOpen) this.#writer.once.leave(client);
  }

  /** Answers a query, at once if it is quick; it sees all writes that have been settled. */
  query(query: Query): QueryOutcome | Promise<QueryOutcome> {
    if (this.#isClosed) return shuttingDown();
    if (this.#lost) return this.#lost;
    return this.#readers.query(query);
  }

  /** What its writes survive. */
  get durability(): "full" | "normal" {
    return this.#options.durability;
  }

  /** The revision of the last commit; while the file is closed the last that is known. */
  get revision(): number {
    return this.#writer.revision;
  }

  /** Counts and sizes. */
  figures(): DatabaseFigures {
    return {
      open: this.#isOpen,
      lost: this.#lost,
      rev: this.revision,
      queued: this.#queue.length,
      queuedUnits: this.#queuedUnits,
      ...this.#commit.counts,
      queries: this.#readers.count,
      commitTimes: this.#commit.times,
      groupSizes: this.#commit.groupSizes,
      checkpoints: this.#checkpoints.count,
      checkpointMs: this.#checkpoints.lastMs,
      walBytes: this.#checkpoints.fileBytes,
      walFramesLeft: this.#checkpoints.framesLeft,
      walHeldMs: this.#checkpoints.heldMs,
      walLimitBytes: this.#options.walLimitBytes,
    };
  }

  /** Commits what is queued and closes, so that the file stands alone again. Nothing may be asked of it any more. */
  async close(): Promise<void> {
    this.#idleTimer.stop();
    await this.#queue.idle();
    this.#isClosed = true;
    await this.#checkpoints.close();
    // Readers first: while one is open, closing the writer leaves -wal and -shm.
    await this.#readers.close();
    if (!this.#isOpen) return;
    const trouble = this.#writer.files.check();
    if (trouble && !trouble.canReopen) await this.#rescue(trouble);
    try {
      // What was lost has been saved as far as it could be; since then others may have written to it.
      if (!this.#lost) this.#writer.connection.wal.truncate();
    } catch (error) {
      // A reader of another process; whoever opens the file next finds the log and uses it.
      this.#options.log.warn("The log could not be emptied", { database: this.path, error });
    }
    closeWriter(this.#writer);
  }

  #maintain(): void | Promise<void> {
    if (!this.#isOpen || this.#lost) return;
    const { files, connection } = this.#writer;
    if (this.#isReleaseDue) releaseMemory(this.#writer);
    this.#isReleaseDue = false;
    const isCloseDue = this.#isCloseDue;
    const trouble = this.#isSuspect || isCloseDue ? files.check() : null;
    this.#isSuspect = this.#isCloseDue = false;
    if (trouble) return this.#rescue(trouble);
    return isCloseDue ? this.#closeUnused() : this.#checkpoints.run(connection);
  }

  /**
   * Lets go of what can be had again: caches of pages and statements, readers, sessions. Nothing must wait or run; it is done
   * by the next turn of the loop.
   */
  releaseMemory(): void {
    this.#readers.closeIdle();
    this.#isReleaseDue = true;
    this.#queue.wake();
  }

  /** Whether requests wait or run. */
  get isBusy(): boolean {
    return this.#queue.length > 0 || this.#readers.isBusy;
  }

  /** What was asked of it up to now, as a number; `null` while something is under way. */
  #activity(): number | null {
    if (this.isBusy || !this.#checkpoints.isQuiet) return null;
    const { writes, groups, failures } = this.#commit.counts;
    return writes + groups + failures + this.#readers.count;
  }

  /**
   * Closes the file until the next request, so that others may move or replace it. It happens in the queue's turn, and
   * after the last look at what was asked without a pause, so that no request comes in between.
   */
  async #closeUnused(): Promise<void> {
    const before = this.#activity();
    if (before === null) return;
    await this.#checkpoints.close();
    try {
      await this.#writer.connection.wal.truncateOffLoop();
    } catch (error) {
      // Left beside a file that is replaced, the log would spoil the new one. It is tried again with the next look.
      if (isBusy(error)) return;
      return this.#options.log.warn("The log could not be emptied", { database: this.path, error });
    }
    if (this.#activity() !== before) return;
    this.#readers.closeIdle();
    closeWriter(this.#writer);
    this.#isOpen = false;
    this.#isUnused = true;
    this.#idleTimer.stop();
    this.#options.log.info("Closed until the next request", { database: this.path });
  }

  #commitSome(queued: readonly QueuedWrite[]): number | Promise<number> {
    if (this.#lost) return this.#commit.failAll(queued, this.#lost);
    try {
      if (!this.#isOpen) this.#openAgain();
    } catch (error) {
      this.#isLocked = isBusy(error);
      return this.#isLocked ? BUSY : this.#commit.failAll(queued, error);
    }
    const refusal = this.#checkpoints.refusal(this.#writer.connection);
    if (refusal) return this.#commit.failAll(queued, refusal);
    const settled = queued[0].alone ? this.#lone.run(queued[0]) : this.#groups.run(queued);
    this.#isLocked = settled === BUSY;
    return settled;
  }

  /** After a COMMIT whose outcome is not known: closing and opening recovers the log as a crash would. */
  async #reopen(): Promise<void> {
    await this.#readers.close();
    await this.#checkpoints.close();
    this.#isOpen = false;
    closeWriter(this.#writer);
    this.#openAgain();
  }

  #openAgain(): void {
    if (this.#isUnused) return this.#openUnused();
    const { files } = this.#writer;
    this.#refuseOther(files);
    const writer = openWriter(this.path, this.#options);
    try {
      this.#refuseOther(files);
      // Until the log is in the file, an fsync that seems to succeed may cover frames that an earlier one lost.
      writer.connection.wal.truncate();
    } catch (error) {
      closeWriter(writer);
      throw error;
    }
    this.#writer = writer;
    this.#isOpen = true;
  }

  /** @throws {SkylineError} `CANNOT_OPEN`, also the next time until it can. @throws {SqliteError} SQLITE_BUSY. */
  #openUnused(): void {
    let isOther: boolean;
    let writer: OpenWriter;
    try {
      isOther = this.#claim.renew();
      writer = openWriter(this.path, this.#options);
    } catch (error) {
      throw isBusy(error) ? error : openError(this.path, error);
    }
    if (this.#claim.isOutdated) {
      closeWriter(writer);
      throw cannotOpen(this.path, "it was replaced at this moment");
    }
    const { log } = this.#options;
    const facts = { database: this.path, rev: writer.revision, before: this.revision };
    if (isOther || facts.rev !== facts.before) {
      log.warn("The file was replaced while it was closed: the new one is served", facts);
    } else log.info("Opened again", facts);
    this.#writer = writer;
    this.#isOpen = true;
    this.#isUnused = false;
    this.#idleTimer.start();
  }

  /** @throws {SkylineError} when the file that was served is not the one that would be opened now. */
  #refuseOther(files: FileWatch): void {
    const trouble = files.checkDatabase();
    if (trouble) throw this.#lose(trouble);
  }

  /** @throws {SkylineError} `FILE_REPLACED`, and has it seen to, when to open the database by its name would be unsafe. */
  #checkFiles(): void {
    if (this.#isUnused) this.#openUnused();
    const trouble = this.#writer.files.check();
    if (!trouble) return;
    this.#isSuspect = true;
    this.#queue.wake();
    const { code, message, hint } = fileReplaced(this.path, trouble);
    throw new SkylineError(code, message, { hint, retry: trouble.canReopen ? "safe" : "no" });
  }

  /**
   * The files have changed: saves what can be saved, and opens the database again where only its log or the log's index is
   * gone, and nobody else uses what is gone. Else it is served no more.
   */
  async #rescue(trouble: FileTrouble): Promise<void> {
    if (this.#lost) return;
    if (!trouble.canReopen) this.#lose(trouble);
    await this.#checkpoints.close();
    const { connection } = this.#writer;
    try {
      await emptyLog(connection);
      if (!this.#lost) {
        await this.#readers.close();
        await leaveLog(connection);
        await this.#reopen();
        this.#options.log.warn("The log was made anew", {
          database: this.path,
          because: trouble.what,
        });
      }
    } catch (error) {
      const what = trouble.canReopen
        ? "The log could not be made anew"
        : "The log could not be emptied: it holds data of the file that was served";
      this.#options.log.error(what, { database: this.path, error });
      this.#lose(trouble);
    }
    // When SQLite closes a database that is where it was, it removes the log by its name, which may be another file's now.
    if (this.#lost && this.#isOpen) connection.wal.keep();
  }

  #lose(trouble: FileTrouble): SkylineError {
    if (!this.#lost) {
      this.#idleTimer.stop();
      this.#lost = fileReplaced(this.path, trouble);
      this.#options.log.error("The database is served no more", {
        database: this.path,
        because: trouble.what,
      });
    }
    return this.#lost;
  }
}
