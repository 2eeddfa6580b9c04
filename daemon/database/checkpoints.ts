/**
 * Keeping the write-ahead log short.
 *
 * @module
 */
import { setInterval } from "node:timers";
import { setTimeout as sleep } from "node:timers/promises";
import { SkylineError } from "../../client/errors.ts";
import { LIMITS } from "../process/limits.ts";
import type { Log } from "../process/log.ts";
import type { Connection } from "../sqlite/connection.ts";
import { SAFE_CHECKPOINT_VERSION, sqliteVersionNumber } from "../sqlite/ffi.ts";
import type { CheckpointProgress, WriteAheadLog } from "../sqlite/write_ahead_log.ts";
import { copyBacklog } from "./backlog.ts";
import { DISK_WORK } from "./disk_work.ts";
import { fileBytes } from "./database_file.ts";
import { IOERR_FSYNC, SqliteError } from "../sqlite/errors.ts";
import { failureOf, isBusy } from "./failures.ts";
import { turn } from "./turn.ts";

/** Bytes that a frame of the log has beside its page. */
const FRAME_HEADER_BYTES = 24;

/** What {@link Checkpoints} needs of its database. */
export interface CheckpointsOptions {
  /** The database file. */
  readonly path: string;
  readonly pageBytes: number;
  /** Size of the log from which on writes are refused. */
  readonly walLimitBytes: number;
  readonly log: Log;
  /** Throws when another file has the database's name now. */
  checkFiles(): void;
  /** Has {@link Checkpoints.run} called although nothing may have been committed. */
  wake(): void;
  /** Has the database opened again, in the queue's turn, so that all of the log counts as not copied. */
  reopen(): void;
}

/**
 * Checkpoints of three kinds. Routine: inline, on the write connection, between commits; this keeps the log below a few
 * MB at no loss of rate, where one on another thread let it grow by 50 MB/s. Backlog (a reader had held the log back, or
 * one transaction wrote much): on another thread and a connection of its own, until it is small. And what makes the log
 * start over and its file small again.
 */
export class Checkpoints {
  readonly #options: CheckpointsOptions;
  /** The log at the last checkpoint. */
  #progress: CheckpointProgress = { frames: 0, copied: 0 };
  /** Length of the log, in frames, at which the next one is due. */
  #dueAt: number = LIMITS.checkpointFrames;
  /** Whether one is due whatever the log's length. */
  #isAsked = false;
  /** Frames that the log's file may hold from before, until the first checkpoint tells. */
  #framesBefore = 0;
  /** Whether the log's file is larger than what it is kept at. */
  #isLarge: boolean;
  #heldSince: number | undefined;
  /** Length of the log when it was last seen to change, and when somebody last wrote or tried to. */
  #seenFrames = 0;
  #usedAt = performance.now();
  #triedAt = -Infinity;
  /** When writes last had to wait for readers. */
  #waitedAt = -Infinity;
  #isRefusing = false;
  /** Why the last one failed, unless somebody was in the way. */
  #failure: SkylineError | undefined;
  /** What the log's file is cut to when the log starts over. */
  #sizeLimitBytes = Infinity;
  #copying: Promise<void> | undefined;
  #abort = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  /** Checkpoints since the start. */
  count = 0;
  /** Milliseconds that the last one took; 0 where there was none. */
  lastMs = 0;

