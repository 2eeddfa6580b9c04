/**
 * What requests are answered when they fail for no fault of a statement.
 *
 * @module
 */
import { type ErrorCode, SkylineError } from "../../client/errors.ts";
import { LIMITS } from "../process/limits.ts";
import { RESULT, SqliteError } from "../sqlite/errors.ts";

/** The error of a request that did not end by its deadline. */
export function timeout(): SkylineError {
  return new SkylineError("TIMEOUT", "The request did not end by its deadline and was undone");
}

/** The error of a query that is ended: the signal's reason; without one nobody waits for it any more. */
export function gone({ reason }: AbortSignal): SkylineError {
  if (reason instanceof SkylineError) return reason;
  return new SkylineError("TIMEOUT", "The connection that asked for it has gone");
}

/** The error of a request that another process kept from starting. */
export function databaseBusy(): SkylineError {
  return new SkylineError(
    "DATABASE_BUSY",
    "Another process held the database's lock until the request's deadline",
  );
}

/** The error of a write for which there is no room. */
export function queueFull(): SkylineError {
  return new SkylineError(
    "QUEUE_FULL",
    `${LIMITS.queueRequestsMax} writes or ${LIMITS.queueUnitsMax} bytes of them wait already`,
  );
}

/** The error of a query for whose rows there is no memory. */
export function answersFull(): SkylineError {
  return new SkylineError(
    "QUEUE_FULL",
    `Answers that are made or were not fetched hold over ${LIMITS.answersBytesMax} bytes`,
    { hint: "Fetch answers before sending more, and ask for fewer rows at once" },
  );
}

/** The error of what is asked of a daemon that ends. */
export function shuttingDown(): SkylineError {
  return new SkylineError("SHUTTING_DOWN", "The daemon is shutting down");
}

/** The error of a query that is in the way of opening the database again. */
export function reopening(): SkylineError {
  return new SkylineError(
    "DATABASE_BUSY",
    "The query was ended because the database has to be opened again",
    { hint: "Send it again" },
  );
}

/** The file is closed: it has to be opened first, which takes its time. */
export class NotOpen extends Error {}

/** Whether another process is in the way, so that trying again may help. */
export function isBusy(error: unknown): boolean {
  return error instanceof SqliteError && error.primary === RESULT.BUSY ||
    error instanceof SkylineError && error.sqliteCode?.startsWith("SQLITE_BUSY") === true;
}

/** Whether there is no room for what would be written, so that trying again later may help. */
export function isFull(error: unknown): boolean {
  return error instanceof SqliteError && codeOf(error) === "DISK_FULL";
}

/** Codes that say more than that SQLite failed. */
const CODE_OF_RESULT: Readonly<Record<number, ErrorCode>> = {
  [RESULT.AUTH]: "NOT_ALLOWED",
  [RESULT.BUSY]: "DATABASE_BUSY",
  [RESULT.FULL]: "DISK_FULL",
  [RESULT.IOERR]: "DISK_FAILED",
  [RESULT.CANTOPEN]: "DISK_FAILED",
};

/** Which error a failure of SQLite's is. */
export function codeOf(error: SqliteError): ErrorCode {
  if (isShortage(error) || error.obstacle?.code === "NO_TEMPORARY_FOLDER") return "CANNOT_OPEN";
  if (error.obstacle?.isNoRoom) return "DISK_FULL";
  return CODE_OF_RESULT[error.primary] ?? "SQL_ERROR";
}

/** Whether no further file can be opened now. Nothing is wrong with the disk. */
export function isShortage({ obstacle }: SqliteError): boolean {
  return obstacle?.code === "EMFILE" || obstacle?.code === "ENFILE";
}

/** Any error as an answer. What is neither ours nor SQLite's is a mistake in this program. */
export function failureOf(error: unknown): SkylineError {
  if (error instanceof SkylineError) return error;
  if (error instanceof SqliteError) {
    const { message, codeName: sqliteCode, obstacle } = error;
    return new SkylineError(codeOf(error), message, {
      ...{ sqliteCode, hint: obstacle?.hint, retry: "safe" },
    });
  }
  return new SkylineError("INTERNAL_ERROR", `Unexpected: ${error}`, {
    retry: "safe",
    cause: error,
  });
}
