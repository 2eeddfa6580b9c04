/**
 * One database: its writer, its readers, its queue.
 *
 * @module
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { SkylineError } from "../../client/errors.ts";
import { IdleTimer } from "../../client/idle_timer.ts";
import { LIMITS } from "../process/limits.ts";
import type { RecentHistogram } from "../process/recent_histogram.ts";
import { Commit } from "./commit.ts";
import { CostlyStatements } from "./costly_statements.ts";
import { fileBytes } from "./database_file.ts";
import { databaseBusy, isBusy, queueFull, shuttingDown, timeout } from "./failures.ts";
import { FileLifecycle, type FileLifecycleOptions } from "./file_lifecycle.ts";
import { GroupCommit } from "./group_commit.ts";
import { LoneCommit } from "./lone_commit.ts";
import { QueuedWrite } from "./queued_write.ts";
import type { Query, QueryAnswer } from "./readers.ts";
import { Sweeper } from "./sweeper.ts";
import { within } from "./semaphore.ts";
import type { Write, WriteOutcome } from "./write.ts";
import { BUSY, WriteQueue } from "./write_queue.ts";
import { openError, openSoundWriter, type OpenWriter, releaseMemory } from "./writer.ts";

/** How a database is served. */
export interface DatabaseOptions extends Omit<FileLifecycleOptions, "wake" | "opened"> {
  /** For how long nothing must be asked of it until its file is closed, in milliseconds; 0: it stays open. */
  readonly closeIdleMs: number;
  /** Whether waiting for a moment may bring more requests. */
  othersMaySend(): boolean;
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
  readonly #file: FileLifecycle;
  readonly #commit: Commit;
  readonly #groups: GroupCommit;
  readonly #lone: LoneCommit;
  readonly #queue: WriteQueue<QueuedWrite>;
  readonly #idleTimer: IdleTimer;
  readonly #sweeper: Sweeper;
  /** Length of the requests that wait. */
  #queuedUnits = 0;
  /** It is to be closed as unused once it is the queue's turn, unless more was asked of it than this. */
  #closeDueAfter: number | null = null;
  /** It is to let go of memory then. */
  #isReleaseDue = false;
  #isLocked = false;
  #isClosed = false;
  /** Ends the writes that run alone, and those that wait for another process's lock. */
  readonly #ending = new AbortController();
  #endTimer: ReturnType<typeof setTimeout> | undefined;