  /** Failures are logged; they lose nothing, and the next checkpoint tries again. */
  constructor(options: CheckpointsOptions) {
    this.#options = options;
    this.#isLarge = this.fileBytes > LIMITS.walKeptBytes;
    if (this.#isLarge) this.#framesBefore = this.fileBytes / options.pageBytes;
    this.#watch(this.#isLarge);
  }

  /** Frames that were left at the last one, because a reader needs the file as it was before them. */
  get framesLeft(): number {
    return this.#progress.frames - this.#progress.copied;
  }

  /** Whether nothing is under way, nor to be tried again. */
  get isQuiet(): boolean {
    return this.#timer === undefined && this.#copying === undefined;
  }

  /** For how long a reader has kept the log from starting over, in milliseconds; 0 when none was found to. */
  get heldMs(): number {
    return this.#heldSince === undefined ? 0 : Math.ceil(performance.now() - this.#heldSince);
  }

  /** Size of the log's file. By its name: opening and closing a file of SQLite's would drop this process's locks. */
  get fileBytes(): number {
    return fileBytes(`${this.#options.path}-wal`);
  }

  /** Why nothing may be written now; `undefined` when it may. */
  refusal({ wal }: Connection): SkylineError | undefined {
    const isFull = this.#isFull(wal);
    if (isFull !== this.#isRefusing) this.#logRefusing(isFull);
    if (!isFull) return undefined;
    this.#usedAt = performance.now();
    if (this.#usedAt - this.#triedAt > LIMITS.walFullRetryMs) this.#isAsked = true;
    const what =
      `The write-ahead log has reached its limit of ${this.#options.walLimitBytes} bytes`;
    if (!this.#failure) return new SkylineError("WAL_FULL", what);
    const { code, message, sqliteCode, hint } = this.#failure;
    return new SkylineError(code, `${what}, as it cannot be copied into the database: ${message}`, {
      ...{ sqliteCode, hint, retry: "safe" },
    });
  }

  #isFull({ frames }: WriteAheadLog): boolean {
    const { pageBytes, walLimitBytes } = this.#options;
    return frames * (pageBytes + FRAME_HEADER_BYTES) >= walLimitBytes;
  }

  #logRefusing(isRefusing: boolean): void {
    this.#isRefusing = isRefusing;
    const { path, log, walLimitBytes } = this.#options;
    if (isRefusing) {
      log.warn("The write-ahead log has reached its limit: writes are refused", {
        database: path,
        walLimitBytes,
        heldMs: this.heldMs,
      });
    } else log.info("The write-ahead log starts over: writes go on", { database: path });
  }

  /** Does what is due, if anything, on the write connection, which nobody else uses meanwhile. */
  run(connection: Connection): void | Promise<void> {
    const { frames } = connection.wal;
    if (frames !== this.#seenFrames) {
      this.#seenFrames = frames;
      this.#usedAt = performance.now();
    }
    if (this.#copying) return;
    if (frames < this.#progress.frames) this.#startedOver();
    if (frames >= this.#dueAt || this.#isAsked) return this.#run(connection);
  }

  async #run(connection: Connection): Promise<void> {
    // The answers of the last commit go first.
    await turn();
    const { wal } = connection;
    this.#isAsked = false;
    this.#triedAt = performance.now();
    let failed = false;
    try {
      const backlog = Math.max(wal.frames - this.#progress.copied, this.#framesBefore);
      if (backlog <= LIMITS.checkpointInlineFrames) {
        this.#copied(wal.checkpoint());
      } else if (sqliteVersionNumber() < SAFE_CHECKPOINT_VERSION) {
        this.#copied(await DISK_WORK.during(() => wal.checkpointOffLoop()));
      } else {
        this.#copying = this.#copy();
        return;
      }
      if (this.#isNearlyCopied) await this.#shrink(connection);
    } catch (error) {
      failed = true;
      this.#failed(error, wal.frames);
    }
    this.#seenFrames = wal.frames;
    this.#watch(failed || this.#isLarge || this.#heldSince !== undefined);
  }

  #copied(progress: CheckpointProgress): void {
    if (this.#failure) {
      this.#options.log.info("Checkpoints succeed again", { database: this.#options.path });
    }
    this.#failure = undefined;
    this.#note(progress);
    this.count++;
    this.lastMs = performance.now() - this.#triedAt;
  }

  #note(progress: CheckpointProgress): void {
    this.#progress = progress;
    this.#framesBefore = 0;
    this.#dueAt = progress.frames + LIMITS.checkpointFrames;
    if (this.framesLeft > 0) this.#heldSince ??= performance.now();
  }

  #startedOver(): void {
    this.#note({ frames: 0, copied: 0 });
    this.#heldSince = undefined;
  }

  #failed(error: unknown, frames: number): void {
    this.#dueAt = frames + LIMITS.checkpointFrames;
    // Another process copies, or writes.
    if (isBusy(error)) return;
    const failure = failureOf(error);
    // It is tried every second: said once, not each time.
    if (failure.message !== this.#failure?.message) {
      this.#options.log.warn("Checkpoint failed", { database: this.#options.path, error });
    }
    this.#failure = failure;
    // The system may have dropped what was counted as copied before, too, and a later sync would not tell.
    if (error instanceof SqliteError && error.code === IOERR_FSYNC) this.#options.reopen();
  }

  async #copy(): Promise<void> {
    const { signal } = this.#abort;
    try {
      this.#options.checkFiles();
      this.#copied(await DISK_WORK.during(() => copyBacklog(this.#options.path, signal)));
      this.#isAsked = this.#isNearlyCopied;
    } catch (error) {
      this.#failed(error, this.#seenFrames);
    }
    this.#copying = undefined;
    if (signal.aborted) return;
    this.#watch(true);
    if (this.#isAsked) this.#options.wake();
  }

  /** Whether no reader, or only readers that began a moment ago, are in the way. */
  get #isNearlyCopied(): boolean {
    return this.framesLeft <= LIMITS.checkpointInlineFrames;
  }

  /** Where the log has become long it is to start over, and its file to be cut. */
  async #shrink(connection: Connection): Promise<void> {
    const { wal } = connection;
    const fileBytes = this.fileBytes;
    this.#isLarge = fileBytes > LIMITS.walKeptBytes;
    if (!this.#isLarge) {
      if (this.framesLeft === 0) this.#heldSince = undefined;
      return;
    }
    try {
      if (performance.now() - this.#usedAt > LIMITS.walIdleMs) {
        await wal.truncateOffLoop();
        this.#isLarge = false;
        this.#startedOver();
      } else {
        this.#limitSize(connection, Math.max(fileBytes - LIMITS.walCutBytes, LIMITS.walKeptBytes));
        await this.#restart(wal);
        this.#startedOver();
        // The next commit cuts a piece; the one after it shall cut the next.
        this.#dueAt = 1;
      }
    } catch (error) {
      if (!isBusy(error)) throw error;
      this.#heldSince ??= performance.now();
    }
  }

