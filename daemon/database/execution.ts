/**
 * Executing statements, step by step. An execution is a generator that yields each statement that is to be prepared or stepped,
 * and is given whether there was a row: so the same execution can be driven inline or off the loop (`drivers.ts`).
 *
 * @module
 */
import { SkylineError } from "../../client/errors.ts";
import type { Expectation } from "../../client/protocol.ts";
import type { Blocks } from "../process/blocks.ts";
import { LIMITS } from "../process/limits.ts";
import type { Connection } from "../sqlite/connection.ts";
import { RESULT, SqliteError } from "../sqlite/errors.ts";
import { Preparation } from "../sqlite/preparation.ts";
import { Script } from "../sqlite/script.ts";
import { type BindValues, ParameterMismatchError, type Statement } from "../sqlite/statement.ts";
import { READS_SCHEMA } from "../sqlite/watched_calls.ts";
import { codeOf, isShortage } from "./failures.ts";
import { RESULTS_BYTES_MAX, RowCollector } from "./row_collector.ts";
import type { Write, WriteStatement } from "./write.ts";

/** A statement that is to be stepped or prepared; `null` before what takes long in itself, so that others may go first. */
export type Step = Statement | Preparation | null;

/** Yields what is to be done, is given whether there was a row, and ends with what came of it. */
export type Execution<T> = Generator<Step, T, boolean>;

/** What a write did, before it has a revision. */
export interface Executed {
  readonly rowsAffected: number;
  readonly results?: string;
}

/** What a query returned. */
export interface QueryResult {
  /** A JSON array of names. */
  readonly columns: string;
  /** A JSON array of rows; one in blocks is to be released. */
  readonly rows: string | Blocks;
}

/** Executes all statements of a write, in the transaction that is open. Throws a {@link SkylineError} where one fails. */
export function* executeWrite(connection: Connection, write: Write): Execution<Executed> {
  connection.lastInsertRowid = 0n;
  const results: string[] = [];
  let bytesLeft = RESULTS_BYTES_MAX;
  let rowsAffected = 0;
  for (let index = 0; index < write.statements.length; index++) {
    const done = yield* executeStatement(connection, write, index, bytesLeft);
    rowsAffected += done.changes;
    if (done.result !== undefined) {
      bytesLeft = done.bytesLeft;
      results.push(done.result);
    }
  }
  return write.results ? { rowsAffected, results: `[${results.join(",")}]` } : { rowsAffected };
}

/** What one statement of a write did. */
export interface StatementDone {
  readonly changes: number;
  /** The JSON of a `StatementResult`, if results are wanted. */
  readonly result?: string;
  /** Bytes that the answer has left. */
  readonly bytesLeft: number;
}

/** Executes the statement `index` of a write. */
export function* executeStatement(
  connection: Connection,
  write: Write,
  index: number,
  bytesLeft: number,
): Execution<StatementDone> {
  const statement = write.statements[index];
  const rows = new RowCollector(write.results, bytesLeft - 100);
  try {
    const changes = yield* executeSql(connection, statement, rows);
    checkExpectation(statement.expect, changes, rows.count);
    if (!write.results) return { changes, bytesLeft };
    const returned = rows.columns === undefined
      ? ""
      : `,"columns":${rows.columns},"rows":${rows.text}`;
    const result =
      `{"changes":${changes},"last_insert_rowid":${connection.lastInsertRowid}${returned}}`;
    return { changes, result, bytesLeft: rows.bytesLeft };
  } catch (error) {
    throw statementError(error, index);
  }
}

/** Executes a query, which must not write. */
export function* executeQuery(
  connection: Connection,
  sql: string,
  params: BindValues,
): Execution<QueryResult> {
  const rows = new RowCollector(true, RESULTS_BYTES_MAX, true);
  try {
    const cached = connection.cached(sql);
    if (cached !== undefined) yield* runStatement(connection, cached, params, rows);
    else yield* runFirst(connection, sql, yield* prepareQuery(connection, sql), params, rows);
    return { columns: rows.columns ?? "[]", rows: rows.end() };
  } catch (error) {
    rows.release();
    throw statementError(error, 0);
  }
}

