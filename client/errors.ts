/**
 * The closed set of error codes, each with what a caller may conclude from it, and the one error class of the client.
 *
 * @module
 */
import { WIRE_LIMITS } from "./limits.ts";

/**
 * What a caller may do after an error: `safe`, the request had no effect and may be sent again; `unknown`, it may have
 * happened; `no`, sending it again would fail again.
 */
export type Retry = "safe" | "unknown" | "no";

/** One row of {@link ERRORS}. */
export interface ErrorKind {
  /** What a caller may do after it. */
  readonly retry: Retry;
  /** What it means, in one sentence, for the documentation. */
  readonly meaning: string;
  /** What the user can do about it. */
  readonly hint?: string;
}

/** Which error it is: a row of {@link ERRORS}. */
export type ErrorCode =
  | "FRAME_EMPTY"
  | "FRAME_TOO_LARGE"
  | "FRAME_TIMEOUT"
  | "FRAMES_WAITING"
  | "INVALID_JSON"
  | "NESTED_TOO_DEEP"
  | "INVALID_REQUEST"
  | "UNKNOWN_REQUEST"
  | "UNKNOWN_DATABASE"
  | "INVALID_VALUE"
  | "PARAMETER_MISMATCH"
  | "SQL_ERROR"
  | "NOT_ALLOWED"
  | "NOT_READ_ONLY"
  | "EXPECTATION_FAILED"
  | "REVISION_CHANGED"
  | "RESULT_TOO_LARGE"
  | "SEQUENCE_GAP"
  | "CLIENT_FORGOTTEN"
  | "KEY_REUSED"
  | "KEYS_FULL"
  | "QUEUE_FULL"
  | "WAL_FULL"
  | "TIMEOUT"
  | "DATABASE_BUSY"
  | "DISK_FULL"
  | "DISK_FAILED"
  | "FILE_REPLACED"
  | "OUTCOME_UNKNOWN"
  | "INTERNAL_ERROR"
  | "CANNOT_OPEN"
  | "TOO_MANY_CONNECTIONS"
  | "SHUTTING_DOWN"
  | "NOT_RUNNING"
  | "NO_PERMISSION"
  | "CONNECTION_LOST"
  | "RESULT_FORGOTTEN"
  | "CLOSED";

/**
 * Every error code of the protocol and of the client: the one table from which the answers' `retry` and `hint`
 * and the documentation come.
 */
