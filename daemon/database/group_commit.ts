/**
 * Committing writes in groups: many requests, each in a savepoint of its own, share one durable COMMIT.
 *
 * @module
 */
import { WIRE_LIMITS } from "../../client/limits.ts";
import { LIMITS } from "../process/limits.ts";
import type { Commit } from "./commit.ts";
import type { CostlyStatements } from "./costly_statements.ts";
import { driveInline, NotInline } from "./drivers.ts";
import { executeWrite } from "./execution.ts";
import { type QueuedWrite, refusalOf } from "./queued_write.ts";
import { checkForeignKeys } from "./transaction.ts";
import { isDone, type Write, type WriteOutcome } from "./write.ts";
import { BUSY } from "./write_queue.ts";

/** Commits groups from the front of a queue. */
export class GroupCommit {
  readonly #commit: Commit;
  readonly #costly: CostlyStatements;

  /** Leaves what `costly` knows to the lone commit. */
  constructor(commit: Commit, costly: CostlyStatements) {
    this.#commit = commit;
    this.#costly = costly;
  }

  /** Commits writes from the front of `queued`, up to the first that has to run alone: see `WriteQueueOptions.commit`. */
  run(queued: readonly QueuedWrite[]): number | Promise<number> {
    try {
      return this.#run(queued);
    } catch (error) {
      this.#commit.rollback();
      return this.#commit.failAll(queued, error);
    }
  }

  #run(queued: readonly QueuedWrite[]): number | Promise<number> {
    let members = queued;
    for (;;) {
      if (!this.#commit.writer.transaction.begin()) return BUSY;
      const outcomes = this.#execute(members);
      if (outcomes !== null) return this.#finish(queued, outcomes);
      // A member ended the whole transaction. Those before it are run again as a group of their own; it comes next, alone.
      members = members.slice(0, members.findIndex(({ alone }) => alone));
      if (members.length === 0) return 0;
    }
  }

  /** Executes members up to one that has to run alone, or a bound; `null` when the transaction was ended. */
  #execute(members: readonly QueuedWrite[]): WriteOutcome[] | null {
    const { connection, once, revision: before } = this.#commit.writer;
    once.discard();
    const outcomes: WriteOutcome[] = [];
    const until = performance.now() + LIMITS.groupMs;
    let revision = before;
    let resultUnits = 0;
    for (const member of members) {
      if (member.alone || resultUnits > WIRE_LIMITS.frameBytesMax) break;
      const now = performance.now();
      if (outcomes.length > 0 && now > until) break;
      const outcome = this.#executeMember(member, revision, now);
      // The next savepoint would start a transaction of its own and its release commit it, without the others.
      if (connection.autocommit) {
        member.alone = true;
        return null;
      }
      if (outcome === null) {
        member.alone = true;
        break;
      }
      outcomes.push(outcome);
      if (!isDone(outcome)) continue;
      revision = outcome.rev;
      resultUnits += outcome.results?.length ?? 0;
    }
    return outcomes;
  }

  /** A member's outcome should the group commit; `null` when it cannot be executed inline. */
  #executeMember({ write }: QueuedWrite, revision: number, now: number): WriteOutcome | null {
    const { once } = this.#commit.writer;
    const recalled = once.recall(write);
    if (recalled) return recalled;
    const outcome = once.recallKey(write) ?? refusalOf(write, revision, now) ??
      this.#executeNew(write, revision, now);
    if (outcome) once.note(write, outcome);
    return outcome;
  }

  #executeNew(write: Write, revision: number, now: number): WriteOutcome | null {
    const { connection, transaction, once } = this.#commit.writer;
    transaction.savepoint();
    try {
      const drive = { connection, costly: this.#costly, deadline: write.deadline };
      const execution = executeWrite(connection, write);
      const executed = driveInline(execution, drive, now, now + LIMITS.groupMs);
      const done = { rev: revision + 1, ...executed };
      checkForeignKeys(connection);
      once.storeKey(write, done);
      transaction.release();
      return done;
    } catch (error) {
      if (!connection.autocommit) transaction.undo();
      return error instanceof NotInline ? null : this.#commit.failure(error);
    }
  }

  #finish(queued: readonly QueuedWrite[], outcomes: WriteOutcome[]): number | Promise<number> {
    const { transaction, once, revision: before } = this.#commit.writer;
    const revision = outcomes.findLast(isDone)?.rev ?? before;
    const settle = () => {
      outcomes.forEach((outcome, i) => this.#commit.settle(queued[i], outcome));
      return outcomes.length;
    };
    if (revision === before && !once.hasChanges) {
      transaction.rollback();
      return settle();
    }
    const failed = (error: unknown) => this.#commit.failed(error, outcomes).then(settle);
    if (this.#commit.isSlow) return this.#commit.beside(revision).then(settle, failed);
    try {
      this.#commit.inline(revision);
    } catch (error) {
      return failed(error);
    }
    return settle();
  }
}