function* prepareQuery(connection: Connection, sql: string): Execution<Statement> {
  const script = new Script(sql);
  const statement = yield* prepareForClient(connection, script);
  if (statement === null) throw new SkylineError("SQL_ERROR", "the SQL is empty");
  if (!script.isBlank) {
    statement.finalize();
    throw new SkylineError("SQL_ERROR", "a Query is one statement");
  }
  if (!statement.readOnly && !ASKS_JOURNAL_MODE.test(sql)) {
    statement.finalize();
    throw new SkylineError("NOT_READ_ONLY", "the statement would write");
  }
  return statement;
}

function* executeSql(
  connection: Connection,
  { sql, params }: WriteStatement,
  rows: RowCollector,
): Execution<number> {
  const cached = connection.cached(sql);
  if (cached !== undefined) return yield* runStatement(connection, cached, params, rows);
  const script = new Script(sql);
  const first = yield* prepareForClient(connection, script);
  if (first === null && script.isAtEnd) {
    throw new SkylineError("SQL_ERROR", "the SQL is empty");
  }
  if (first !== null && script.isBlank) {
    return yield* runFirst(connection, sql, first, params, rows);
  }
  if (Object.keys(params).length > 0) {
    first?.finalize();
    throw new ParameterMismatchError("a script of several statements takes no parameters");
  }
  return yield* executeScript(connection, script, first);
}

function* executeScript(
  connection: Connection,
  script: Script,
  first: Statement | null,
): Execution<number> {
  let changes = 0;
  for (let statement = first;; statement = yield* prepareForClient(connection, script)) {
    if (statement !== null) {
      changes += yield* runOnce(connection, statement, [], new RowCollector(false, 0));
    }
    if (script.isAtEnd) return changes;
  }
}

/** Runs what has just been prepared of this SQL, and keeps it for the next time where that serves. */
function* runFirst(
  connection: Connection,
  sql: string,
  statement: Statement,
  params: BindValues,
  rows: RowCollector,
): Execution<number> {
  const isKept = sql.length <= LIMITS.cachedSqlLengthMax && !isVacuum(sql) &&
    !isFixedByPrepare(sql) && connection.cache(sql, statement);
  if (!isKept) return yield* runOnce(connection, statement, params, rows);
  return yield* runStatement(connection, statement, params, rows);
}

function* runOnce(
  connection: Connection,
  statement: Statement,
  params: BindValues,
  rows: RowCollector,
): Execution<number> {
  try {
    return yield* runStatement(connection, statement, params, rows);
  } finally {
    statement.finalize();
  }
}

/** Runs a statement to its end; gives how many rows it changed. */
function* runStatement(
  connection: Connection,
  statement: Statement,
  params: BindValues,
  rows: RowCollector,
): Execution<number> {
  connection.principal = isVacuum(statement.sql) ? "vacuum" : "client";
  try {
    statement.bind(params);
    const before = connection.totalChanges;
    while (yield statement) {
      if (rows.addRow(statement)) continue;
      if (rows.holdsLong(statement)) yield null;
      rows.addLongRow(statement);
    }
    rows.addColumns(statement);
    // What the statement before changed stays visible where this one is not an INSERT, UPDATE or DELETE.
    return connection.totalChanges === before ? 0 : connection.changes;
  } finally {
    // At once: an unreset RETURNING would make the RELEASE and the COMMIT fail.
    statement.reset();
    statement.clearBindings();
    connection.endRun();
  }
}

function* prepareForClient(
  connection: Connection,
  script: Script,
): Execution<Statement | null> {
  const isFirst = script.at === 0;
  // To prepare looks at no file: without this it would take the schema as it was before another program changed it.
  if (isFirst && isFixedByPrepare(script.rest)) connection.get(READS_SCHEMA);
  connection.principal = isFirst && isVacuum(script.rest) ? "vacuum" : "client";
  try {
    const preparation = new Preparation(connection, script);
    yield preparation;
    return preparation.statement;
  } finally {
    connection.principal = "own";
  }
}

