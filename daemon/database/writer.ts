/**
 * The connection that writes to a database, and what belongs to it: opened and closed together.
 *
 * @module
 */
import { randomUUID } from "node:crypto";
import { dirname } from "node:path";
import { SkylineError } from "../../client/errors.ts";
import type { Log } from "../process/log.ts";
import { isOnReadOnlyMount } from "../process/file_system.ts";
import { obstacleIn, obstacleNamed } from "../process/obstacle.ts";
import type { Connection } from "../sqlite/connection.ts";
import { RESULT, SqliteError } from "../sqlite/errors.ts";
import type { Writer } from "./commit.ts";
import { cannotOpen } from "./database_file.ts";
import { ExactlyOnce } from "./exactly_once.ts";
import { isBusy, isShortage } from "./failures.ts";
import { FileWatch } from "./file_watch.ts";
import { lstatOrNull, openConnection, readSchema } from "./open_connection.ts";
import { createOwnTables, inspectOwnTables, type OwnTables, SELECT_MARK } from "./own_tables.ts";
import { Transaction } from "./transaction.ts";

/** How all connections to a database are set. */
export interface ConnectionSettings {
  /** `full`: a write survives a loss of power; `normal`: it survives the end of the process. */
  readonly durability: "full" | "normal";
  readonly foreignKeys: boolean;
}

/** How a database is opened. */
export interface WriterOptions extends ConnectionSettings {
  /** Leave `-wal` and `-shm` when it is closed. */
  readonly keepWal: boolean;
  readonly log: Log;
}

/** A {@link Writer} as it was opened. */
export interface OpenWriter extends Writer {
  readonly pageBytes: number;
}

/**
 * Opens the database at `path`, in WAL mode, and makes the daemon's own tables where there are none. A file that is refused
 * stays as it was.
 *
 * @param known the revision that this very file had when it was closed; 0 where nobody knows.
 * @throws {SkylineError} `CANNOT_OPEN` when it is read-only, or when the daemon's own tables are not as they must be.
 * @throws {SqliteError}
 */
export async function openWriter(
  path: string,
  options: WriterOptions,
  known = 0,
): Promise<OpenWriter> {
  const connection = openConnection(path);
  try {
    const found = await inspect(connection, path);
    configure(connection, options);
    const revision = createOwnTables(connection, found, {
      path,
      log: options.log,
      revision: known,
    });
    const once = new ExactlyOnce(connection);
    const transaction = new Transaction(connection);
    const pageBytes = connection.get("PRAGMA page_size")![0] as number;
    const mark = connection.get(SELECT_MARK)![0] as string;
    const files = new FileWatch(path);
    return { connection, transaction, once, revision, mark, files, pageBytes };
  } catch (error) {
    connection.close();
    throw error;
  }
}

/** Before anything is written: WAL mode too is a mark in the file. */
async function inspect(connection: Connection, path: string): Promise<OwnTables> {
  if (connection.readOnly) throw readOnly(path);
  const hadLog = logBytes(path) !== undefined;
  try {
    await readSchema(connection, path);
    const found = inspectOwnTables(connection, path);
    if (!connection.readOnly) return found;
    throw cannotOpen(
      path,
      "a newer SQLite wrote it, and this one may only read it",
      "Use a newer daemon",
    );
  } catch (error) {
    // Else its content would be copied into the file, and it would be removed.
    if (hadLog) connection.wal.leaveAtClose();
    throw error;
  }
}

/** `undefined`: there is none. By its name: opening and closing a file of SQLite's would drop this process's locks. */
function logBytes(path: string): number | undefined {
  return lstatOrNull(`${path}-wal`)?.size;
}

/**
 * {@link openWriter}, where the database was closed or its last writer ended: nobody knows whether a sync had failed then. The
 * system drops pages whose sync failed and shows them all the same, so that what is read from the log may not be on the
 * disk, and would be missing before whatever is added to it. So a log that was left is begun anew; in order none is left.
 *
 * @throws {SkylineError} as `openWriter` does.
 * @throws {SqliteError}
 */
export async function openSoundWriter(
  path: string,
  options: WriterOptions,
  known = 0,
): Promise<OpenWriter> {
  const bytes = logBytes(path);
  const writer = await openWriter(path, options, known);
  if (!bytes) return writer;
  try {
    renewLog(writer, writer.revision);
  } catch (error) {
    if (!isBusy(error)) {
      leaveWriter(writer);
      throw error;
    }
    options.log.info("The log was left as it is: another program uses it", { database: path });
  }
  return writer;
}

