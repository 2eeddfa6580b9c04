/**
 * A statement that is to be prepared.
 *
 * @module
 */
import type { Connection } from "./connection.ts";
import type { Script } from "./script.ts";
import type { Statement } from "./statement.ts";

/** The next statement of a script, which whoever drives its execution has prepared on the loop or off it. */
export class Preparation {
  readonly #connection: Connection;
  readonly #script: Script;
  /** Once it is prepared; `null` where white space and comments are all. */
  statement: Statement | null = null;

  /** Takes the statement from `script` when it is prepared. */
  constructor(connection: Connection, script: Script) {
    this.#connection = connection;
    this.#script = script;
  }

  /** All of the script's SQL. */
  get sql(): string {
    return this.#script.sql;
  }

  /**
   * Prepares it while the loop waits, for so long.
   *
   * @throws {SqliteError} SQLITE_INTERRUPT where it takes longer.
   */
  within(ms: number): void {
    this.statement = this.#connection.prepareNext(this.#script, { persistent: true, withinMs: ms });
  }

  /**
   * Prepares it on another thread.
   *
   * @throws {SqliteError}
   */
  async offLoop(): Promise<void> {
    this.statement = await this.#connection.prepareNextOffLoop(this.#script);
  }
}