export const ERRORS: Readonly<Record<ErrorCode, ErrorKind>> = {
  // The frame could not be read.
  FRAME_EMPTY: {
    retry: "no",
    meaning: "A frame of length 0 was received.",
    hint: "Send the length of the JSON text that follows as 4 bytes, little-endian.",
  },
  FRAME_TOO_LARGE: {
    retry: "no",
    meaning: "A frame's length is over 10 MiB; the connection is closed after this answer.",
    hint: "Split the batch, and check that the length is little-endian.",
  },
  FRAME_TIMEOUT: {
    retry: "safe",
    meaning:
      "The rest of a frame did not arrive in time; the connection is closed after this answer.",
    hint: "Send a frame's length and its body together.",
  },
  FRAMES_WAITING: {
    retry: "safe",
    meaning:
      "The half-received frames of all connections together hold too much memory; the connection is closed.",
    hint: "Send fewer large frames at once, then try again.",
  },
  INVALID_JSON: { retry: "no", meaning: "The frame is not well-formed UTF-8 or not JSON." },
  NESTED_TOO_DEEP: { retry: "no", meaning: "The frame's JSON is nested deeper than 64 levels." },
  // The request could not be understood.
  INVALID_REQUEST: {
    retry: "no",
    meaning: "A field of the request is missing, of the wrong type or over its bound.",
  },
  UNKNOWN_REQUEST: {
    retry: "no",
    meaning: "The request's `type` is not one that this daemon knows.",
  },
  UNKNOWN_DATABASE: {
    retry: "no",
    meaning: "The request's `db` is not a database that this daemon serves.",
    hint: "Leave `db` out, or name a served file by its base name or its absolute path.",
  },
  INVALID_VALUE: {
    retry: "no",
    meaning: "A parameter has no exact SQLite value, such as an integer beyond int64.",
  },
  PARAMETER_MISMATCH: {
    retry: "no",
    meaning:
      "A statement's parameters and those given differ in number or name; nothing was executed.",
  },
  // The statement failed; the whole request had no effect (with `tx:"none"`, earlier statements were kept).
  SQL_ERROR: {
    retry: "no",
    meaning: "A statement failed; `sqlite_code` and `statement` say how and which.",
  },
  NOT_ALLOWED: {
    retry: "no",
    meaning:
      "The statement does what clients may not: end or nest transactions, ATTACH, use temporary objects, " +
      "most PRAGMAs, or the daemon's own tables.",
    hint: "Leave it out; a batch is one transaction by itself.",
  },
  NOT_READ_ONLY: {
    retry: "no",
    meaning: "The statement of a Query would write.",
    hint: "Send it as ExecBatch; with `results` it returns rows.",
  },
  EXPECTATION_FAILED: {
    retry: "no",
    meaning: "A statement's `expect` was not met; everything was undone.",
  },
  REVISION_CHANGED: {
    retry: "no",
    meaning: "The database's revision is no longer that of `if_rev`; nothing was executed.",
    hint: "Read again, decide again, and send with the new revision.",
  },
  RESULT_TOO_LARGE: {
    retry: "no",
    meaning: "The answer would be over 10 MiB; everything was undone.",
    hint: "Ask for fewer rows, with LIMIT, or read the file directly.",
  },
  // Requests that name a session or a key.
  SEQUENCE_GAP: {
    retry: "safe",
    meaning:
      "The request's `seq` is not the next of its client: one before it was not executed, or its answer is kept no longer.",
    hint: "Send what is unanswered again, in order, with `acked` as it is now.",
  },
  CLIENT_FORGOTTEN: {
    retry: "unknown",
    meaning:
      "The daemon knows no request of this `client`, or none any more; nothing was executed now.",
    hint: "Start a new session: another `client`, and `seq` from 1.",
  },
  KEY_REUSED: {
    retry: "no",
    meaning: "The `key` stands for a request of another content; nothing was executed.",
    hint: "Use a key of its own for each request that is meant to happen once.",
  },
  KEYS_FULL: {
    retry: "safe",
    meaning: "The answers kept for keys of the last 24 hours hold over 1 GiB.",
    hint: "Send without keys, or wait.",
  },
  // The daemon cannot take it now.
  QUEUE_FULL: {
    retry: "safe",
    meaning:
      "Too many writes wait for this database, or requests or answers of all connections hold too much memory.",
    hint: "Wait for answers before sending more.",
  },
  WAL_FULL: {
    retry: "safe",
    meaning: "The write-ahead log has reached its cap because a reader holds it back.",
    hint: "End the program that keeps a read transaction open; status says since when.",
  },
  TIMEOUT: {
    retry: "safe",
    meaning: "The request did not end by its deadline and was undone.",
    hint: "Give a longer `timeout_ms`, or make the statement faster (an index?).",
  },
  DATABASE_BUSY: {
    retry: "safe",
    meaning: "Another process held the database's lock until the request's deadline.",
    hint: "Let every process write through the daemon.",
  },
  DISK_FULL: {
    retry: "safe",
    meaning:
      "The disk is full, or a file may not become larger (`ulimit -f`, a quota, FAT's 4 GiB); nothing was written.",
    hint: "Free some space.",
  },
  DISK_FAILED: {
    retry: "safe",
    meaning: "The disk failed to read or write; nothing was written.",
    hint: "See what the system's log says of the disk. The daemon tries again with each request.",
  },
  FILE_REPLACED: {
    retry: "no",
    meaning:
      "The database file was moved, replaced, removed or linked while the daemon served it; it serves it no more.",
    hint: "Put the file that you want in its place and start the daemon again.",
  },
  OUTCOME_UNKNOWN: {
    retry: "unknown",
    meaning: "It is not known whether the request took effect.",
    hint: "Read the data to find out before you send it again.",
  },
  INTERNAL_ERROR: {
    retry: "unknown",
    meaning: "The daemon met a state it does not expect; its log says more.",
  },
  // The daemon as a whole.
  CANNOT_OPEN: { retry: "no", meaning: "The database cannot be opened." },
  TOO_MANY_CONNECTIONS: {
    retry: "safe",
    meaning: "The endpoint has as many connections as it serves; this one is closed.",
    hint: "Close connections that are not used; one connection serves a whole process.",
  },
  SHUTTING_DOWN: {
    retry: "safe",
    meaning: "The daemon is shutting down and takes no more requests.",
  },
  // Only the client gives these.
  NOT_RUNNING: {
    retry: "safe",
    meaning: "No daemon listens for this database.",
    hint: "Start it: skylinedb-daemon FILE",
  },
  NO_PERMISSION: {
    retry: "no",
    meaning:
      "The system does not let this user connect to the daemon, or the endpoint is another user's.",
    hint:
      "Run this program and the daemon as the same user, on Windows both or neither as administrator.",
  },
  CONNECTION_LOST: {
    retry: "unknown",
    meaning: "The connection ended before the answer arrived.",
  },
  RESULT_FORGOTTEN: {
    retry: "no",
    meaning: "The request took effect, but its answer was lost and is too large to have been kept.",
    hint: "Read the rows again.",
  },
  CLOSED: { retry: "safe", meaning: "This client was closed; the request was not sent." },
};