/**
 * Brings the log into the database file, and begins it anew with a commit, whose sync makes void what stood in it before: if
 * the power went sooner, the log would come back without what a failed sync has lost, and be copied over the newer file. It is
 * not cut, nor is it removed after a failure: whoever opens the file after a kill sees by it that this is still to be done.
 *
 * @param revision from which revisions go on, the writer's or a higher one: none is given twice.
 * @throws {SqliteError} SQLITE_BUSY while another program is in the way.
 */
export function renewLog(writer: OpenWriter, revision: number): void {
  const { connection, transaction } = writer;
  connection.wal.restart();
  if (!transaction.begin()) throw new SqliteError(RESULT.BUSY, "database is locked");
  transaction.setRevision(revision, writer.revision);
  transaction.setMark(randomUUID(), revision);
  transaction.commit();
  writer.revision = revision;
}

/** Closes it after a failure, and leaves its log: who opens the file next sees by that what to do. */
export function leaveWriter(writer: OpenWriter): void {
  writer.connection.wal.leaveAtClose();
  closeWriter(writer);
}

/** Closes it. As the last connection of all processes this removes `-wal` and `-shm`. */
export function closeWriter({ connection, transaction, once }: Writer): void {
  transaction.finalize();
  once.finalize();
  connection.close();
}

/** Why the database at `path` cannot be opened, when `error` is SQLite's; any other error as it is. */
export function openError(path: string, error: unknown): unknown {
  if (isBusy(error)) return openBusy(path);
  if (!(error instanceof SqliteError)) return error;
  const failure = cannotOpen(path, ...reasonOf(error, path));
  if (!isShortage(error)) return failure;
  return new SkylineError(failure.code, failure.message, { hint: failure.hint, retry: "safe" });
}

/**
 * Sets what a client may ask for by PRAGMA: readers, which neither sync nor check keys, answer as the writer does.
 *
 * @throws {SqliteError}
 */
export function applySettings(
  connection: Connection,
  { durability, foreignKeys }: ConnectionSettings,
): void {
  set(connection, "synchronous", durability === "full" ? 2 : 1);
  set(connection, "foreign_keys", foreignKeys ? 1 : 0);
}

function configure(connection: Connection, options: WriterOptions): void {
  set(connection, "journal_mode", "wal");
  applySettings(connection, options);
  // Apple's fsync leaves data in the drive's cache; elsewhere the two have no effect.
  if (options.durability === "full") {
    connection.exec("PRAGMA fullfsync = 1; PRAGMA checkpoint_fullfsync = 1");
  }
  connection.wal.watch();
  if (options.keepWal) connection.wal.keep();
}

/** Lets go of what can be had again, while no transaction is open. */
export function releaseMemory({ connection, once }: Writer): void {
  connection.releaseMemory();
  once.releaseMemory();
}

/** Sets a PRAGMA and reads it back: one that SQLite cannot set stays silently as it was. */
function set(connection: Connection, pragma: string, value: string | number): void {
  connection.exec(`PRAGMA ${pragma} = ${value}`);
  const now = connection.get(`PRAGMA ${pragma}`)?.[0];
  if (now !== value) {
    throw new SqliteError(RESULT.ERROR, `PRAGMA ${pragma} is ${now}, not ${value}`);
  }
}

function reasonOf(error: SqliteError, path: string): [reason: string, hint?: string] {
  // SQLite makes files beside it, and where it cannot it tells no more than that.
  const isNoFile = error.primary === RESULT.CANTOPEN || error.primary === RESULT.READONLY;
  const obstacle = error.obstacle ?? (isNoFile ? obstacleIn(dirname(path)) : undefined);
  if (obstacle) return [obstacle.reason, obstacle.hint];
  switch (error.primary) {
    case RESULT.NOTADB:
      return ["it is not a SQLite database", "Name another file, or one that does not exist yet"];
    case RESULT.INTERRUPT:
      return ["it takes too long to read the daemon's own tables", "Restore it from a backup"];
    case RESULT.CORRUPT:
      return [`it is damaged (${error.message})`, "Restore it from a backup"];
    case RESULT.FULL:
      return [`the disk is full (${error.message})`, "Free some space"];
    case RESULT.CANTOPEN:
    case RESULT.READONLY:
      return [
        `it, or a file beside it, cannot be opened (${error.codeName})`,
        "See who may read and write it, and its -wal and -shm",
      ];
    default:
      return [`${error.message} (${error.codeName})`];
  }
}

function readOnly(path: string): SkylineError {
  if (isOnReadOnlyMount(path)) {
    const { reason, hint } = obstacleNamed("EROFS")!;
    return cannotOpen(path, reason, hint);
  }
  return cannotOpen(path, "it is read-only for this user", "Change its access rights");
}

function openBusy(path: string): SkylineError {
  return new SkylineError(
    "DATABASE_BUSY",
    `Cannot open database ${path}: another process keeps it locked`,
    {
      hint: "End that process, or let it write through the daemon.",
    },
  );
}
