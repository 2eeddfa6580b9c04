/**
 * A connection's write-ahead log: how long it is, and copying it into the database file.
 *
 * @module
 */
import { RESULT, type SqliteError } from "./errors.ts";
import { cString, databaseConfig, type DatabaseHandle, sqlite } from "./ffi.ts";

// Modes of sqlite3_wal_checkpoint_v2, codes of sqlite3_file_control, flags of xSync: https://sqlite.org/c3ref/constlist.html
const CHECKPOINT_PASSIVE = 0, CHECKPOINT_RESTART = 2, CHECKPOINT_TRUNCATE = 3;
const FCNTL_FILE_POINTER = 7, FCNTL_PERSIST_WAL = 10;
const SYNC_NORMAL = 2;
const DBCONFIG_NO_CKPT_ON_CLOSE = 1006;

// A `sqlite3_file` begins with a pointer to its methods; these with an int, xClose, xRead, xWrite, xTruncate and xSync.
const METHODS_OFFSET = 0, XSYNC_OFFSET = 40;
const XSYNC = { parameters: ["pointer", "i32"], result: "i32" } as const;

const WAL_HOOK = { parameters: ["pointer", "pointer", "pointer", "i32"], result: "i32" } as const;

/** How far a checkpoint came. */
export interface CheckpointProgress {
  /** Frames in the log when it began. */
  readonly frames: number;
  /** Frames of these that are in the database file now. */
  readonly copied: number;
}

/** The write-ahead log of a connection in WAL mode that has read its file at least once. */
export class WriteAheadLog {
  readonly #handle: DatabaseHandle;
  readonly #errorOf: (code: number) => SqliteError;
  #hook: Deno.UnsafeCallback<typeof WAL_HOOK> | undefined;

  /** Frames in the log after the connection's last commit or checkpoint. */
  frames = 0;

  /** Belongs to the connection of `handle`, whose errors `errorOf` gives. */
  constructor(handle: DatabaseHandle, errorOf: (code: number) => SqliteError) {
    this.#handle = handle;
    this.#errorOf = errorOf;
  }

  /** Keeps {@link WriteAheadLog.frames} up to date; takes the place of SQLite's automatic checkpoints. */
  watch(): void {
    this.#hook = new Deno.UnsafeCallback(WAL_HOOK, (_context, _handle, _name, frames) => {
      this.frames = frames;
      return RESULT.OK;
    });
    sqlite().sqlite3_wal_hook(this.#handle, this.#hook.pointer, null);
  }

  /** Leaves `-wal` and `-shm` beside the file when the last connection closes. */
  keep(): void {
    this.#fileControl(FCNTL_PERSIST_WAL, new Uint8Array(new Int32Array([1]).buffer));
  }

  /** Leaves the log with all that it holds when the connection closes. */
  leaveAtClose(): void {
    databaseConfig(this.#handle, DBCONFIG_NO_CKPT_ON_CLOSE, 1);
  }

  /**
   * Copies what no reader holds back from the log into the database file; waits for nobody. Syncs the file only if that
   * was the whole log, and no other connection has written meanwhile.
   *
   * @throws {SqliteError} SQLITE_BUSY while another connection does the same.
   */
  checkpoint(): CheckpointProgress {
    return this.#checkpoint(CHECKPOINT_PASSIVE);
  }

  /** {@link WriteAheadLog.checkpoint} on another thread. */
  checkpointOffLoop(): Promise<CheckpointProgress> {
    return this.#checkpointOffLoop(CHECKPOINT_PASSIVE);
  }

  /**
   * Has the log start over with the next write, and keeps its file. Copies first what is not copied.
   *
   * @throws {SqliteError} SQLITE_BUSY while a reader or writer is in the way.
   */
  restart(): void {
    this.#checkpoint(CHECKPOINT_RESTART);
    this.frames = 0;
  }

  /**
   * Has the log start over, and cuts its file to nothing. Copies first what is not copied.
   *
   * @throws {SqliteError} SQLITE_BUSY while a reader or writer is in the way.
   */
  truncate(): void {
    this.#checkpoint(CHECKPOINT_TRUNCATE);
  }

  /** {@link WriteAheadLog.truncate} on another thread. */
  async truncateOffLoop(): Promise<void> {
    await this.#checkpointOffLoop(CHECKPOINT_TRUNCATE);
  }

  /**
   * Syncs the database file on another thread. It uses the file's handle alone, so that a checkpoint may copy at the same
   * time.
   *
   * @throws {SqliteError}
   */
  async syncDatabaseOffLoop(): Promise<void> {
    const out = new BigUint64Array(1);
    this.#fileControl(FCNTL_FILE_POINTER, new Uint8Array(out.buffer));
    const file = Deno.UnsafePointer.create(out[0])!;
    const methods = new Deno.UnsafePointerView(file).getPointer(METHODS_OFFSET)!;
    const xSync = new Deno.UnsafePointerView(methods).getPointer<typeof XSYNC>(XSYNC_OFFSET)!;
    const call = new Deno.UnsafeFnPointer(xSync, { ...XSYNC, nonblocking: true });
    const code = await call.call(file, SYNC_NORMAL);
    if (code !== RESULT.OK) throw this.#errorOf(code);
  }

  /** After the connection's end. */
  close(): void {
    this.#hook?.close();
  }

  #fileControl(operation: number, argument: Uint8Array<ArrayBuffer>): void {
    sqlite().sqlite3_file_control(this.#handle, cString("main"), operation, argument);
  }

  #checkpoint(mode: number): CheckpointProgress {
    const counts = new Int32Array(2);
    const bytes = new Uint8Array(counts.buffer);
    const code = sqlite().sqlite3_wal_checkpoint_v2(
      this.#handle,
      null,
      mode,
      bytes,
      bytes.subarray(4),
    );
    return this.#checkpointed(code, counts);
  }

  async #checkpointOffLoop(mode: number): Promise<CheckpointProgress> {
    const counts = new Int32Array(2);
    const bytes = new Uint8Array(counts.buffer);
    const code = await sqlite().sqlite3_wal_checkpoint_v2_off_loop(
      this.#handle,
      null,
      mode,
      bytes,
      bytes.subarray(4),
    );
    return this.#checkpointed(code, counts);
  }

  #checkpointed(code: number, [frames, copied]: Int32Array): CheckpointProgress {
    if (code !== RESULT.OK) throw this.#errorOf(code);
    this.frames = frames;
    return { frames, copied };
  }
}
