/**
 * A write as the database knows it, and its outcome.
 *
 * @module
 */
import type { SkylineError } from "../../client/errors.ts";
import type { Expectation } from "../../client/protocol.ts";
import type { BindValues } from "../sqlite/statement.ts";

/** One statement, or a script of several that take no parameters. */
export interface WriteStatement {
  readonly sql: string;
  readonly params: BindValues;
  readonly expect?: Expectation;
}

/** A request to write; all its fields have been checked. */
export interface Write {
  readonly statements: readonly WriteStatement[];
  /** One transaction; else each statement is one, up to the first that fails. */
  readonly atomic: boolean;
  /** Whether the outcome has what each statement did and returned. */
  readonly results: boolean;
  /** Undo unless the database's revision is this one. */
  readonly ifRev?: number;
  /** When it is given up, on the clock of `performance.now()`. */
  readonly deadline: number;
}

/** A write that is durable. */
export interface WriteDone {
  /** Its own revision. */
  readonly rev: number;
  readonly rowsAffected: number;
  /** A JSON array of what each statement did, if {@link Write.results}. */
  readonly results?: string;
}

/** How a write ended. */
export type WriteOutcome = WriteDone | SkylineError;
