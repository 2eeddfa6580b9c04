/**
 * Reading the rows of the daemon's own tables. Another program may have put anything into any column of them: what is not as
 * the daemon writes it concerns the client whose row it is, and nobody else.
 *
 * @module
 */
import { LIMITS } from "../process/limits.ts";
import { RESULT, SqliteError } from "../sqlite/errors.ts";
import { sqliteVersionNumber } from "../sqlite/ffi.ts";
import type { BindValues, Statement } from "../sqlite/statement.ts";

/** In place of a row, or of what stands in it: the daemon did not write it. */
export const FOREIGN = Symbol("foreign");

/** The SQL of a column that holds a text: NULL where it holds anything else, which is not read then. */
export function textOf(column: string): string {
  return `CASE WHEN typeof(${column}) = 'text' THEN ${column} END`;
}

/** The SQL of a column that holds an integer: NULL where it holds anything else, which is not read then. */
export function integerOf(column: string): string {
  return `CASE WHEN typeof(${column}) = 'integer' THEN ${column} END`;
}

/** The SQL of a column's length in bytes, as it stands in the file. It is not read for that, except by SQLite before 3.43. */
export function bytesOf(column: string): string {
  return sqliteVersionNumber() >= 3_043_000
    ? `octet_length(${column})`
    : `length(CAST(${column} AS BLOB))`;
}

/** The first row of a query; `undefined` where there is none. */
export function ownRow(
  statement: Statement,
  values: BindValues,
): unknown[] | undefined | typeof FOREIGN {
  try {
    return statement.get(values);
  } catch (error) {
    if (isForeignValue(error)) return FOREIGN;
    throw error;
  }
}

/** What a sweep takes on at once. */
export interface SweepBounds {
  /** Rows that are looked at. */
  readonly limit: number;
  /** When no more are read, by `performance.now()`. */
  readonly until: number;
}

/** Rows that were read, as values of JSON. */
export interface ReadRows {
  readonly rows: readonly unknown[][];
  /** Whether there were no more. */
  readonly areAll: boolean;
}

/**
 * The rows of a query, at least one, and no more once it is `until` by `performance.now()`: a row of megabytes takes milliseconds,
 * though a few bytes of it are asked for.
 */
export function rowsUntil(statement: Statement, values: BindValues, until: number): ReadRows {
  const rows: unknown[][] = [];
  statement.bind(values);
  try {
    while (statement.step()) {
      rows.push(JSON.parse(statement.rowJson()!));
      if (performance.now() > until) return { rows, areAll: false };
    }
    return { rows, areAll: true };
  } catch (error) {
    // An older SQLite reads what it is to measure: it gets no further than to a value that is too long.
    if (isForeignValue(error)) return { rows, areAll: true };
    throw error;
  } finally {
    statement.reset();
  }
}

/**
 * Whether a statement failed for a value that the daemon cannot have written: one over SQLite's limit, or one that is in the
 * way of another. It has changed nothing then, and the transaction goes on.
 */
export function isForeignValue(error: unknown): boolean {
  return error instanceof SqliteError &&
    (error.primary === RESULT.TOOBIG || error.primary === RESULT.CONSTRAINT);
}

/**
 * How old a row is that says to be written `at`, in seconds since 1970. `unknown`: the clock was ahead or behind when it was
 * written, or another program wrote it.
 */
export function ageOf(at: unknown, now: number): "young" | "old" | "unknown" {
  if (typeof at !== "number" || at - now > LIMITS.clockAheadSeconds) return "unknown";
  if (at < LIMITS.clockBehindSeconds && now >= LIMITS.clockBehindSeconds) return "unknown";
  return now - at > LIMITS.rememberSeconds ? "old" : "young";
}