/** What an error may carry beside its code and message. */
export interface ErrorDetails {
  /** SQLite's extended result code by name, such as `SQLITE_CONSTRAINT_UNIQUE`. */
  readonly sqliteCode?: string;
  /** Index of the statement that failed, from 0. */
  readonly statement?: number;
  /** What a caller may do; by default what {@link ERRORS} says of the code. */
  readonly retry?: Retry;
  /** What the user can do; by default what {@link ERRORS} says of the code. */
  readonly hint?: string;
  /** The error that led to this one. */
  readonly cause?: unknown;
}

// A newer daemon may give codes that are not in the table.
const UNKNOWN_KIND: ErrorKind = {
  retry: "unknown",
  meaning: "A code that this version does not know.",
};

/** A text of at most `unitsMax` UTF-16 units: a longer one is cut, not within a character, and ends in an ellipsis. */
export function cutText(text: string, unitsMax: number): string {
  if (text.length <= unitsMax) return text;
  const cut = text.slice(0, unitsMax - 1);
  const last = cut.charCodeAt(cut.length - 1);
  return `${last >= 0xd800 && last < 0xdc00 ? cut.slice(0, -1) : cut}…`;
}

/** Everything that fails outside the caller's own program: the connection, the daemon, a statement. */
export class SkylineError extends Error {
  /** The class's name, `SkylineError`. */
  override readonly name = "SkylineError";
  /** Which error it is, out of a closed set; a daemon newer than this client may give others. */
  readonly code: ErrorCode;
  // Declared only: a detail that is not given is no property, and does not clutter what is printed.
  /** SQLite's extended result code by name, such as `SQLITE_CONSTRAINT_UNIQUE`. */
  declare readonly sqliteCode?: string;
  /** Index of the statement that failed, from 0. */
  declare readonly statement?: number;
  /** What a caller may do after it. */
  readonly retry: Retry;
  /** What the user can do about it. */
  declare readonly hint?: string;

  /**
   * Makes an error; what `details` leaves out is taken from {@link ERRORS}. Message and hint are cut after 2,048 UTF-16 units:
   * SQL, names and paths may be in them.
   */
  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(
      cutText(message, WIRE_LIMITS.errorTextMax),
      details.cause === undefined ? undefined : { cause: details.cause },
    );
    const { retry, hint } = Object.hasOwn(ERRORS, code) ? ERRORS[code] : UNKNOWN_KIND;
    this.code = code;
    this.retry = details.retry ?? retry;
    if (details.sqliteCode !== undefined) this.sqliteCode = details.sqliteCode;
    if (details.statement !== undefined) this.statement = details.statement;
    const shown = details.hint ?? hint;
    if (shown) this.hint = cutText(shown, WIRE_LIMITS.errorTextMax);
  }
}
