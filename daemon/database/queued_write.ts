/**
 * A write that waits in the queue.
 *
 * @module
 */
import { SkylineError } from "../../client/errors.ts";
import { LIMITS } from "../process/limits.ts";
import { changesSchema, standsAlone } from "./execution.ts";
import { timeout } from "./failures.ts";
import type { Write, WriteOutcome } from "./write.ts";

/** A write that waits in the queue, and whoever waits for its outcome. */
export class QueuedWrite {
  /** Whether it has to be run by itself, beside the loop. */
  alone: boolean;
  /** When it is given up, on the clock of `performance.now()`. */
  readonly deadline: number;

  /** `settle` is called once, when the outcome is known; the writes of one `source` keep their order. */
  constructor(
    readonly write: Write,
    readonly settle: (outcome: WriteOutcome) => void,
    readonly source?: unknown,
  ) {
    this.deadline = write.deadline;
    this.alone = !write.atomic || write.statements.length > LIMITS.groupStatementsMax ||
      // Undone, a change of the schema makes SQLite prepare all statements anew: who is alone can be put off.
      write.statements.some(({ sql }) => standsAlone(sql) || changesSchema(sql));
  }
}

/** Why a write is not even started, at the revision and the time that it finds. */
export function refusalOf(
  { deadline, ifRev }: Write,
  revision: number,
  now: number,
): SkylineError | null {
  if (now >= deadline) return timeout();
  if (ifRev === undefined || ifRev === revision) return null;
  return new SkylineError("REVISION_CHANGED", `The revision is ${revision}, not ${ifRev}`);
}
