/**
 * A statement with its parameters: what callers write, and the JSON text that the daemon gets.
 *
 * @module
 */
import type { Database } from "./database.ts";
import type { Expectation } from "./protocol.ts";
import type { Row, RunResult } from "./results.ts";
import {
  isArrayBuffer,
  Json,
  parameterText,
  Real,
  type SqlParameter,
  type SqlParameters,
  type SqlValue,
} from "./values.ts";

/** A statement of {@link Database.batch}. */
export interface BatchStatement {
  /** One statement; several only without parameters. */
  readonly sql: string;
  /** Its parameters. */
  readonly params?: SqlParameters;
  /** What it must have done, else the whole batch is undone with `EXPECTATION_FAILED`. */
  readonly expect?: Expectation;
}

/**
 * A statement that {@link Database.sql} made, each of its values a parameter. It is not executed before it is awaited,
 * one of its methods is called, or it is handed to {@link Database.batch}.
 *
 * Awaited it gives its rows as objects, as {@link Database.all} does: none for a statement that returns none. However
 * often one statement is awaited, it is executed once.
 */
export class Statement<T = Row> implements PromiseLike<T[]>, BatchStatement {
  /** The SQL text, with `?` for each value. */
  readonly sql: string;
  /** The values. */
  readonly params: readonly SqlParameter[];
  readonly #database: Database;
  #rows: Promise<T[]> | undefined;

  /** Called by {@link Database.sql}. */
  constructor(database: Database, sql: string, params: readonly SqlParameter[]) {
    this.#database = database;
    this.sql = sql;
    this.params = params;
  }

  /** Executes it, at the first call, and gives its rows as objects. */
  then<A = T[], B = never>(
    onRows?: ((rows: T[]) => A | PromiseLike<A>) | null,
    onError?: ((error: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.#rows ??= this.#database.all<T>(this.sql, this.params);
    return this.#rows.then(onRows, onError);
  }

  /** Executes it as {@link Database.run} does. */
  run(): Promise<RunResult> {
    return this.#database.run(this.sql, this.params);
  }

  /** Executes it and gives its first row, as {@link Database.get} does. */
  get(): Promise<T | undefined> {
    return this.#database.get<T>(this.sql, this.params);
  }

  /** Executes it and gives its rows as arrays, as {@link Database.values} does. */
  values<V extends unknown[] = SqlValue[]>(): Promise<V[]> {
    return this.#database.values<V>(this.sql, this.params);
  }
}

/**
 * The members of a statement's JSON object, without the braces.
 *
 * @throws {TypeError} for what is not SQL text, parameters or an expectation.
 * @throws {RangeError} for a value that SQLite cannot hold exactly.
 */
export function statementText(
  sql: string,
  params: SqlParameters | undefined,
  expect?: Expectation,
): string {
  if (typeof sql !== "string") throw new TypeError(`SQL is a string, not a ${typeof sql}`);
  let text = `"sql":${JSON.stringify(sql)}`;
  if (params !== undefined) text += `,"params":${parametersText(params)}`;
  if (expect !== undefined) text += `,"expect":${expectationText(expect)}`;
  return text;
}

function parametersText(params: SqlParameters): string {
  if (Array.isArray(params)) {
    let text = "";
    for (let i = 0; i < params.length; i++) {
      text += i === 0 ? parameterText(params[i]) : "," + parameterText(params[i]);
    }
    return `[${text}]`;
  }
  if (!isNamed(params)) {
    throw new TypeError("Parameters are an array, or an object of names: run(sql, [value])");
  }
  return `{${
    Object.entries(params).map(([name, value]) => `${JSON.stringify(name)}:${parameterText(value)}`)
      .join()
  }}`;
}

/** A single value in the place of the parameters is a mistake that is easily made. */
function isNamed(params: unknown): params is { readonly [name: string]: SqlParameter } {
  return typeof params === "object" && params !== null && !ArrayBuffer.isView(params) &&
    !isArrayBuffer(params) && !(params instanceof Real) && !(params instanceof Json) &&
    !(params instanceof Date);
}

function expectationText({ changes, rows }: Expectation): string {
  if (changes === undefined && rows === undefined) {
    throw new TypeError("expect is { changes: number } or { rows: number }");
  }
  if (changes !== undefined) wholeNumber("expect.changes", changes);
  if (rows !== undefined) wholeNumber("expect.rows", rows);
  return JSON.stringify({ changes, rows });
}

/**
 * Checks a number that the caller gave.
 *
 * @throws {RangeError} when it is not a whole number from 0 to `max`.
 */
export function wholeNumber(
  name: string,
  value: number,
  max: number = Number.MAX_SAFE_INTEGER,
): number {
  if (Number.isSafeInteger(value) && value >= 0 && value <= max) return value;
  throw new RangeError(`${name} is a whole number from 0 to ${max}, not ${String(value)}`);
}
