/**
 * What statements give back: rows as arrays and as objects, and what was changed.
 *
 * @module
 */
import type { StatementResult } from "./protocol.ts";
import { type Integers, type SqlValue, valueOfJson } from "./values.ts";

/** A row as an object: where two columns have one name, the last one's value. */
export type Row = Record<string, SqlValue>;

/** What one statement changed. */
export interface RunResult {
  /** Rows inserted, updated or deleted; those of triggers and foreign keys are not counted. */
  readonly changes: number;
  /** Rowid of the last row that its request had inserted by then; 0 if none. */
  readonly lastInsertRowid: number | bigint;
  /** The database's revision that this request made; each successful write makes one of its own. */
  readonly rev: number;
  /**
   * Whether it had been executed before, by an earlier sending of this call or by another call of its key, and this is
   * the result of then.
   */
  readonly replayed: boolean;
}

/** What a query returned. */
export interface QueryResult<T = Row> {
  /** The database's revision that the rows were read at. */
  readonly rev: number;
  /** The columns' names, in order. */
  readonly columns: readonly string[];
  /** The rows as objects. */
  readonly rows: T[];
}

/** What one statement of a batch did. */
export interface BatchStatementResult {
  /** Rows inserted, updated or deleted. */
  readonly changes: number;
  /** Rowid of the last row that the batch had inserted by then; 0 if none. */
  readonly lastInsertRowid: number | bigint;
  /** The rows as objects, where the statement returns any columns. */
  readonly rows?: Row[];
}

/** What a batch did. */
export interface BatchResult {
  /** The database's revision that this batch made. */
  readonly rev: number;
  /** One for each statement, in their order. */
  readonly results: BatchStatementResult[];
  /**
   * Whether it had been executed before, by an earlier sending of this call or by another call of its key, and this is
   * the result of then.
   */
  readonly replayed: boolean;
}

/** What a script did. */
export interface ExecResult {
  /** Rows inserted, updated or deleted by all its statements. */
  readonly changes: number;
  /** The database's revision that this script made. */
  readonly rev: number;
  /**
   * Whether it had been executed before, by an earlier sending of this call or by another call of its key, and this is
   * the result of then.
   */
  readonly replayed: boolean;
}

/** The rows of an answer, their values turned into those of JavaScript in place: an answer is nobody else's. */
export function valuesOf(rows: readonly (readonly unknown[])[], integers: Integers): SqlValue[][] {
  for (const row of rows as unknown[][]) {
    for (let i = 0; i < row.length; i++) {
      const value = row[i];
      // Texts and NULL are what they are, and so are most numbers: no call for those.
      if (typeof value === "string" || value === null) continue;
      if (typeof value === "number" && integers === "auto") continue;
      row[i] = valueOfJson(value, integers);
    }
  }
  return rows as SqlValue[][];
}

/** Rows of {@link valuesOf} as objects. */
export function objectsOf(columns: readonly string[], rows: readonly SqlValue[][]): Row[] {
  const objects = new Array<Row>(rows.length);
  const plain = !columns.includes("__proto__");
  for (let i = 0; i < rows.length; i++) {
    objects[i] = plain ? objectOf(columns, rows[i]) : safeObjectOf(columns, rows[i]);
  }
  return objects;
}

function objectOf(columns: readonly string[], row: SqlValue[]): Row {
  const object: Row = {};
  for (let i = 0; i < columns.length; i++) object[columns[i]] = row[i];
  return object;
}

/** An assignment to the name `__proto__` would set the prototype, or do nothing. */
function safeObjectOf(columns: readonly string[], row: SqlValue[]): Row {
  const object: Row = {};
  for (let i = 0; i < columns.length; i++) {
    Object.defineProperty(object, columns[i], {
      value: row[i],
      configurable: true,
      enumerable: true,
      writable: true,
    });
  }
  return object;
}

/** One statement's result in a batch's answer. */
export function batchResultOf(result: StatementResult, integers: Integers): BatchStatementResult {
  const changes = result.changes;
  const lastInsertRowid = rowidOf(result, integers);
  if (result.columns === undefined) return { changes, lastInsertRowid };
  const rows = objectsOf(result.columns, valuesOf(result.rows ?? [], integers));
  return { changes, lastInsertRowid, rows };
}

/** A statement's last rowid as the caller wants integers. */
export function rowidOf(result: StatementResult, integers: Integers): number | bigint {
  return integers === "auto" ? result.last_insert_rowid : BigInt(result.last_insert_rowid);
}
