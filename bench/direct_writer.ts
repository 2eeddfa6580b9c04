/**
 * A worker that writes a database file itself: alone, what a program does that has no daemon; several at once, what
 * programs do that share a file without one.
 *
 * It uses the daemon's own binding and so the same build of SQLite, with SQLite's own automatic checkpoints.
 *
 * @module
 */
import { Connection } from "../daemon/sqlite/connection.ts";
import { SqliteError } from "../daemon/sqlite/errors.ts";
import { Tally, type WorkerOptions } from "./worker.ts";

/** What a writer is told. */
export interface DirectWriterOptions extends WorkerOptions {
  readonly file: string;
  readonly durability: "full" | "normal";
  readonly sql: string;
  readonly value: string;
  /** Rows a transaction. */
  readonly rows: number;
  readonly busyTimeoutMs: number;
}

async function main(options: DirectWriterOptions): Promise<void> {
  const { sql, value, rows, durability, busyTimeoutMs } = options;
  const connection = Connection.open(options.file);
  connection.exec(
    `PRAGMA busy_timeout = ${busyTimeoutMs}; PRAGMA journal_mode = wal; PRAGMA synchronous = ${durability}`,
  );
  const [insert, begin, commit, rollback] = [sql, "BEGIN IMMEDIATE", "COMMIT", "ROLLBACK"]
    .map((text) => connection.prepare(text, { persistent: true }).statement!);
  const write = () => {
    if (rows === 1) return insert.run([value]);
    begin.run();
    for (let i = 0; i < rows; i++) insert.run([value]);
    commit.run();
  };

  const tally = await Tally.start(options);
  for (let now = performance.now(); now < tally.until;) {
    const since = now;
    try {
      write();
      now = performance.now();
      tally.done(since, now);
    } catch (error) {
      if (!(error instanceof SqliteError)) throw error;
      now = performance.now();
      tally.failed(error.codeName, since, now);
      if (!connection.autocommit) rollback.run();
    }
  }
  for (const statement of [insert, begin, commit, rollback]) statement.finalize();
  connection.close();
  tally.report();
}

if (import.meta.main) await main(JSON.parse(Deno.args[0]));
