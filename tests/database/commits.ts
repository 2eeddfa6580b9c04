import assert from "node:assert/strict";
import { SkylineError } from "../../client/errors.ts";
import { Commit, type Writer } from "../../daemon/database/commit.ts";
import { CostlyStatements } from "../../daemon/database/costly_statements.ts";
import { ExactlyOnce } from "../../daemon/database/exactly_once.ts";
import { FileWatch } from "../../daemon/database/file_watch.ts";
import { GroupCommit } from "../../daemon/database/group_commit.ts";
import { LoneCommit } from "../../daemon/database/lone_commit.ts";
import { createOwnTables, inspectOwnTables } from "../../daemon/database/own_tables.ts";
import { QueuedWrite } from "../../daemon/database/queued_write.ts";
import { Transaction } from "../../daemon/database/transaction.ts";
import { revisionOf, type Write, type WriteOutcome } from "../../daemon/database/write.ts";
import type { Log } from "../../daemon/process/log.ts";
import { TemporaryConnection } from "../sqlite/temporary_connection.ts";

const silent = { debug() {}, info() {}, warn() {}, error() {} } as unknown as Log;

/** A database whose groups the test commits itself. */
export class Commits implements Disposable {
  readonly temporary = new TemporaryConnection();
  readonly writer: Writer;
  readonly commit: Commit;
  reopened = 0;

  constructor(reopen?: () => Promise<void>) {
    const { connection } = this.temporary;
    const revision = createOwnTables(connection, inspectOwnTables(connection));
    const once = new ExactlyOnce(connection);
    const files = new FileWatch(this.temporary.file);
    const transaction = new Transaction(connection);
    this.writer = { connection, transaction, once, files, revision, mark: "" };
    connection.exec("create table t(a unique)");
    this.commit = new Commit({
      log: silent,
      writer: () => this.writer,
      outdated: () => {},
      rescue: () => Promise.reject(new Error("the files are in their places")),
      reopen: reopen ?? (() => {
        this.reopened++;
        return Promise.resolve();
      }),
    });
  }

  /** Commits one group; gives how many were settled, and the outcomes. */
  async group(
    ...sqls: (string | Partial<Write>)[]
  ): Promise<{ settled: number; outcomes: (WriteOutcome | undefined)[] }> {
    const outcomes: (WriteOutcome | undefined)[] = sqls.map(() => undefined);
    const queued = sqls.map((sql, i) =>
      new QueuedWrite({
        statements: typeof sql === "string" ? [{ sql, params: [] }] : [],
        atomic: true,
        results: false,
        units: 100,
        deadline: performance.now() + 10_000,
        ...(typeof sql === "string" ? {} : sql),
      }, (outcome) => {
        assert.equal(outcomes[i], undefined, "settled once");
        outcomes[i] = outcome;
      })
    );
    const { now } = performance;
    const started = now.call(performance);
    // Time stands still, so that no bound of it ends a group early, however busy the machine.
    performance.now = () => started;
    try {
      const groups = new GroupCommit(this.commit, new CostlyStatements());
      return { settled: await groups.run(queued), outcomes };
    } finally {
      performance.now = now;
    }
  }

  /** Commits one write by itself. */
  async lone(fields: Partial<Write>): Promise<WriteOutcome[]> {
    const outcomes: WriteOutcome[] = [];
    const write: Write = {
      statements: [],
      atomic: true,
      results: false,
      units: 100,
      deadline: performance.now() + 10_000,
      ...fields,
    };
    const lone = new LoneCommit(this.commit, new CostlyStatements());
    await lone.run(new QueuedWrite(write, (outcome) => outcomes.push(outcome)));
    return outcomes;
  }

  count(): unknown {
    return this.temporary.connection.get("select count(*) from t")![0];
  }

  [Symbol.dispose](): void {
    this.writer.transaction.finalize();
    this.writer.once.finalize();
    this.temporary[Symbol.dispose]();
  }
}

/** An outcome as its code or its revision. */
export function shown(outcome: WriteOutcome | undefined): unknown {
  return outcome instanceof SkylineError ? outcome.code : outcome && revisionOf(outcome);
}
