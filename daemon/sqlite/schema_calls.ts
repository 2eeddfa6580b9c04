/**
 * Calls of functions in a schema: in CHECK constraints, generated columns, defaults, and indexes on expressions. SQLite tells
 * of them when a table or an index is made, and not when they are called.
 *
 * @module
 */
import { CallCosts } from "./call_costs.ts";
import type { Connection } from "./connection.ts";
import { RESULT, SqliteError } from "./errors.ts";
import type { DatabaseHandle } from "./ffi.ts";
import { Script } from "./script.ts";
import type { Statement } from "./statement.ts";
import { readSchemaOffLoop } from "./watched_calls.ts";

/** What calls may take that come with a table. */
export interface TableCalls {
  /** With a write to it. */
  readonly writing: CallCosts;
  /** With a read: those of generated columns. */
  readonly reading: CallCosts;
}

const CALLING =
  `SELECT tbl_name, type, sql FROM sqlite_schema WHERE type IN ('table', 'index') AND (
  sql LIKE '%trim%' OR sql LIKE '%unhex%' OR sql LIKE '%like%' OR sql LIKE '%glob%' OR sql LIKE '%instr%' OR
  sql LIKE '%replace%' OR sql LIKE '%json%' OR sql LIKE '%->%')`;
const CALL = /\b(\w+)\s*\(|\b(like|glob)\b|(->>?)/gi;
const GENERATED = /\bas\s*\(/i;

/** Knows them as the schema is now. */
export class SchemaCalls {
  readonly #connection: Connection;
  #version: Statement | undefined;
  #known: number | undefined;
  /** Those of each table that has some. */
  readonly tables = new Map<string, TableCalls>();

  /** Reads nothing yet. */
  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /**
   * Looks whether the schema has changed, which takes a microsecond, and reads it then.
   *
   * @throws {SqliteError} SQLITE_INTERRUPT where that takes over `withinMs`, unless 0.
   */
  refresh(withinMs = 0): void {
    const { principal } = this.#connection;
    this.#connection.principal = "own";
    try {
      const version = this.#schemaVersion();
      if (version === this.#known) return;
      this.#read(withinMs);
      this.#known = version;
    } catch (error) {
      passOverOthers(error);
    } finally {
      this.#connection.principal = principal;
    }
  }

  /**
   * {@link SchemaCalls.refresh}, which reads on another thread. Until it settles only `Connection.interrupt` may be called.
   *
   * @throws {SqliteError} SQLITE_INTERRUPT
   */
  async refreshOffLoop(database: DatabaseHandle): Promise<void> {
    const { principal } = this.#connection;
    this.#connection.principal = "own";
    try {
      // Else what is asked first would have SQLite read the schema while the loop waits.
      await readSchemaOffLoop(database);
      const version = this.#schemaVersion();
      if (version === this.#known) return;
      await this.#readOffLoop();
      this.#known = version;
    } catch (error) {
      passOverOthers(error);
    } finally {
      this.#connection.principal = principal;
    }
  }

  #schemaVersion(): number {
    this.#version ??= this.#connection.prepare("PRAGMA schema_version", { persistent: true })
      .statement!;
    try {
      this.#version.step();
      return this.#version.integer(0);
    } finally {
      this.#version.reset();
    }
  }

  #read(withinMs: number): void {
    const until = withinMs === 0 ? Infinity : performance.now() + withinMs;
    const statement = this.#begin(withinMs);
    try {
      while (statement.stepWithin(withinMs)) {
        this.#add(...rowOf(statement));
        if (performance.now() > until) throw new SqliteError(RESULT.INTERRUPT, "interrupted");
      }
    } finally {
      statement.finalize();
    }
  }

  async #readOffLoop(): Promise<void> {
    const statement = this.#begin(0);
    try {
      while (await statement.stepOffLoop()) this.#add(...rowOf(statement));
    } finally {
      statement.finalize();
    }
  }

  #begin(withinMs: number): Statement {
    const statement = this.#connection.prepareNext(new Script(CALLING), { withinMs })!;
    this.#known = undefined;
    this.tables.clear();
    return statement;
  }

  #add(table: string, type: string, sql: string): void {
    const calls = this.tables.get(table) ??
      { writing: new CallCosts(), reading: new CallCosts() };
    this.tables.set(table, calls);
    const found = new CallCosts();
    for (const [, call, word, arrow] of sql.matchAll(CALL)) {
      found.add((call ?? word ?? arrow).toLowerCase());
    }
    calls.writing.addAll(found);
    if (type === "table" && GENERATED.test(sql)) calls.reading.addAll(found);
  }

  /** Lets go of its statement, so that the connection can be closed; it may be asked again. */
  close(): void {
    this.#version?.finalize();
    this.#version = undefined;
  }
}

function rowOf(statement: Statement): [table: string, type: string, sql: string] {
  return JSON.parse(statement.rowJson()!);
}

/** Whatever it is but for an interrupt, the statement that is about to be prepared meets it too. */
function passOverOthers(error: unknown): void {
  if (error instanceof SqliteError && error.primary === RESULT.INTERRUPT) throw error;
}