// Each alternative ends at one place only: an ambiguous one would cost exponential time on a text of many comments.
const BLANK = String.raw`(?:[\s;]|--[^\n]*(?:\n|$)|/\*(?:[^*]|\*(?!/))*\*/)*`;
const VACUUM = new RegExp(String.raw`^${BLANK}VACUUM\b[^;]*(?:;${BLANK})?$`, "i");
const SCHEMA_CHANGE = new RegExp(String.raw`^${BLANK}(?:CREATE|DROP|ALTER)\b`, "i");
const FIXED_BY_PREPARE = new RegExp(String.raw`^${BLANK}(?:EXPLAIN|PRAGMA)\b`, "i");
/** SQLite takes the question for a write, which it would be with a value; that is not allowed. */
const ASKS_JOURNAL_MODE = new RegExp(
  String.raw`^${BLANK}PRAGMA${BLANK}(?:main${BLANK}\.${BLANK})?journal_mode${BLANK}$`,
  "i",
);
const STANDS_ALONE = new RegExp(String.raw`^${BLANK}(?:VACUUM|REINDEX)\b`, "i");

/** Whether the SQL is a VACUUM and nothing else: it runs outside a transaction only, where a script must not. */
export function isVacuum(sql: string): boolean {
  return mayStartWith(sql, "v") && VACUUM.test(sql);
}

/**
 * Whether the SQL starts with what SQLite answers from the schema as it was when it prepared it: the plan of an EXPLAIN, and
 * some PRAGMAs.
 */
function isFixedByPrepare(sql: string): boolean {
  return mayStartWith(sql, "ep") && FIXED_BY_PREPARE.test(sql);
}

/** Whether the SQL starts with what is long by nature and hardly looks at the progress handler. */
export function standsAlone(sql: string): boolean {
  return mayStartWith(sql, "vr") && STANDS_ALONE.test(sql);
}

/** Whether the SQL starts with a change of the schema. */
export function changesSchema(sql: string): boolean {
  return mayStartWith(sql, "cda") && SCHEMA_CHANGE.test(sql);
}

/** Whether the first letter of the SQL is one of these, or comes after something else: quicker than a pattern. */
function mayStartWith(sql: string, letters: string): boolean {
  const first = sql.charAt(0).toLowerCase();
  return first < "a" || first > "z" || letters.includes(first);
}

function checkExpectation(
  expect: Expectation | undefined,
  changes: number,
  rows: number,
): void {
  if (expect === undefined) return;
  if (expect.changes !== undefined && expect.changes !== changes) {
    throw new SkylineError(
      "EXPECTATION_FAILED",
      `expected ${expect.changes} changes, there were ${changes}`,
    );
  }
  if (expect.rows !== undefined && expect.rows !== rows) {
    throw new SkylineError(
      "EXPECTATION_FAILED",
      `expected ${expect.rows} rows, there were ${rows}`,
    );
  }
}

/** The error that the client is answered. One that is no failure of the statement is passed on as it is. */
function statementError(error: unknown, index: number): unknown {
  if (error instanceof SkylineError) {
    if (error.statement !== undefined) return error;
    return new SkylineError(error.code, `Statement ${index}: ${error.message}`, {
      statement: index,
    });
  }
  if (error instanceof ParameterMismatchError) {
    return new SkylineError("PARAMETER_MISMATCH", `Statement ${index}: ${error.message}`, {
      statement: index,
    });
  }
  if (error instanceof SqliteError && error.primary !== RESULT.INTERRUPT) {
    return new SkylineError(
      codeOf(error),
      `Statement ${index}: ${error.message}`,
      {
        statement: index,
        sqliteCode: error.codeName,
        hint: error.obstacle?.hint,
        // Memory and descriptors may be there the next time; anything else would fail again.
        retry: error.primary === RESULT.NOMEM || isShortage(error) ? "safe" : undefined,
      },
    );
  }
  return error;
}
