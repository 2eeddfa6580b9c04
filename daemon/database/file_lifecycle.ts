/**
 * What is open of a database, and when it is: the writer, the readers, the checkpoints.
 *
 * @module
 */
import { SkylineError } from "../../client/errors.ts";
import type { Log } from "../process/log.ts";
import { Checkpoints } from "./checkpoints.ts";
import { cannotOpen } from "./database_file.ts";
import { isBusy, isFull, NotOpen, reopening, shuttingDown } from "./failures.ts";
import { FileClaim } from "./file_claim.ts";
import { emptyLog, fileReplaced, leaveLog } from "./file_rescue.ts";
import { type FileTrouble, FileWatch } from "./file_watch.ts";
import { Readers } from "./readers.ts";
import {
  closeWriter,
  leaveWriter,
  openError,
  openSoundWriter,
  type OpenWriter,
  openWriter,
  renewLog,
  type WriterOptions,
} from "./writer.ts";

/** How a database's file is opened, and whom it tells. */
export interface FileLifecycleOptions extends WriterOptions {
  /** Size of the write-ahead log from which on writes are refused. */
  readonly walLimitBytes: number;
  readonly log: Log;
  /**
   * While it was closed for being unused another file has come to its path: takes the right to serve that one.
   *
   * @throws {SkylineError} `CANNOT_OPEN` when another daemon serves it.
   */
  claimFile(): void;
  /** Has what is due done in the queue's next turn: see {@link FileLifecycle.trouble}, `Checkpoints.run`. */
  wake(): void;
  /** It was closed as unused, and is open again. */
  opened(): void;
}

/**
 * Opens, closes and opens again. The file is open, but for when nobody has used it for a while, when opening it again has
 * failed, and when it is no more the one that was served.
 */
export class FileLifecycle {
  readonly readers: Readers;
  readonly checkpoints: Checkpoints;
  readonly #path: string;
  readonly #options: FileLifecycleOptions;
  readonly #claim: FileClaim;
  #writer: OpenWriter;
  #isOpen = true;
  /** Set while it is being opened. */
  #opening: Promise<void> | undefined;
  /** It was closed in order, because nobody used it. */
  #isUnused = false;
  /** The files were found to have changed by somebody who could do nothing about it. */
  #isSuspect = false;
  #isMendDue = false;
  #lost: SkylineError | undefined;

  /** Of the file at `path`, which `writer` has open. */
  constructor(path: string, options: FileLifecycleOptions, writer: OpenWriter) {
    this.#path = path;
    this.#options = options;
    this.#writer = writer;
    this.#claim = new FileClaim(path, options.claimFile);
    const pageBytes = () => this.#writer.pageBytes;
    this.checkpoints = new Checkpoints({
      path,
      get pageBytes() {
        return pageBytes(); // of another file, if need be
      },
      walLimitBytes: options.walLimitBytes,
      log: options.log,
      checkFiles: () => this.#checkFiles(),
      wake: options.wake,
      reopen: () => this.#askMend(),
    });
    this.readers = new Readers({
      path,
      settings: options,
      open: () => this.open(),
      checkFiles: () => this.#checkFiles(),
      revision: () => this.#writer.revision,
      mend: () => this.#askMend(),
    });
  }

  /** The writer; the last one, while the file is closed. */
  get writer(): OpenWriter {
    return this.#writer;
  }

  /** False after the file could not be opened again, and while it is closed as unused: see {@link FileLifecycle.open}. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Why the database is served no more. */
  get lost(): SkylineError | undefined {
    return this.#lost;
  }

  /**
   * Opens what is closed; those who ask for it meanwhile share what comes of it.
   *
   * @throws {SkylineError} `CANNOT_OPEN`, also the next time until it can; `FILE_REPLACED`, for good.
   * @throws {SqliteError} SQLITE_BUSY while another process is in the way, and after a failure whatever failed again.
   */
  open(): Promise<void> {
    return this.#opening ??= this.#open().finally(() => this.#opening = undefined);
  }

