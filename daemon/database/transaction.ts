/**
 * The statements that end and nest transactions on the write connection, and the database's revision.
 *
 * @module
 */
import { SkylineError } from "../../client/errors.ts";
import type { Connection } from "../sqlite/connection.ts";
import { RESULT, SqliteError } from "../sqlite/errors.ts";
import type { Statement } from "../sqlite/statement.ts";
import { CLIENTS, ownRowChanged } from "./own_tables.ts";

/** The one transaction of the write connection, and the savepoint of one request in it. */
export class Transaction {
  readonly #connection: Connection;
  readonly #begin: Statement;
  readonly #commit: Statement;
  readonly #rollback: Statement;
  readonly #savepoint: Statement;
  readonly #release: Statement;
  readonly #undo: Statement;
  readonly #setRevision: Statement;
  readonly #setMark: Statement;

  /** Prepares the statements; the daemon's own tables exist. */
  constructor(connection: Connection) {
    const prepare = (sql: string) => connection.prepare(sql, { persistent: true }).statement!;
    this.#connection = connection;
    this.#begin = prepare("BEGIN IMMEDIATE");
    this.#commit = prepare("COMMIT");
    this.#rollback = prepare("ROLLBACK");
    this.#savepoint = prepare("SAVEPOINT request");
    this.#release = prepare("RELEASE request");
    this.#undo = prepare("ROLLBACK TO request");
    this.#setRevision = prepare(`UPDATE ${CLIENTS} SET seq = ? WHERE client = '' AND seq = ?`);
    this.#setMark = prepare(`UPDATE ${CLIENTS} SET answers = ? WHERE client = '' AND seq = ?`);
  }

  /**
   * Takes the write lock; false when another process has it.
   *
   * @throws {SqliteError}
   */
  begin(): boolean {
    try {
      this.#begin.run();
      return true;
    } catch (error) {
      if (error instanceof SqliteError && error.primary === RESULT.BUSY) return false;
      throw error;
    }
  }

  /** Starts a request. */
  savepoint(): void {
    this.#savepoint.run();
  }

  /** Keeps what the request did. */
  release(): void {
    this.#release.run();
  }

  /** Undoes what the request did. */
  undo(): void {
    this.#undo.run();
    this.#release.run();
  }

  /**
   * Writes the revision that the COMMIT will make, in place of `before`.
   *
   * @throws {SkylineError} `FILE_REPLACED`, `safe`, where another one stands.
   */
  setRevision(revision: number, before: number): void {
    this.#setRevision.run([revision, before]);
    this.#checkOwnRow(before);
  }

  /**
   * Writes by what a COMMIT that leaves the revision `before` as it is can be told from others.
   *
   * @throws {SkylineError} `FILE_REPLACED`, `safe`, where another revision stands.
   */
  setMark(mark: string, before: number): void {
    this.#setMark.run([mark, before]);
    this.#checkOwnRow(before);
  }

  /** Somebody else who writes a revision gives revisions too: the same ones twice, and updates would be lost. */
  #checkOwnRow(before: number): void {
    if (this.#connection.changes === 1) return;
    throw ownRowChanged(`the revision there is not ${before}`);
  }

  /**
   * Makes it durable.
   *
   * @throws {SqliteError} unless SQLITE_FULL, it is not known whether it is.
   */
  commit(): void {
    this.#commit.run();
  }

  /** {@link Transaction.commit} on another thread. */
  async commitOffLoop(): Promise<void> {
    try {
      await this.#connection.offLoop(() => this.#commit.stepOffLoop());
    } finally {
      this.#commit.reset();
    }
  }

  /** Undoes the whole transaction, if SQLite has not done so itself. */
  rollback(): void {
    if (!this.#connection.autocommit) this.#rollback.run();
  }

  /** Releases the statements, so that the connection can be closed. */
  finalize(): void {
    const all = [
      this.#begin,
      this.#commit,
      this.#rollback,
      this.#savepoint,
      this.#release,
      this.#undo,
      this.#setRevision,
      this.#setMark,
    ];
    for (const statement of all) statement.finalize();
  }
}

/**
 * Checks a request at its end: RELEASE succeeds with a deferred key violated, only the COMMIT would fail, for all.
 *
 * @throws {SkylineError} `SQL_ERROR`.
 */
export function checkForeignKeys(connection: Connection): void {
  if (!connection.violatesDeferredForeignKeys) return;
  throw new SkylineError("SQL_ERROR", "FOREIGN KEY constraint failed", {
    sqliteCode: "SQLITE_CONSTRAINT_FOREIGNKEY",
  });
}
