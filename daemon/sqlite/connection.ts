/**
 * A connection to a database file.
 *
 * @module
 */
import { obstacleNamed, obstacleOfNumber } from "../process/obstacle.ts";
import {
  changesSchema,
  isPassedOver,
  makesStatistics,
  NAMES_OWN,
  namesOwn,
  type Principal,
  refusal,
  writesOwn,
} from "./authorizer.ts";
import { IOERR_GETTEMPPATH, IOERR_WRITE, RESULT, SqliteError } from "./errors.ts";
import { cString, databaseConfig, type DatabaseHandle, sqlite } from "./ffi.ts";
import { SchemaCalls } from "./schema_calls.ts";
import { Script } from "./script.ts";
import { Nature } from "./nature.ts";
import { Statement } from "./statement.ts";
import { StatementCache } from "./statement_cache.ts";
import { StepClock } from "./step_clock.ts";
import type { Outcome, Preparable } from "./watched_calls.ts";
import { prepareOffLoop, prepareWithin } from "./watched_calls.ts";
import { WriteAheadLog } from "./write_ahead_log.ts";

// Flags of sqlite3_open_v2 and sqlite3_prepare_v3, and codes of the calls below: https://sqlite.org/c3ref/constlist.html
const OPEN_READONLY = 0x1, OPEN_READWRITE = 0x2, OPEN_CREATE = 0x4;
const OPEN_NOMUTEX = 0x8000, OPEN_EXRESCODE = 0x2000000;
const DBCONFIG_DEFENSIVE = 1010, DBCONFIG_TRUSTED_SCHEMA = 1017;
const DBSTATUS_DEFERRED_FKS = 10, LIMIT_LENGTH = 0, LIMIT_ATTACHED = 7;

/** Longest text or blob, in bytes: over a frame's, so that what came in can be worked on, and far below memory. */
const VALUE_BYTES_MAX = 16 * 1024 * 1024;

const AUTHORIZER = {
  parameters: ["pointer", "i32", "pointer", "pointer", "pointer", "pointer"],
  result: "i32",
} as const;

const SQLITE_DENY = 1, SQLITE_IGNORE = 2;

/** The third to fifth argument of the authorizer. */
type Texts = readonly [() => string | null, () => string | null, () => string | null];

/** What a statement's preparation gives: the statement (`null` for white space and comments) and the SQL after it. */
export interface Prepared {
  readonly statement: Statement | null;
  readonly tail: string;
}

/**
 * A connection, used by one caller at a time. Every statement runs for a {@link Principal}, which
 * {@link Connection.principal} says.
 */
export class Connection {
  readonly #handle: DatabaseHandle;
  readonly #authorizer: Deno.UnsafeCallback<typeof AUTHORIZER>;
  readonly #cache = new StatementCache();
  #refusal: string | null = null;
  #changesSchema = false;
  #writesOwn = false;
  /** Of the statement that was prepared last. */
  #nature = new Nature();
  readonly #schemaCalls = new SchemaCalls(this);
  #valueBytesMax = 0;
  #isClosed = false;

  /** For whom statements are prepared and stepped. A statement may be prepared anew inside a step. */
  principal: Principal = "own";
  /** Whether the schema, or statistics for the planner, were to be changed since this was last set to false. */
  hasOutdated = false;
  /** Ends steps on the event loop. */
  readonly clock: StepClock;
  /** Its write-ahead log. */
  readonly wal: WriteAheadLog;

