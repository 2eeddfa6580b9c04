/**
 * Committing a write by itself, beside the loop: a costly one, a very long one, or one whose statements are a transaction
 * each.
 *
 * @module
 */
import { setTimeout as sleep } from "node:timers/promises";
import { SkylineError } from "../../client/errors.ts";
import { WIRE_LIMITS } from "../../client/limits.ts";
import { LIMITS } from "../process/limits.ts";
import type { Connection } from "../sqlite/connection.ts";
import type { Commit } from "./commit.ts";
import type { CostlyStatements } from "./costly_statements.ts";
import { driveBeside, NotInline } from "./drivers.ts";
import { executeStatement, executeWrite, type Execution, isVacuum } from "./execution.ts";
import { databaseBusy } from "./failures.ts";
import { type QueuedWrite, refusalOf } from "./queued_write.ts";
import { checkForeignKeys } from "./transaction.ts";
import type { Write, WriteOutcome } from "./write.ts";

/** One transaction of a lone write. */
interface Unit<T> {
  readonly write: Write;
  /** The revision that it makes. */
  readonly revision: number;
  /** Whether it is a VACUUM, which SQLite runs in transactions of its own. */
  readonly isVacuum: boolean;
  execute(connection: Connection): Execution<T>;
}

/** Commits lone writes. */
export class LoneCommit {
  readonly #commit: Commit;
  readonly #costly: CostlyStatements;

  /** Learns and follows what `costly` knows. */
  constructor(commit: Commit, costly: CostlyStatements) {
    this.#commit = commit;
    this.#costly = costly;
  }

  /** Commits a write; gives 1, how many it settled. */
  async run(queued: QueuedWrite): Promise<number> {
    const { write } = queued;
    const revision = this.#commit.writer.revision + 1;
    let outcome: WriteOutcome;
    try {
      outcome = await (write.atomic ? this.#atomic(write, revision) : this.#each(write, revision));
    } catch (error) {
      outcome = this.#commit.failure(error);
    }
    this.#commit.settle(queued, outcome);
    return 1;
  }

  async #atomic(write: Write, revision: number): Promise<WriteOutcome> {
    const executed = await this.#unit({
      write,
      revision,
      isVacuum: write.statements.length === 1 && isVacuum(write.statements[0].sql),
      execute: (connection) => executeWrite(connection, write),
    });
    return { rev: revision, ...executed };
  }

  /** Each statement is a transaction, and each writes the request's revision: what was kept has it, whatever comes after. */
  async #each(write: Write, revision: number): Promise<WriteOutcome> {
    const results: string[] = [];
    let bytesLeft = WIRE_LIMITS.frameBytesMax;
    let rowsAffected = 0;
    this.#commit.writer.connection.lastInsertRowid = 0n;
    for (let index = 0; index < write.statements.length; index++) {
      try {
        const done = await this.#unit({
          write: index === 0 ? write : { ...write, ifRev: undefined },
          revision,
          isVacuum: isVacuum(write.statements[index].sql),
          execute: (connection) => executeStatement(connection, write, index, bytesLeft),
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
  async #unit<T>(unit: Unit<T>): Promise<T> {
    const { write } = unit;
    for (;;) {
      const { connection, revision } = this.#commit.writer;
      try {
        const refusal = refusalOf(write, revision, performance.now());
        if (refusal) throw refusal;
        if (unit.isVacuum) connection.attachedMax = 1;
        else await this.#begin(write.deadline);
        const drive = { connection, costly: this.#costly, deadline: write.deadline };
        const done = await driveBeside(unit.execute(connection), drive);
        if (unit.isVacuum) await this.#begin(write.deadline);
        checkForeignKeys(connection);
        await this.#end(unit.revision);
        return done;
      } catch (error) {
        this.#commit.rollback();
        if (!(error instanceof NotInline)) throw error;
      } finally {
        this.#commit.writer.connection.attachedMax = 0;
      }
    }
  }

  async #begin(deadline: number): Promise<void> {
    while (!this.#commit.writer.transaction.begin()) {
      if (performance.now() > deadline) throw databaseBusy();
      await sleep(LIMITS.busyPauseMs.max);
    }
  }

  async #end(revision: number): Promise<void> {
    try {
      await this.#commit.beside(revision);
    } catch (error) {
      const outcomes: WriteOutcome[] = [{ rev: revision, rowsAffected: 0 }];
      await this.#commit.failed(error, outcomes, revision);
      if (outcomes[0] instanceof SkylineError) throw outcomes[0];
    }
  }
}

/** Statements before it were kept, so sending the request again would repeat them. */
function afterOthers(error: SkylineError, index: number): SkylineError {
  const { code, message, sqliteCode, hint } = error;
  const retry = error.retry === "unknown" ? "unknown" : "no";
  return new SkylineError(code, message, { sqliteCode, statement: index, hint, retry });
}