  /**
   * The log can start over once nobody reads from it. Where readers come all the time there is always one that does, and
   * the log would grow for ever. So writes wait for a moment: readers that began before then end, and those that begin
   * when all is copied read from the file.
   */
  async #restart(wal: WriteAheadLog): Promise<void> {
    const now = performance.now();
    const waits = now - this.#waitedAt > LIMITS.checkpointRetryMs;
    const giveUpAt = now + (waits ? LIMITS.walRestartMs : 0);
    for (;;) {
      try {
        return wal.restart();
      } catch (error) {
        if (!isBusy(error) || performance.now() >= giveUpAt) throw error;
      }
      this.#waitedAt = now;
      await sleep(1);
    }
  }

  /** SQLite cuts the file to this size with the commit that has the log start over. */
  #limitSize(connection: Connection, bytes: number): void {
    if (bytes === this.#sizeLimitBytes) return;
    connection.exec(`PRAGMA journal_size_limit = ${bytes}`);
    this.#sizeLimitBytes = bytes;
  }

  /** While there is something to do it is tried without traffic too. */
  #watch(needed: boolean): void {
    if (!needed) {
      clearInterval(this.#timer);
      this.#timer = undefined;
    } else if (this.#timer === undefined) {
      this.#timer = setInterval(() => {
        this.#isAsked = true;
        this.#options.wake();
      }, LIMITS.checkpointRetryMs).unref();
    }
  }

  /** Waits for what is under way beside the loop. {@link Checkpoints.run} may be called again, for a new connection. */
  async close(): Promise<void> {
    this.#watch(false);
    this.#abort.abort();
    await this.#copying;
    this.#abort = new AbortController();
    this.#isAsked = false;
    this.#sizeLimitBytes = Infinity;
    this.#startedOver();
  }
}