  private constructor(handle: DatabaseHandle) {
    this.#handle = handle;
    this.wal = new WriteAheadLog(handle, (code) => this.error(code));
    this.#authorizer = new Deno.UnsafeCallback(
      AUTHORIZER,
      (_, action, first, second, schema, by) => {
        const texts = [() => textAt(first), () => textAt(second), () => textAt(schema)] as const;
        return this.#authorize(action, texts, by !== null);
      },
    );
    this.clock = new StepClock(handle);
  }

  #authorize(action: number, texts: Texts, fromSchema: boolean): number {
    const [first, second] = texts;
    // A callback that throws off the loop would count as an answer of 0, which allows.
    try {
      if (isPassedOver(this.principal, action, first)) return SQLITE_IGNORE;
      if (changesSchema(action)) this.#changesSchema = this.#cache.isOutdated = true;
      this.hasOutdated ||= this.#changesSchema || makesStatistics(action, first);
      this.#nature.note(action, first, second);
      this.#writesOwn ||= writesOwn(action, first);
      const circumstances = { fromSchema, besideOwn: this.#writesOwn };
      const reason = refusal(this.principal, action, ...texts, circumstances);
      this.#refusal ??= reason;
      return reason === null ? RESULT.OK : SQLITE_DENY;
    } catch {
      return SQLITE_DENY;
    }
  }

  /**
   * Opens a database file, and creates it unless `readOnly`. No call of the connection waits for a lock.
   *
   * @throws {SqliteError}
   */
  static open(path: string, options: { readOnly?: boolean } = {}): Connection {
    const lib = sqlite();
    const access = options.readOnly ? OPEN_READONLY : OPEN_READWRITE | OPEN_CREATE;
    const out = new BigUint64Array(1);
    const code = lib.sqlite3_open_v2(
      cString(path),
      new Uint8Array(out.buffer),
      access | OPEN_NOMUTEX | OPEN_EXRESCODE,
      null,
    );
    const handle = Deno.UnsafePointer.create(out[0]);
    if (handle === null) throw new SqliteError(RESULT.NOMEM, "out of memory");
    if (code !== RESULT.OK) {
      const error = errorOf(handle, code);
      lib.sqlite3_close(handle);
      throw error;
    }
    const connection = new Connection(handle);
    connection.#configure();
    return connection;
  }

  #configure(): void {
    const lib = sqlite();
    lib.sqlite3_extended_result_codes(this.#handle, 1);
    databaseConfig(this.#handle, DBCONFIG_DEFENSIVE, 1);
    databaseConfig(this.#handle, DBCONFIG_TRUSTED_SCHEMA, 0);
    this.valueBytesMax = Infinity;
    lib.sqlite3_limit(this.#handle, LIMIT_ATTACHED, 0);
    lib.sqlite3_set_authorizer(this.#handle, this.#authorizer.pointer, null);
  }

  /** The extended result code of the last call on this connection. */
  get resultCode(): number {
    return sqlite().sqlite3_extended_errcode(this.#handle);
  }

  /** The error that the last call on this connection ended with. */
  error(code: number): SqliteError {
    if ((code & 0xff) === RESULT.AUTH && this.#refusal !== null) {
      return new SqliteError(code, this.#refusal);
    }
    return errorOf(this.#handle, code);
  }

  /**
   * Prepares the first statement of `sql`.
   *
   * @throws {SqliteError}
   */
  prepare(sql: string, options: { persistent?: boolean } = {}): Prepared {
    const script = new Script(sql);
    return { statement: this.prepareNext(script, options), tail: script.rest };
  }

  /**
   * Prepares the next statement of a script, and takes it; `null` where white space and comments are all. It ends with
   * SQLITE_INTERRUPT once it took `withinMs`; 0: it takes what it needs.
   *
   * @throws {SqliteError}
   */
  prepareNext(script: Script, { persistent = false, withinMs = 0 } = {}): Statement | null {
    const preparable = this.#preparable(script, persistent, withinMs);
    return this.#prepared(script, prepareWithin(preparable, withinMs));
  }

  /** {@link Connection.prepareNext} on another thread. Until it settles only {@link Connection.interrupt} may be called. */
  async prepareNextOffLoop(script: Script): Promise<Statement | null> {
    if (this.principal !== "own") await this.#schemaCalls.refreshOffLoop(this.#handle);
    return this.#prepared(script, await prepareOffLoop(this.#preparable(script, true)));
  }

  #preparable(script: Script, persistent: boolean, withinMs = 0): Preparable {
    if (this.principal !== "own") this.#schemaCalls.refresh(withinMs);
    this.#refusal = null;
    this.#changesSchema = false;
    this.#writesOwn = false;
    this.#nature = new Nature(this.#schemaCalls.tables);
    return { database: this.#handle, text: script.bytes.subarray(script.at), persistent };
  }

  /**
   * A statement may be prepared anew in a step, and the daemon's own ones write to its tables. What is prepared in the next step
   * is not beside that: COMMIT has a full-text index written.
   */
  beginStep(): void {
    this.#writesOwn = false;
  }

  #prepared(script: Script, { handle, taken, code, asked = [] }: Outcome): Statement | null {
    if (code !== RESULT.OK) throw this.error(code);
    const isRefused = asked.some(({ action, first, second, schema, fromSchema }) =>
      this.#authorize(action, [() => first, () => second, () => schema], fromSchema) !== RESULT.OK
    );
    if (isRefused) {
      sqlite().sqlite3_finalize(handle);
      throw new SqliteError(RESULT.AUTH, this.#refusal ?? "not authorized");
    }
    const own = script.take(script.at + taken);
    if (this.#changesSchema && this.principal === "client" && namesOwn(own)) {
      sqlite().sqlite3_finalize(handle);
      throw new SqliteError(RESULT.AUTH, NAMES_OWN);
    }
    return handle === null ? null : new Statement(this, handle, own, this.#nature);
  }

  /** The cached statement of this very SQL; `undefined` if there is none. No other one runs. */
  cached(sql: string): Statement | undefined {
    return this.#cache.get(sql);
  }

  /** Keeps a statement for {@link Connection.cached}, unless it is large; gives whether it is kept. */
  cache(sql: string, statement: Statement): boolean {
    return this.#cache.add(sql, statement);
  }

  /**
   * Runs the daemon's own SQL, of one or more statements.
   *
   * @throws {SqliteError}
   */
  exec(sql: string): void {
    const script = new Script(sql);
    while (!script.isAtEnd) {
      const statement = this.prepareNext(script);
      try {
        statement?.run();
      } finally {
        statement?.finalize();
      }
    }
  }

  /**
   * The first row of the daemon's own query, as values of JSON.
   *
   * @throws {SqliteError}
   */
  get(sql: string): unknown[] | undefined {
    const { statement } = this.prepare(sql);
    try {
      return statement!.step() ? JSON.parse(statement!.rowJson()!) : undefined;
    } finally {
      statement?.finalize();
    }
  }

  /**
   * No step may meet a value larger than so many bytes: it fails with SQLITE_TOOBIG. Infinity for the largest that there are,
   * which {@link Connection.endRun} sets again.
   */
  set valueBytesMax(bytes: number) {
    const limit = Math.min(bytes, VALUE_BYTES_MAX);
    if (limit === this.#valueBytesMax) return;
    this.#valueBytesMax = limit;
    sqlite().sqlite3_limit(this.#handle, LIMIT_LENGTH, limit);
  }

  /** A client's statement has come to its end: nothing that it needed holds any more. */
  endRun(): void {
    this.principal = "own";
    this.valueBytesMax = Infinity;
    this.clock.looksOften = false;
  }

  /** Runs `work`, whose steps are off the loop, without the inline clock. */
  async offLoop<T>(work: () => Promise<T>): Promise<T> {
    this.clock.stop();
    this.valueBytesMax = Infinity;
    try {
      return await work();
    } finally {
      this.clock.go();
    }
  }

  /** Ends the step that runs off the loop with SQLITE_INTERRUPT. If none runs, the next step may end so. */
  interrupt(): void {
    sqlite().sqlite3_interrupt(this.#handle);
  }

  /** False inside a transaction; true after {@link Connection.close}. It turns true by itself where SQLite undid a whole transaction. */
  get autocommit(): boolean {
    return this.#isClosed || sqlite().sqlite3_get_autocommit(this.#handle) !== 0;
  }

  /** Rows that the last INSERT, UPDATE or DELETE changed; stays so until the next. */
  get changes(): number {
    return sqlite().sqlite3_changes(this.#handle);
  }

  /** A count that moves with every row changed, triggers' rows included; it wraps. */
  get totalChanges(): number {
    return sqlite().sqlite3_total_changes(this.#handle);
  }

  /** Rowid of the last row inserted. Each request starts with 0: that of the one before would show in its SQL. */
  get lastInsertRowid(): bigint {
    return sqlite().sqlite3_last_insert_rowid(this.#handle);
  }

  set lastInsertRowid(rowid: bigint) {
    sqlite().sqlite3_set_last_insert_rowid(this.#handle, rowid);
  }

  /** Whether the transaction violates a deferred foreign key, so that its COMMIT would fail. */
  get violatesDeferredForeignKeys(): boolean {
    sqlite().sqlite3_db_status(
      this.#handle,
      DBSTATUS_DEFERRED_FKS,
      dbStatusNow,
      dbStatusHighest,
      0,
    );
    return dbStatus[0] !== 0;
  }

  /** Whether the file can only be read, for its access rights or those of its folder. */
  get readOnly(): boolean {
    return sqlite().sqlite3_db_readonly(this.#handle, cString("main")) === 1;
  }

  /** How many databases may be attached: VACUUM needs one. */
  set attachedMax(count: number) {
    sqlite().sqlite3_limit(this.#handle, LIMIT_ATTACHED, count);
  }

  /** Finalizes the cached statements and empties the page cache: some 4 KB a statement, and up to 2 MB of pages. */
  releaseMemory(): void {
    this.#finalizeCached();
    sqlite().sqlite3_db_release_memory(this.#handle);
  }

  #finalizeCached(): void {
    this.#schemaCalls.close();
    this.#cache.clear();
  }

  /**
   * Finalizes the cached statements and closes. All other statements have been finalized.
   *
   * @throws {SqliteError} when a statement is left.
   */
  close(): void {
    this.#finalizeCached();
    const code = sqlite().sqlite3_close(this.#handle);
    if (code !== RESULT.OK) throw this.error(code);
    this.#isClosed = true;
    this.#authorizer.close();
    this.clock.close();
    this.wal.close();
  }
}

const dbStatus = new Int32Array(2);
const dbStatusNow = new Uint8Array(dbStatus.buffer, 0, 4);
const dbStatusHighest = new Uint8Array(dbStatus.buffer, 4, 4);

function errorOf(handle: DatabaseHandle, code: number): SqliteError {
  const lib = sqlite();
  const extended = lib.sqlite3_extended_errcode(handle);
  const primary = extended & 0xff;
  if (extended === IOERR_GETTEMPPATH) {
    const obstacle = obstacleNamed("NO_TEMPORARY_FOLDER")!;
    return new SqliteError(extended, obstacle.reason, obstacle);
  }
  const isOfSystem = primary === RESULT.IOERR || primary === RESULT.CANTOPEN;
  const obstacle = isOfSystem ? obstacleOfNumber(lib.sqlite3_system_errno(handle)) : undefined;
  if (obstacle && primary === RESULT.CANTOPEN) {
    return new SqliteError(extended, `a file cannot be opened: ${obstacle.reason}`, obstacle);
  }
  if (obstacle?.isNoRoom) {
    // What was not written does not count, as with a full disk. Of other calls, such as a sync, this is not known.
    const same = extended === IOERR_WRITE ? RESULT.FULL : extended;
    return new SqliteError(same, obstacle.reason, obstacle);
  }
  const message = textAt(lib.sqlite3_errmsg(handle)) ?? "unknown error";
  return new SqliteError(primary === (code & 0xff) ? extended : code, message);
}

function textAt(pointer: Deno.PointerValue): string | null {
  return pointer === null ? null : Deno.UnsafePointerView.getCString(pointer);
}
