/**
 * A prepared statement.
 *
 * @module
 */
import type { Blocks } from "../process/blocks.ts";
import type { Connection } from "./connection.ts";
import { RESULT } from "./errors.ts";
import { sqlite, type StatementHandle } from "./ffi.ts";
import type { Nature } from "./nature.ts";
import { addColumn, type BindValue, bindValue, columnJson, columnLength } from "./values.ts";
import { stepOffLoop, stepWithin, withoutEndOfStep } from "./watched_calls.ts";

/** How often a statement was prepared anew, for a change of the schema: https://sqlite.org/c3ref/c_stmtstatus_counter.html */
const STATUS_REPREPARE = 5;
const STATUS_MEMORY = 99;
/** Bytes from which on a prepared statement is large: most have some 5 KB, one of 2,000 columns has half a MB. */
const LARGE_BYTES = 1024 * 1024;

/** Parameters of a statement, by position or by bare name. */
export type BindValues = readonly BindValue[] | Readonly<Record<string, BindValue>>;

/** Parameters that do not fit a statement. */
export class ParameterMismatchError extends Error {
  /** The class's name, `ParameterMismatchError`. */
  override readonly name = "ParameterMismatchError";
}

/**
 * A prepared statement of one connection. Between {@link Statement.step} and {@link Statement.reset} it holds its place
 * in the transaction; it must not be used while a step of its connection runs off the loop.
 */
export class Statement {
  readonly #connection: Connection;
  readonly #handle: StatementHandle;
  /** Its SQL, without what followed it. */
  readonly sql: string;
  /** How many parameters it takes. */
  readonly parameterCount: number;
  /** Whether it cannot write to the database file. */
  readonly readOnly: boolean;
  /** Size of values, in bytes, up to which none of its calls takes long; Infinity for most. */
  readonly quickUpTo: number;
  /** Whether a few of its operations may take long all the same. */
  readonly isSteep: boolean;
  /** Whether it takes long by its nature where there is much: see {@link Nature}. */
  readonly isLong: boolean;
  /** Whether a run of it, or of SQL like it, was seen to be cheap on a large file. */
  isSeenCheap = false;
  /** Whether a run of it may have no end: see {@link Nature.isBlind}. False once one was seen to end. */
  isBlind: boolean;
  #bytes: number | undefined;
  #names: string[] | undefined;
  #columnsJson: string | undefined;
  /** How often it had been prepared anew when they were read. */
  #columnsOf = 0;

  /** Takes over a handle; {@link Connection.prepare} makes statements. */
  constructor(
    connection: Connection,
    handle: StatementHandle,
    sql: string,
    nature: Nature,
  ) {
    this.#connection = connection;
    this.#handle = handle;
    this.sql = sql;
    this.quickUpTo = nature.quickUpTo;
    this.isSteep = nature.isSteep;
    this.isLong = nature.isLong;
    this.isBlind = nature.isBlind;
    this.parameterCount = sqlite().sqlite3_bind_parameter_count(handle);
    this.readOnly = sqlite().sqlite3_stmt_readonly(handle) !== 0;
  }

  /**
   * Binds all parameters.
   *
   * @throws {ParameterMismatchError} when their number or names are not the statement's.
   * @throws {SqliteError} when SQLite refuses a value, for its size.
   */
  bind(values: BindValues): void {
    if (Array.isArray(values)) {
      this.#bindByPosition(values);
    } else {
      this.#bindByName(values as Readonly<Record<string, BindValue>>);
    }
  }