  private constructor(path: string, options: DatabaseOptions, writer: OpenWriter) {
    this.path = path;
    this.#options = options;
    this.#file = new FileLifecycle(path, {
      ...options,
      wake: () => this.#queue.wake(),
      opened: () => this.#opened(),
    }, writer);
    this.#commit = new Commit({
      log: options.log,
      writer: () => this.#file.writer,
      reopen: () => this.#file.reopen(),
      outdated: () => this.#file.readers.renew(),
      rescue: (trouble) => this.#file.rescue(trouble),
    });
    const costly = new CostlyStatements(() => fileBytes(path));
    this.#groups = new GroupCommit(this.#commit, costly);
    this.#lone = new LoneCommit(this.#commit, costly, this.#ending.signal);
    this.#queue = new WriteQueue<QueuedWrite>({
      commit: (queued) => this.#commitSome(queued),
      expire: ({ settle }) =>
        settle(this.#isLocked || this.#lone.isLocked ? databaseBusy() : timeout()),
      maintain: () => this.#maintain(),
      othersMaySend: options.othersMaySend,
    });
    this.#idleTimer = new IdleTimer(options.closeIdleMs, () => this.#activity(), () => {
      if (this.#file.lost) return this.#idleTimer.stop();
      this.#closeDueAfter = this.#activity();
      this.#queue.wake();
    });
    this.#sweeper = new Sweeper(this.#commit, {
      wake: () => this.#queue.wake(),
      mayWrite: () => !this.#file.checkpoints.refusal(this.#file.writer.connection),
    });
    this.#opened();
  }

  #opened(): void {
    this.#idleTimer.start();
    this.#sweeper.start();
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
        return new Database(path, options, await openSoundWriter(path, options));
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
    if (this.#file.lost) return Promise.resolve(this.#file.lost);
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
    if (!this.#isClosed && this.#file.isOpen) this.#file.writer.once.leave(client);
  }

  /** Answers a query, at once if it is quick; it sees all writes that have been settled. */
  query(query: Query): QueryAnswer {
    if (this.#isClosed) return shuttingDown();
    return this.#file.lost ?? this.#file.readers.query(query);
  }

  /** What its writes survive. */
  get durability(): "full" | "normal" {
    return this.#options.durability;
  }

  /** The revision of the last commit; while the file is closed the last that is known. */
  get revision(): number {
    return this.#file.writer.revision;
  }

  /** Counts and sizes. */
  figures(): DatabaseFigures {
    const { checkpoints, readers } = this.#file;
    return {
      open: this.#file.isOpen,
      lost: this.#file.lost,
      rev: this.revision,
      queued: this.#queue.length,
      queuedUnits: this.#queuedUnits,
      ...this.#commit.counts,
      queries: readers.count,
      commitTimes: this.#commit.times,
      groupSizes: this.#commit.groupSizes,
      checkpoints: checkpoints.count,
      checkpointMs: checkpoints.lastMs,
      walBytes: checkpoints.fileBytes,
      walFramesLeft: checkpoints.framesLeft,
      walHeldMs: checkpoints.heldMs,
      walLimitBytes: this.#options.walLimitBytes,
    };
  }

  /** It is to be closed: what runs has some seconds left. Writes that are being committed then are committed. */
  endSoon(): void {
    const error = shuttingDown();
    this.#file.readers.endSoon(error);
    this.#endTimer ??= setTimeout(() => this.#ending.abort(error), LIMITS.endMs);
  }

  /** Commits what is queued and closes, so that the file stands alone again. Nothing may be asked of it any more. */
  async close(): Promise<void> {
    this.#idleTimer.stop();
    this.endSoon();
    await this.#queue.idle();
    clearTimeout(this.#endTimer);
    this.#sweeper.stop();
    this.#isClosed = true;
    await this.#file.close();
  }

  #maintain(): void | Promise<void> {
    const { isOpen, lost, writer, checkpoints, readers } = this.#file;
    if (this.#file.isMendDue && !lost) return this.#file.mend();
    if (!isOpen || lost) return;
    readers.endLast();
    if (this.#isReleaseDue) releaseMemory(writer);
    this.#isReleaseDue = false;
    const after = this.#closeDueAfter;
    const isCloseDue = after !== null && after === this.#activity();
    this.#closeDueAfter = null;
    const trouble = this.#file.trouble(isCloseDue);
    if (trouble) return this.#file.rescue(trouble);
    if (isCloseDue) return this.#closeUnused(after);
    if (this.#sweeper.isAsked && this.#queue.length === 0) return this.#sweep();
    return checkpoints.run(writer.connection);
  }

  async #closeUnused(after: number): Promise<void> {
    await this.#file.closeUnused(() => this.#activity() !== after);
    if (this.#file.isOpen) return;
    this.#idleTimer.stop();
    this.#sweeper.stop();
  }

  async #sweep(): Promise<void> {
    await this.#sweeper.run();
    const { isOpen, lost, writer, checkpoints } = this.#file;
    if (isOpen && !lost) await checkpoints.run(writer.connection);
  }

  /**
   * Lets go of what can be had again: caches of pages and statements, readers, sessions. Nothing must wait or run; it is done
   * by the next turn of the loop.
   */
  releaseMemory(): void {
    this.#file.readers.closeIdle();
    this.#isReleaseDue = true;
    this.#queue.wake();
  }

  /** Whether requests wait or run. */
  get isBusy(): boolean {
    return this.#queue.length > 0 || this.#file.readers.isBusy;
  }

  /** What was asked of it up to now, as a number; `null` while something is under way. */
  #activity(): number | null {
    if (this.isBusy || !this.#file.checkpoints.isQuiet) return null;
    const { writes, groups, failures } = this.#commit.counts;
    return writes + groups + failures + this.#file.readers.count;
  }

  #commitSome(queued: readonly QueuedWrite[]): number | Promise<number> {
    const { lost, checkpoints } = this.#file;
    if (lost) return this.#commit.failAll(queued, lost);
    if (!this.#file.isOpen) return this.#openAndCommit(queued);
    const refusal = checkpoints.refusal(this.#file.writer.connection);
    if (refusal) return this.#commit.failAll(queued, refusal);
    const settled = queued[0].alone ? this.#lone.run(queued[0]) : this.#groups.run(queued);
    if (settled === BUSY) return this.#locked(queued);
    this.#isLocked = false;
    return settled;
  }

  async #openAndCommit(queued: readonly QueuedWrite[]): Promise<number> {
    let failure: unknown;
    const opening = this.#file.open().catch((error) => failure = error);
    const deadline = Math.min(...queued.map(({ write }) => write.deadline));
    try {
      await within({ deadline }, opening);
    } catch {
      return BUSY; // it goes on; the queue ends those whose time is over
    }
    if (isBusy(failure)) return this.#locked(queued);
    return failure ? this.#commit.failAll(queued, failure) : this.#commitSome(queued);
  }

  /** Another process has the lock: they wait, but not beyond the end. */
  #locked(queued: readonly QueuedWrite[]): number {
    const { aborted, reason } = this.#ending.signal;
    this.#isLocked = !aborted;
    return aborted ? this.#commit.failAll(queued, reason) : BUSY;
  }
}
