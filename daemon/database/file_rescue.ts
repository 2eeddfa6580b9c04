/**
 * Saving what the log holds when the files of an open database have changed.
 *
 * @module
 */
import { setTimeout as sleep } from "node:timers/promises";
import { SkylineError } from "../../client/errors.ts";
import { LIMITS } from "../process/limits.ts";
import type { Connection } from "../sqlite/connection.ts";
import { isBusy } from "./failures.ts";
import type { FileTrouble } from "./file_watch.ts";

/** Thrown in place of an answer when the files have changed. */
export class FilesChanged extends Error {
  /** Holds what happened. */
  constructor(readonly trouble: FileTrouble) {
    super(trouble.what);
  }
}

/**
 * Brings what the log holds into the database file, wherever that is now: the connection has both open. The log is empty
 * after that, so that it spoils no other file that may stand beside it. Waits for readers, 2 s at most.
 *
 * @throws {SqliteError}
 */
export function emptyLog({ wal }: Connection): Promise<void> {
  return whileBusy(() => wal.truncateOffLoop());
}

/**
 * Makes sure that nobody else has the database open, who would go on with the log that is gone or its index. Waits for
 * others to close it, 2 s at most. After that the database is not in WAL mode, until it is opened again.
 *
 * @throws {SqliteError} SQLITE_BUSY when somebody has.
 */
export function leaveLog(connection: Connection): Promise<void> {
  return whileBusy(() => connection.exec("PRAGMA journal_mode = delete"));
}

async function whileBusy(work: () => void | Promise<void>): Promise<void> {
  const giveUpAt = performance.now() + LIMITS.rescueBusyMs;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (!isBusy(error) || performance.now() > giveUpAt) throw error;
    }
    await sleep(LIMITS.busyPauseMs.max);
  }
}

/** What is answered for a database whose files have changed. */
export function fileReplaced(path: string, { what, hint }: FileTrouble): SkylineError {
  return new SkylineError("FILE_REPLACED", `The database ${path} is served no more: ${what}`, {
    hint,
  });
}
