/**
 * Committing writes in groups: many requests share one durable COMMIT, and one that fails leaves nothing behind.
 *
 * @module
 */
import { SkylineError } from "../../client/errors.ts";
import { WIRE_LIMITS } from "../../client/limits.ts";
import { LIMITS } from "../process/limits.ts";
import { type Commit, outcomesAfter } from "./commit.ts";
import type { CostlyStatements } from "./costly_statements.ts";
import { Clock, driveInline, NotInline } from "./drivers.ts";
import { executeWrite } from "./execution.ts";
import { FailedLately } from "./failed_lately.ts";
import { type QueuedWrite, refusalOf } from "./queued_write.ts";
import { checkForeignKeys } from "./transaction.ts";
import { isDone, type Write, type WriteOutcome } from "./write.ts";
import { BUSY } from "./write_queue.ts";

/** Instead of an outcome: a member failed without a savepoint, so that what it did cannot be told from the others'. */
const UNDO_ALL = Symbol("undo all");

/** Commits groups from the front of a queue. */
export class GroupCommit {
  readonly #commit: Commit;
  readonly #costly: CostlyStatements;
  readonly #failed = new FailedLately();

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
    this.#failed.nextGroup();
    let members = queued;
    for (let waryOfAll = false;; waryOfAll = true) {
      if (!transaction.begin()) return BUSY;
      const outcomes = this.#execute(members, waryOfAll);
      if (outcomes !== null) return this.#finish(queued, outcomes);
      transaction.rollback();
      // If a member cannot be in a group, those before it are run again as one of their own; it comes next, alone.
      const alone = members.findIndex(({ alone }) => alone);
      if (alone === 0) return 0;
      if (alone > 0) members = members.slice(0, alone);
    }
  }

  /**
   * Executes members up to one that has to run alone, or a bound; `null` when the transaction has to begin anew.
   *
   * Most groups have no member that fails, and need no savepoints. If one does fail, its group begins anew, with a savepoint
   * for each member; in the next ones only those have one whose requests failed lately.
   */
  #execute(members: readonly QueuedWrite[], waryOfAll: boolean): WriteOutcome[] | null {
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
      const warily = waryOfAll || this.#failed.has(member.source);
      const outcome = this.#executeMember(member.write, revision, clock, warily);
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
      if (outcome === UNDO_ALL) return null;
      if (outcome instanceof SkylineError) this.#failed.note(member.source);
      outcomes.push(outcome);
      if (!isDone(outcome)) continue;
      revision = outcome.rev;
      resultUnits += outcome.results?.length ?? 0;
    }
    return outcomes;
  }

  /** A member's outcome should the group commit; `null` when it cannot be executed inline. */
  #executeMember(
    write: Write,
    revision: number,
    clock: Clock,
    warily: boolean,
  ): WriteOutcome | typeof UNDO_ALL | null {
    const { once } = this.#commit.writer;
    const recalled = once.recall(write);
    if (recalled) return recalled;
    const outcome = once.recallKey(write) ?? refusalOf(write, revision, clock.now) ??
      this.#executeNew(write, revision, clock, warily);
    if (outcome && outcome !== UNDO_ALL) once.note(write, outcome);
    return outcome;
  }

  #executeNew(
    write: Write,
    revision: number,
    clock: Clock,
    warily: boolean,
  ): WriteOutcome | typeof UNDO_ALL | null {
    const { connection, transaction, once } = this.#commit.writer;
    if (warily) transaction.savepoint();
    try {
      const drive = { connection, costly: this.#costly, deadline: write.deadline };
      const execution = executeWrite(connection, write);
      const executed = driveInline(execution, drive, clock, clock.now + LIMITS.groupMs);
      const done = { rev: revision + 1, ...executed };
      checkForeignKeys(connection);
      once.storeKey(write, done);
      if (warily) transaction.release();
      return done;
    } catch (error) {
      if (warily && !connection.autocommit) transaction.undo();
      if (error instanceof NotInline) return null;
      return warily ? this.#commit.failure(error) : UNDO_ALL;
    }
  }

  #finish(queued: readonly QueuedWrite[], outcomes: WriteOutcome[]): number | Promise<number> {
    const { transaction, once, revision: before } = this.#commit.writer;
    const revision = outcomes.findLast(isDone)?.rev ?? before;
    const settle = (settled: readonly WriteOutcome[]) => {
      settled.forEach((outcome, i) => this.#commit.settle(queued[i], outcome));
      return settled.length;
    };
    if (revision === before && !once.hasChanges) {
      transaction.rollback();
      return settle(outcomes);
    }
    const failed = async (error: unknown) => {
      const writes = queued.map(({ write }) => write);
      return settle(outcomesAfter(await this.#commit.failed(error), before, writes, outcomes));
    };
    if (this.#commit.isSlow) {
      return this.#commit.beside(revision).then(() => settle(outcomes), failed);
    }
    try {
      this.#commit.inline(revision);
    } catch (error) {
      return failed(error);
    }
    return settle(outcomes);
  }
}
