/**
 * A write as the database knows it, and its outcome.
 *
 * @module
 */
import { SkylineError } from "../../client/errors.ts";
import type { Expectation } from "../../client/protocol.ts";
import type { BindValues } from "../sqlite/statement.ts";

/** One statement, or a script of several that take no parameters. */
export interface WriteStatement {
  readonly sql: string;
  readonly params: BindValues;
  readonly expect?: Expectation;
}

/** Where a write stands among its client's. */
export interface SessionPlace {
  readonly client: string;
  /** From 1, rising by one. */
  readonly seq: number;
  /** Answers up to this number have arrived. */
  readonly acked: number;
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
  /** Its place in its client's session: executed once, however often it is sent. */
  readonly session?: SessionPlace;
  /** What it stands for: executed once, whoever sends it. */
  readonly key?: string;
  /** Length of the request, in UTF-16 units. */
  readonly units: number;
}

/** A write that is durable. */
export interface WriteDone {
  /** Its own revision. */
  readonly rev: number;
  readonly rowsAffected: number;
  /** A JSON array of what each statement did, if {@link Write.results}. */
  readonly results?: string;
}

/** The answer to a request that had been executed before. */
export class Replay {
  /** Repeats what the request was answered then. */
  constructor(readonly outcome: WriteDone | SkylineError) {}
}

/** How a write ended. */
export type WriteOutcome = WriteDone | SkylineError | Replay;

/** The revision that an outcome stands for; 0 for a failure. */
export function revisionOf(outcome: WriteOutcome): number {
  if (outcome instanceof Replay) return revisionOf(outcome.outcome);
  return outcome instanceof SkylineError ? 0 : outcome.rev;
}

/** Whether a write was executed now and succeeded. */
export function isDone(outcome: WriteOutcome): outcome is WriteDone {
  return !(outcome instanceof SkylineError || outcome instanceof Replay);
}
