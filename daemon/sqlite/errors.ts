/**
 * SQLite's result codes by name.
 *
 * @module
 */
import type { Obstacle } from "../process/obstacle.ts";

/** Primary codes, by number. Names as in https://sqlite.org/rescode.html. */
const PRIMARY = [
  "OK",
  "ERROR",
  "INTERNAL",
  "PERM",
  "ABORT",
  "BUSY",
  "LOCKED",
  "NOMEM",
  "READONLY",
  "INTERRUPT",
  "IOERR",
  "CORRUPT",
  "NOTFOUND",
  "FULL",
  "CANTOPEN",
  "PROTOCOL",
  "EMPTY",
  "SCHEMA",
  "TOOBIG",
  "CONSTRAINT",
  "MISMATCH",
  "MISUSE",
  "NOLFS",
  "AUTH",
  "FORMAT",
  "RANGE",
  "NOTADB",
];

/** Extended codes: the n-th word (from 1) belongs to `primary | n << 8`; a dash has no name. */
const EXTENDED: Readonly<Record<string, string>> = {
  ERROR: "MISSING_COLLSEQ RETRY SNAPSHOT RESERVESIZE KEY UNABLE",
  ABORT: "- ROLLBACK",
  BUSY: "RECOVERY SNAPSHOT TIMEOUT",
  LOCKED: "SHAREDCACHE VTAB",
  READONLY: "RECOVERY CANTLOCK ROLLBACK DBMOVED CANTINIT DIRECTORY",
  IOERR: "READ SHORT_READ WRITE FSYNC DIR_FSYNC TRUNCATE FSTAT UNLOCK RDLOCK DELETE " +
    "BLOCKED NOMEM ACCESS CHECKRESERVEDLOCK LOCK CLOSE DIR_CLOSE SHMOPEN SHMSIZE " +
    "SHMLOCK SHMMAP SEEK DELETE_NOENT MMAP GETTEMPPATH CONVPATH VNODE AUTH " +
    "BEGIN_ATOMIC COMMIT_ATOMIC ROLLBACK_ATOMIC DATA CORRUPTFS IN_PAGE BADKEY CODEC",
  CORRUPT: "VTAB SEQUENCE INDEX",
  CANTOPEN: "NOTEMPDIR ISDIR FULLPATH CONVPATH DIRTYWAL SYMLINK",
  CONSTRAINT: "CHECK COMMITHOOK FOREIGNKEY FUNCTION NOTNULL PRIMARYKEY TRIGGER UNIQUE VTAB " +
    "ROWID PINNED DATATYPE",
  AUTH: "USER",
};

/** Result codes that the program tells apart. */
export const RESULT = {
  OK: 0,
  ERROR: 1,
  BUSY: 5,
  NOMEM: 7,
  READONLY: 8,
  INTERRUPT: 9,
  IOERR: 10,
  CORRUPT: 11,
  FULL: 13,
  CANTOPEN: 14,
  TOOBIG: 18,
  CONSTRAINT: 19,
  AUTH: 23,
  NOTADB: 26,
  ROW: 100,
  DONE: 101,
} as const;

/** SQLITE_IOERR_FSYNC. */
export const IOERR_FSYNC = RESULT.IOERR | 4 << 8;

/** SQLITE_IOERR_WRITE. */
export const IOERR_WRITE = RESULT.IOERR | 3 << 8;
/** SQLITE_IOERR_GETTEMPPATH. */
export const IOERR_GETTEMPPATH = RESULT.IOERR | 25 << 8;

/** A code's name, such as `SQLITE_CONSTRAINT_UNIQUE` for 2067. */
export function resultCodeName(code: number): string {
  const primary = PRIMARY[code & 0xff];
  if (primary === undefined) return `SQLITE_${code}`;
  const extended = EXTENDED[primary]?.split(" ")[(code >> 8) - 1];
  return extended === undefined || extended === "-"
    ? `SQLITE_${primary}`
    : `SQLITE_${primary}_${extended}`;
}

/** A call of SQLite's that failed. */
export class SqliteError extends Error {
  /** The class's name, `SqliteError`. */
  override readonly name = "SqliteError";
  /** The primary result code: the low byte of {@link SqliteError.code}. */
  readonly primary: number;

  /** Holds the extended result code `code`, SQLite's own words and, where the system tells it, what is in the way. */
  constructor(readonly code: number, message: string, readonly obstacle?: Obstacle) {
    super(message);
    this.primary = code & 0xff;
  }

  /** The extended code's name. */
  get codeName(): string {
    return resultCodeName(this.code);
  }
}
