/**
 * Committing a write by itself, beside the loop: a costly one, a very long one, or one whose statements are a transaction
 * each.
 *
 * @module
 */
import { setTimeout as sleep } from "node:timers/promises";
import { SkylineError } from "../../client/errors.ts";
import { LIMITS } from "../process/limits.ts";
import type { Connection } from "../sqlite/connection.ts";
import { type Commit, outcomesAfter } from "./commit.ts";
import type { CostlyStatements } from "./costly_statements.ts";
import { DISK_WORK } from "./disk_work.ts";
import { driveBeside, NotInline } from "./drivers.ts";
import { executeStatement, executeWrite, type Execution, isVacuum } from "./execution.ts";
import { RESULTS_BYTES_MAX } from "./row_collector.ts";
import { databaseBusy, gone, isBusy } from "./failures.ts";
import { type QueuedWrite, refusalOf } from "./queued_write.ts";
import { checkForeignKeys } from "./transaction.ts";
import type { Write, WriteOutcome } from "./write.ts";

/** One transaction of a lone write. */
interface Unit<T, R> {
  readonly write: Write;
  /** The revision that it makes. */
  readonly revision: number;
  /** Whether it is a VACUUM, which SQLite runs in transactions of its own. */
  readonly isVacuum: boolean;
  execute(connection: Connection): Execution<T>;
  /** Writes what is to be remembered of it, at the end of the transaction. */
  keep(executed: T): R;
}

/** Commits lone writes. */
export class LoneCommit {
  readonly #commit: Commit;
  readonly #costly: CostlyStatements;
  readonly #ending: AbortSignal | undefined;
  #isLocked = false;

  /** Learns and follows what `costly` knows. Once `ending` is aborted, no write is begun and none goes on but to its COMMIT. */
  constructor(commit: Commit, costly: CostlyStatements, ending?: AbortSignal) {
    this.#commit = commit;
    this.#costly = costly;
    this.#ending = ending;
  }

  /** Whether the write that is being committed waits for a lock of another process. */
  get isLocked(): boolean {
    return this.#isLocked;
  }

  /** Commits a write; gives 1, how many it settled. */
  async run(queued: QueuedWrite): Promise<number> {
    const outcome = await this.#outcome(queued.write);
    this.#isLocked = false;
    this.#commit.settle(queued, outcome);
    return 1;
  }

  async #outcome(write: Write): Promise<WriteOutcome> {
    const { once, revision } = this.#commit.writer;
    try {
      once.discard();
      const recalled = once.recall(write);
      if (recalled) return recalled;
      const repeated = once.recallKey(write);
      if (repeated) return await this.#noted(write, repeated);
      return await (write.atomic
        ? this.#atomic(write, revision + 1)
        : this.#each(write, revision + 1));
    } catch (error) {
      return await this.#noted(write, this.#commit.failure(error));
    }
  }

  /** Commits nothing but that a request of a session was answered. */
  async #noted(write: Write, outcome: WriteOutcome): Promise<WriteOutcome> {
    const { once, revision } = this.#commit.writer;
    once.discard();
    once.note(write, outcome);
    if (!once.hasChanges) return outcome;
    try {
      await this.#begin(write.deadline);
    } catch (error) {
      return this.#commit.failure(error);
    }
    try {
      await this.#commit.beside(revision);
    } catch (error) {
      return outcomesAfter(await this.#commit.failed(error), revision, [write], [outcome])[0];
    }
    return outcome;
  }

  #atomic(write: Write, revision: number): Promise<WriteOutcome> {
    return this.#unit({
      write,
      revision,
      isVacuum: write.statements.length === 1 && isVacuum(write.statements[0].sql),
      execute: (connection) => executeWrite(connection, write),
      keep: (executed) => {
        const { once } = this.#commit.writer;
        const done = { rev: revision, ...executed };
        once.storeKey(write, done);
        once.note(write, done);
        return done;
      },
    });
  }

  /** Each statement is a transaction, and each writes the request's revision: what was kept has it, whatever comes after. */
  async #each(write: Write, revision: number): Promise<WriteOutcome> {
    const results: string[] = [];
    let bytesLeft = RESULTS_BYTES_MAX;
    let rowsAffected = 0;
    this.#commit.writer.connection.lastInsertRowid = 0n;
    for (let index = 0; index < write.statements.length; index++) {
      try {
        const done = await this.#unit({
          write: index === 0 ? write : { ...write, ifRev: undefined },
          revision,
          isVacuum: isVacuum(write.statements[index].sql),
          execute: (connection) => executeStatement(connection, write, index, bytesLeft),
          keep: (done) => done,
        });
        rowsAffected += done.changes;
        bytesLeft = done.bytesLeft;
        if (done.result !== undefined) results.push(done.result);
      } catch (error) {
        throw index === 0 ? error : afterOthers(this.#commit.failure(error), index);
      }
    }
    return write.results
      ? { rev: revision, rowsAffected, results: `[${results.join(",")}]` }
      : { rev: revision, rowsAffected };
  }

  /** Runs one transaction, until it is committed or has failed. */
  async #unit<T, R>(unit: Unit<T, R>): Promise<R> {
    const { write } = unit;
    for (let attempt = 0;; attempt++) {
      const { connection, once, revision } = this.#commit.writer;
      once.discard();
      try {
        const refusal = refusalOf(write, revision, performance.now());
        if (refusal) throw refusal;
        if (!unit.isVacuum) await this.#begin(write.deadline);
        const executed = await this.#execute(unit, attempt);
        if (unit.isVacuum) await this.#begin(write.deadline);
        checkForeignKeys(connection);
        const done = unit.keep(executed);
        await this.#end(unit.revision);
        return done;
      } catch (error) {
        this.#commit.rollback();
        if (!(error instanceof NotInline)) throw error;
      }
    }
  }

  async #execute<T, R>(
    { write, isVacuum, execute }: Unit<T, R>,
    attempt: number,
  ): Promise<T> {
    const { connection } = this.#commit.writer;
    const signal = this.#ending;
    const { deadline } = write;
    const drive = { connection, costly: this.#costly, deadline, signal, attempt };
    for (;;) {
      connection.attachedMax = isVacuum ? 1 : 0;
      try {
        return await driveBeside(execute(connection), drive);
      } catch (error) {
        // It takes the lock by itself.
        if (!isVacuum || !isBusy(error)) throw error;
      } finally {
        connection.attachedMax = 0;
      }
      await this.#waitForLock(write.deadline);
    }
  }

  async #begin(deadline: number): Promise<void> {
    while (!this.#commit.writer.transaction.begin()) await this.#waitForLock(deadline);
    this.#isLocked = false;
  }

  /** @throws {SkylineError} `DATABASE_BUSY` at the deadline. */
  async #waitForLock(deadline: number): Promise<void> {
    this.#isLocked = true;
    await sleep(LIMITS.busyPauseMs.max);
    if (this.#ending?.aborted) throw gone(this.#ending);
    if (performance.now() < deadline) return;
    throw databaseBusy();
  }

  async #end(revision: number): Promise<void> {
    try {
      await DISK_WORK.during(() => this.#commit.beside(revision));
    } catch (error) {
      const { verdict, failure } = await this.#commit.failed(error);
      if (verdict !== "done") throw failure;
    }
  }
}

/** Statements before it were kept, so sending the request again would repeat them. */
function afterOthers(error: SkylineError, index: number): SkylineError {
  const { code, message, sqliteCode, hint } = error;
  const retry = error.retry === "unknown" ? "unknown" : "no";
  return new SkylineError(code, message, { sqliteCode, statement: index, hint, retry });
}
