/**
 * A worker that reads rows from a database file itself, as a program may also while a daemon serves the file.
 *
 * @module
 */
import { Connection } from "../daemon/sqlite/connection.ts";
import { anyPoint, PointCheck, READ_POINT } from "./points.ts";
import { Tally, type WorkerOptions } from "./worker.ts";

/** What a reader is told. */
export interface DirectReaderOptions extends WorkerOptions {
  /** Of {@link fillPoints}. */
  readonly file: string;
}

async function main(options: DirectReaderOptions): Promise<void> {
  const connection = Connection.open(options.file, { readOnly: true });
  const statement = connection.prepare(READ_POINT, { persistent: true }).statement!;
  const points = new PointCheck();
  const tally = await Tally.start(options);
  for (let now = performance.now(); now < tally.until;) {
    const since = now;
    const id = anyPoint();
    statement.bind([id]);
    const row = statement.step() ? statement.rowJson()! : "[]";
    statement.reset();
    now = performance.now();
    tally.done(since, now);
    if (points.isDue()) points.check(JSON.parse(row), id);
  }
  statement.finalize();
  connection.close();
  tally.report();
}

if (import.meta.main) await main(JSON.parse(Deno.args[0]));