  async #open(): Promise<void> {
    if (this.#isOpen) return;
    if (this.#isUnused) return await this.#openUnused();
    const { files } = this.#writer;
    this.#refuseOther(files);
    const writer = await openWriter(this.#path, this.#options, this.#writer.revision);
    try {
      this.#refuseOther(files);
      // Until the log is in the file, an fsync that seems to succeed may cover frames that an earlier one lost. Another
      // program may have set the revision back.
      renewLog(writer, Math.max(writer.revision, this.#writer.revision));
    } catch (error) {
      leaveWriter(writer);
      throw error;
    }
    this.#writer = writer;
    this.#isOpen = true;
  }

  async #openUnused(): Promise<void> {
    let isOther: boolean;
    let writer: OpenWriter;
    try {
      isOther = this.#claim.renew();
      writer = await openSoundWriter(
        this.#path,
        this.#options,
        isOther ? 0 : this.#writer.revision,
      );
    } catch (error) {
      throw isBusy(error) || isFull(error) ? error : openError(this.#path, error);
    }
    if (this.#claim.isOutdated) {
      closeWriter(writer);
      throw cannotOpen(this.#path, "it was replaced at this moment");
    }
    const { log } = this.#options;
    const facts = { database: this.#path, rev: writer.revision, before: this.#writer.revision };
    if (isOther || facts.rev !== facts.before) {
      log.warn("The file was replaced while it was closed: the new one is served", facts);
    } else log.info("Opened again", facts);
    this.#writer = writer;
    this.#isOpen = true;
    this.#isUnused = false;
    this.#options.opened();
  }

  /**
   * Closes it until it is opened again, so that others may move or replace the file; in the queue's turn. It does not if
   * another program keeps the log from being emptied.
   *
   * @param isUsed whether something was asked of it; looked at last of all, with no pause before it is closed.
   */
  async closeUnused(isUsed: () => boolean): Promise<void> {
    await this.checkpoints.close();
    try {
      await this.#writer.connection.wal.truncateOffLoop();
    } catch (error) {
      // Left beside a file that is replaced, the log would spoil the new one.
      if (isBusy(error)) return;
      this.#askMend();
      return this.#options.log.warn("The log could not be emptied", {
        database: this.#path,
        error,
      });
    }
    if (isUsed()) return;
    this.readers.closeIdle();
    closeWriter(this.#writer);
    this.#isOpen = false;
    this.#isUnused = true;
    this.#options.log.info("Closed until the next request", { database: this.#path });
  }

  /** After a COMMIT whose outcome is not known: closing and opening recovers the log as a crash would. */
  async reopen(): Promise<void> {
    await this.checkpoints.close();
    // Last of all: a query that came while a copy was waited for would have a connection, and keep the log's index as it is.
    await this.readers.close(reopening());
    this.#isOpen = false;
    leaveWriter(this.#writer);
    await this.open();
  }

  #askMend(): void {
    this.#isMendDue = true;
    this.#options.wake();
  }

  /** Whether it has to be opened again: see {@link FileLifecycle.mend}. */
  get isMendDue(): boolean {
    return this.#isMendDue;
  }

  /**
   * Opens it again, in the queue's turn: then all of the log is copied once more, and what another program removed of the
   * daemon's own tables is made anew.
   */
  async mend(): Promise<void> {
    this.#isMendDue = false;
    try {
      if (this.#isOpen) await this.reopen();
      else await this.open();
    } catch (error) {
      // The next write tries again, and is answered why it could not be.
      this.#options.log.warn("The database could not be opened again", {
        database: this.#path,
        error,
      });
    }
  }

  /** Closes for good, so that the file stands alone again. */
  async close(): Promise<void> {
    await this.#opening?.catch(() => {}); // whoever asked for it is told
    await this.checkpoints.close();
    // Readers first: while one is open, closing the writer leaves -wal and -shm.
    await this.readers.close(shuttingDown());
    if (!this.#isOpen) return;
    const trouble = this.#writer.files.check();
    if (trouble && !trouble.canReopen) await this.rescue(trouble);
    try {
      // What was lost has been saved as far as it could be; since then others may have written to it.
      if (!this.#lost) this.#writer.connection.wal.truncate();
    } catch (error) {
      // A reader of another process; whoever opens the file next finds the log and uses it.
      this.#options.log.warn("The log could not be emptied", { database: this.#path, error });
      // Or a sync: SQLite would try again, take what failed for done and remove the log.
      if (!isBusy(error)) return leaveWriter(this.#writer);
    }
    closeWriter(this.#writer);
  }

  /** What happened to the files, if somebody has found that something did, or `always`. It is to be given to `rescue`. */
  trouble(always: boolean): FileTrouble | null {
    const isDue = this.#isSuspect || always;
    this.#isSuspect = false;
    return isDue ? this.#writer.files.check() : null;
  }

  /** @throws {SkylineError} when the file that was served is not the one that would be opened now. */
  #refuseOther(files: FileWatch): void {
    const trouble = files.checkDatabase();
    if (trouble) throw this.#lose(trouble);
  }

  /** @throws {SkylineError} `FILE_REPLACED`, and has it seen to, when to open the database by its name would be unsafe. */
  #checkFiles(): void {
    // Also where it could not be opened again after a failure: the log is gone then because we closed it.
    if (!this.#isOpen) throw new NotOpen();
    const trouble = this.#writer.files.check();
    if (!trouble) return;
    this.#isSuspect = true;
    this.#options.wake();
    const { code, message, hint } = fileReplaced(this.#path, trouble);
    throw new SkylineError(code, message, { hint, retry: trouble.canReopen ? "safe" : "no" });
  }

  /**
   * The files have changed: saves what can be saved, and opens the database again where only its log or the log's index is
   * gone, and nobody else uses what is gone. Else it is served no more.
   */
  async rescue(trouble: FileTrouble): Promise<void> {
    if (this.#lost) return;
    if (!trouble.canReopen) this.#lose(trouble);
    await this.checkpoints.close();
    const { connection } = this.#writer;
    try {
      await emptyLog(connection);
      if (!this.#lost) {
        await this.readers.close(reopening());
        await leaveLog(connection);
        await this.reopen();
        this.#options.log.warn("The log was made anew", {
          database: this.#path,
          because: trouble.what,
        });
      }
    } catch (error) {
      const what = trouble.canReopen
        ? "The log could not be made anew"
        : "The log could not be emptied: it holds data of the file that was served";
      this.#options.log.error(what, { database: this.#path, error });
      this.#lose(trouble);
    }
    // When SQLite closes a database that is where it was, it removes the log by its name, which may be another file's now.
    if (this.#lost && this.#isOpen) connection.wal.keep();
  }

  #lose(trouble: FileTrouble): SkylineError {
    if (!this.#lost) {
      this.#lost = fileReplaced(this.#path, trouble);
      this.#options.log.error("The database is served no more", {
        database: this.#path,
        because: trouble.what,
      });
    }
    return this.#lost;
  }
}
