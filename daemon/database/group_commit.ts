/**
 * Committing writes in groups: many requests share one durable COMMIT, and one that fails leaves nothing behind.
 *
 * @module
 */
import { WIRE_LIMITS } from "../../client/limits.ts";
import { LIMITS } from "../process/limits.ts";
import type { Commit } from "./commit.ts";
import type { CostlyStatements } from "./costly_statements.ts";
import { Clock, driveInline, NotInline } from "./drivers.ts";
import { executeWrite } from "./execution.ts";
import { type QueuedWrite, refusalOf } from "./queued_write.ts";
import { checkForeignKeys } from "./transaction.ts";
import { isDone, type Write, type WriteOutcome } from "./write.ts";
import { BUSY } from "./write_queue.ts";

/** Commits groups from the front of a queue. */
export class GroupCommit {
  readonly #commit: Commit;
  readonly #costly: CostlyStatements;
  /** How many more groups are executed warily: with a savepoint for each member, so that one that fails can be undone. */
  #waryGroups = 0;

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
    const { transaction } = this.#commit.writer;
    let members = queued;
    for (;;) {
      if (!transaction.begin()) return BUSY;
      const outcomes = this.#execute(members, this.#waryGroups > 0);
      if (outcomes !== null) {
        this.#waryGroups = Math.max(0, this.#waryGroups - 1);
        return this.#finish(queued, outcomes);
      }
      transaction.rollback();
      // If a member cannot be in a group, those before it are run again as one of their own; it comes next, alone.
      const alone = members.findIndex(({ alone }) => alone);
      if (alone === 0) return 0;
      if (alone > 0) members = members.slice(0, alone);
    }
  }

  /** Executes members up to one that has to run alone, or a bound; `null` when the transaction has to begin anew. */
  #execute(members: readonly QueuedWrite[], warily: boolean): WriteOutcome[] | null {
    const { connection, once, revision: before } = this.#commit.writer;
    once.discard();
    const outcomes: WriteOutcome[] = [];
    const clock = new Clock();
    const until = clock.now + LIMITS.groupMs;
    let revision = before;
    let resultUnits = 0;
    for (const member of members) {
      member.alone ||= this.#costly.holds(member.write);
      if (member.alone || resultUnits > WIRE_LIMITS.frameBytesMax) break;
      if (outcomes.length > 0 && clock.now > until) break;
      const outcome = this.#executeMember(member, revision, clock, warily);
      // The next savepoint would start a transaction of its own and its release commit it, without the others.
      if (connection.autocommit) {
        member.alone = true;
        return null;
      }
      if (outcome === null) {
        member.alone = true;
        if (warily) break;
        return null;
      }
      if (!warily && this.#waryGroups > 0) return null;
      outcomes.push(outcome);
      if (!isDone(outcome)) continue;
      revision = outcome.rev;
      resultUnits += outcome.results?.length ?? 0;
    }
    if (!warily && connection.violatesDeferredForeignKeys) {
      this.#waryGroups = LIMITS.waryGroups;
      return null;
    }
    return outcomes;
  }

  /** A member's outcome should the group commit; `null` when it cannot be executed inline. */
  #executeMember(
    { write }: QueuedWrite,
    revision: number,
    clock: Clock,
    warily: boolean,
  ): WriteOutcome | null {
    const { once } = this.#commit.writer;
    const recalled = once.recall(write);
    if (recalled) return recalled;
    const outcome = once.recallKey(write) ?? refusalOf(write, revision, clock.now) ??
      this.#executeNew(write, revision, clock, warily);
    if (outcome) once.note(write, outcome);
    return outcome;
  }

  /**
   * Most groups have no member that fails, and need no savepoints. If one does fail, its group begins anew, and it and the
   * next ones are executed warily: who fails all day costs a savepoint for each member, and seldom more.
   */
  #executeNew(write: Write, revision: number, clock: Clock, warily: boolean): WriteOutcome | null {
    const { connection, transaction, once } = this.#commit.writer;
    if (warily) transaction.savepoint();
    try {
      const drive = { connection, costly: this.#costly, deadline: write.deadline };
      const execution = executeWrite(connection, write);
      const executed = driveInline(execution, drive, clock, clock.now + LIMITS.groupMs);
      const done = { rev: revision + 1, ...executed };
      if (warily) checkForeignKeys(connection);
      once.storeKey(write, done);
      if (warily) transaction.release();
      return done;
    } catch (error) {
      const isInline = !(error instanceof NotInline);
      if (!connection.autocommit) {
        if (warily) transaction.undo();
        else if (isInline) this.#waryGroups = LIMITS.waryGroups;
      }
      return isInline ? this.#commit.failure(error) : null;
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
