/**
 * A connection for reading.
 *
 * @module
 */
import { LIMITS } from "../process/limits.ts";
import type { Connection } from "../sqlite/connection.ts";
import { RESULT, SqliteError } from "../sqlite/errors.ts";
import { Script } from "../sqlite/script.ts";
import type { Statement } from "../sqlite/statement.ts";
import { READS_SCHEMA } from "../sqlite/watched_calls.ts";
import { SELECT_REVISION } from "./own_tables.ts";
import { applySettings, type ConnectionSettings } from "./writer.ts";

/** The daemon's own row is not there. */
export class NoRevision extends Error {}

/** The schema is so large that it has to be read beside the loop. */
export class SchemaUnread extends Error {}

/** The statement of the revision fails in itself where the table is not there, or is another. */
function revisionError(error: unknown): unknown {
  if (!(error instanceof SqliteError)) return error;
  if (error.primary === RESULT.INTERRUPT) return new SchemaUnread();
  return error.primary === RESULT.ERROR ? new NoRevision() : error;
}

/** A connection for reading, and the statement that holds its snapshot. */
export class Reader {
  readonly connection: Connection;
  readonly #revision: Statement;
  /** The revision of its snapshot; `undefined` while it has none. */
  rev: number | undefined;
  /** When it was taken, on the clock of `performance.now()`. */
  takenAt = 0;

  /**
   * Takes over a connection, and closes it where it throws.
   *
   * @throws {SchemaUnread} where the loop would have to wait for its schema.
   */
  constructor(connection: Connection, settings: ConnectionSettings, readonly generation: number) {
    this.connection = connection;
    try {
      const withinMs = LIMITS.stepInlineMs;
      connection.prepareNext(new Script(READS_SCHEMA), { withinMs })!.finalize();
      applySettings(connection, settings);
      this.#revision = connection.prepare(SELECT_REVISION, { persistent: true }).statement!;
    } catch (error) {
      connection.close();
      throw revisionError(error);
    }
  }

  /**
   * Takes a snapshot and gives its revision. The statement stays at its row, so that the snapshot stays whatever
   * becomes of other statements, until {@link Reader.endSnapshot}.
   *
   * @throws {SqliteError}
   * @throws {NoRevision}
   * @throws {SchemaUnread} where the schema has changed, and the loop would have to wait for it.
   */
  beginSnapshot(now: number): number {
    let isThere: boolean;
    const { clock } = this.connection;
    clock.until = now + LIMITS.stepInlineMs;
    try {
      isThere = this.#revision.stepWithin(LIMITS.stepInlineMs);
    } catch (error) {
      throw revisionError(error);
    } finally {
      clock.until = Infinity;
    }
    if (!isThere) throw new NoRevision();
    this.takenAt = now;
    return this.rev = this.#revision.integer(0);
  }

  endSnapshot(): void {
    this.#revision.reset();
    this.rev = undefined;
  }

  close(): void {
    this.#revision.finalize();
    this.connection.close();
  }
}