  #bindByPosition(values: readonly BindValue[]): void {
    if (values.length !== this.parameterCount) {
      throw new ParameterMismatchError(
        `the statement takes ${this.parameterCount} parameters, ${values.length} were given`,
      );
    }
    for (let i = 0; i < values.length; i++) this.#bindOne(i + 1, values[i]);
  }

  #bindByName(values: Readonly<Record<string, BindValue>>): void {
    const names = this.#parameterNames();
    for (let i = 0; i < names.length; i++) {
      if (!Object.hasOwn(values, names[i])) {
        throw new ParameterMismatchError(`the parameter "${names[i]}" was not given`);
      }
      this.#bindOne(i + 1, values[names[i]]);
    }
    const unknown = Object.keys(values).find((name) => !names.includes(name));
    if (unknown !== undefined) {
      throw new ParameterMismatchError(`the statement has no parameter "${unknown}"`);
    }
  }

  #bindOne(index: number, value: BindValue): void {
    const code = bindValue(this.#handle, index, value);
    if (code !== RESULT.OK) throw this.#connection.error(code);
  }

  /** Bare names, in order; a parameter without one (`?`) cannot be given by name. */
  #parameterNames(): string[] {
    if (this.#names) return this.#names;
    const names: string[] = [];
    for (let index = 1; index <= this.parameterCount; index++) {
      const name = sqlite().sqlite3_bind_parameter_name(this.#handle, index);
      if (name === null) {
        throw new ParameterMismatchError(
          `parameter ${index} of the statement has no name: give the parameters as an array`,
        );
      }
      names.push(Deno.UnsafePointerView.getCString(name).slice(1));
    }
    return this.#names = names;
  }

  /**
   * Runs to the next row; false at the end.
   *
   * @throws {SqliteError}
   */
  step(): boolean {
    this.#connection.beginStep();
    sqlite().sqlite3_step(this.#handle);
    return this.#stepped(this.#connection.resultCode);
  }

  /**
   * {@link Statement.step}, which ends with SQLITE_INTERRUPT once it took `ms` to prepare the statement anew.
   *
   * @throws {SqliteError}
   */
  stepWithin(ms: number): boolean {
    stepWithin(this.#handle, ms);
    const code = this.#connection.resultCode;
    return this.#stepped(
      code === RESULT.ROW || code === RESULT.DONE ? code : withoutEndOfStep(code),
    );
  }

  /**
   * {@link Statement.step} on another thread. Until it settles the connection must not be used, except for
   * {@link Connection.interrupt}.
   */
  async stepOffLoop(): Promise<boolean> {
    this.#connection.beginStep();
    return this.#stepped(await stepOffLoop(this.#handle));
  }

  #stepped(code: number): boolean {
    if (code === RESULT.ROW) return true;
    if (code === RESULT.DONE) return false;
    throw this.#connection.error(code);
  }

  /** Memory that it took when this was first asked, in bytes. */
  get bytes(): number {
    return this.#bytes ??= sqlite().sqlite3_stmt_status(this.#handle, STATUS_MEMORY, 0);
  }

  /** Whether it takes too much memory to be kept. */
  get isLarge(): boolean {
    return this.bytes > LARGE_BYTES;
  }

  /** Ends the run; keeps the bindings. An error that the last step gave is not repeated. */
  reset(): void {
    sqlite().sqlite3_reset(this.#handle);
  }

  /** Drops the parameters' values, so that a cached statement does not hold a large one. */
  clearBindings(): void {
    sqlite().sqlite3_clear_bindings(this.#handle);
  }

  /** How many columns it returns. After a schema change, right only after the first step. */
  get columnCount(): number {
    return sqlite().sqlite3_column_count(this.#handle);
  }

  /** The columns' names as a JSON array. */
  columnsJson(): string {
    const prepared = sqlite().sqlite3_stmt_status(this.#handle, STATUS_REPREPARE, 0);
    if (this.#columnsJson === undefined || prepared !== this.#columnsOf) {
      this.#columnsOf = prepared;
      this.#columnsJson = JSON.stringify(this.#columnNames());
    }
    return this.#columnsJson;
  }

  #columnNames(): string[] {
    return Array.from(
      { length: this.columnCount },
      (_, i) => Deno.UnsafePointerView.getCString(sqlite().sqlite3_column_name(this.#handle, i)!),
    );
  }

  /** The current row as a JSON array; `null` if that is sure to be over so many bytes: it is not made then. */
  rowJson(bytesMax = Infinity): string | null {
    const count = this.columnCount;
    let text = "[";
    for (let i = 0; i < count; i++) {
      const json = columnJson(this.#handle, i, bytesMax - text.length);
      if (json === null) return null;
      text += (i === 0 ? "" : ",") + json;
    }
    return text + "]";
  }

  /** Bytes of the current row's texts and blobs; its JSON has as many or more. */
  rowBytes(): number {
    const count = this.columnCount;
    let bytes = 0;
    for (let i = 0; i < count; i++) bytes += columnLength(this.#handle, i);
    return bytes;
  }

  /** Adds the current row, which may be long, as a JSON array. */
  addRow(blocks: Blocks): void {
    const count = this.columnCount;
    for (let i = 0; i < count; i++) {
      blocks.add(i === 0 ? "[" : ",");
      addColumn(blocks, this.#handle, i);
    }
    blocks.add("]");
  }

  /** The current row's column `index` (from 0), which is an INTEGER. */
  integer(index: number): number {
    return Number(sqlite().sqlite3_column_int64(this.#handle, index));
  }

  /** Runs to the end and resets. */
  run(values: BindValues = []): void {
    this.bind(values);
    try {
      while (this.step());
    } finally {
      this.reset();
    }
  }

  /** Runs the daemon's own query; gives its rows as values of JSON. */
  all(values: BindValues = []): unknown[][] {
    const rows: unknown[][] = [];
    this.bind(values);
    try {
      while (this.step()) rows.push(JSON.parse(this.rowJson()!));
    } finally {
      this.reset();
    }
    return rows;
  }

  /** The first row of {@link Statement.all}. */
  get(values: BindValues = []): unknown[] | undefined {
    return this.all(values)[0];
  }

  /** Releases the statement; it must not be used any more. */
  finalize(): void {
    sqlite().sqlite3_finalize(this.#handle);
  }
}
