/**
 * Opening a connection, once it is known that SQLite will find nothing beside the database that it must not touch.
 *
 * @module
 */
import { basename } from "node:path";
import { cutText, type SkylineError } from "../../client/errors.ts";
import { LIMITS } from "../process/limits.ts";
import { Connection } from "../sqlite/connection.ts";
import { RESULT, SqliteError } from "../sqlite/errors.ts";
import { Script } from "../sqlite/script.ts";
import { READS_SCHEMA } from "../sqlite/watched_calls.ts";
import { cannotOpen } from "./database_file.ts";

/** What SQLite opens by its name, beside the database. */
const SUFFIXES = ["-wal", "-shm", "-journal"] as const;

/**
 * What is wrong with a page is found when it is read, and not mapped into memory, so that no process ends where it is cut. They
 * read nothing of the file, and cost nothing that could be measured.
 */
const WARY = "PRAGMA cell_size_check = 1; PRAGMA mmap_size = 0";

/** As a rollback journal ends that names a super-journal; before it stand the name, its length and its sum. */
const JOURNAL_END = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];
const JOURNAL_TAIL_BYTES = 16;
/** As much of a name as is read; no path is longer. */
const NAME_BYTES_MAX = 4096;

/**
 * Opens a connection to the database at `path`: see `Connection.open`.
 *
 * @throws {SkylineError} `CANNOT_OPEN` when something beside it is in the way.
 * @throws {SqliteError}
 */
export function openConnection(path: string, options?: { readOnly?: boolean }): Connection {
  refuseUnfitCompanions(path);
  const connection = Connection.open(path, options);
  connection.exec(WARY);
  return connection;
}

/**
 * {@link openConnection}, and {@link readSchema}.
 *
 * @throws {SkylineError} `CANNOT_OPEN`
 * @throws {SqliteError}
 */
export async function openBeside(
  path: string,
  options?: { readOnly?: boolean },
): Promise<Connection> {
  const connection = openConnection(path, options);
  try {
    await readSchema(connection, path);
    return connection;
  } catch (error) {
    connection.close();
    throw error;
  }
}

/**
 * Reads the schema of a connection to the database at `path` off the loop: 100,000 tables take seconds, and a forged schema may
 * have no end.
 *
 * @throws {SkylineError} `CANNOT_OPEN` where it takes too long.
 * @throws {SqliteError}
 */
export async function readSchema(connection: Connection, path: string): Promise<void> {
  const late = setTimeout(() => connection.interrupt(), LIMITS.schemaMs);
  const script = new Script(READS_SCHEMA);
  try {
    (await connection.offLoop(() => connection.prepareNextOffLoop(script)))!.finalize();
  } catch (error) {
    const isLate = error instanceof SqliteError && error.primary === RESULT.INTERRUPT;
    throw isLate ? endlessSchema(path) : error;
  } finally {
    clearTimeout(late);
  }
}

function endlessSchema(path: string): SkylineError {
  return cannotOpen(
    path,
    `its schema was not read within ${
      LIMITS.schemaMs / 1000
    } s: it is damaged, or has too many tables`,
    "Look at it with PRAGMA integrity_check, in another program",
  );
}

/**
 * SQLite would wait for ever for somebody to write into a FIFO. Where one of the names is a folder or a link, it would fail for
 * no reason that one could understand, or read only.
 */
function refuseUnfitCompanions(path: string): void {
  for (const suffix of SUFFIXES) {
    const companion = path + suffix;
    const info = lstatOrNull(companion);
    if (info === null) continue;
    if (!info.isFile) throw unfit(path, companion, `is not a regular file (${kindOf(info)})`);
    if (suffix === "-journal" && info.size > JOURNAL_TAIL_BYTES) {
      refuseSuperJournal(path, companion, info.size);
    }
  }
}

/**
 * Once SQLite has rolled a journal back it removes the super-journal that it names, whatever file that is. Only a transaction
 * over several attached databases has one, which was cut off by a loss of power.
 */
function refuseSuperJournal(path: string, journal: string, bytes: number): void {
  const name = superJournalOf(journal, bytes);
  if (name === null) return;
  throw cannotOpen(
    path,
    `${
      basename(journal)
    } is of a transaction over several databases; to undo it, SQLite would remove the file ${
      cutText(name, LIMITS.shownNameUnits)
    }`,
    `Where that is no file of yours, open the database once with the program that wrote it; else move ${
      basename(journal)
    } away`,
  );
}

function superJournalOf(journal: string, bytes: number): string | null {
  using file = Deno.openSync(journal);
  const read = (at: number, length: number) => {
    const piece = new Uint8Array(length);
    file.seekSync(at, Deno.SeekMode.Start);
    file.readSync(piece);
    return piece;
  };
  const [first] = read(0, 1);
  const nameEnd = bytes - JOURNAL_TAIL_BYTES;
  const tail = read(nameEnd, JOURNAL_TAIL_BYTES);
  // SQLite passes over a journal that begins with 0.
  if (first === 0 || JOURNAL_END.some((byte, i) => tail[8 + i] !== byte)) return null;
  const nameBytes = Math.min(new DataView(tail.buffer).getUint32(0), nameEnd, NAME_BYTES_MAX);
  return nameBytes === 0 ? null : new TextDecoder().decode(read(nameEnd - nameBytes, nameBytes));
}

function unfit(path: string, companion: string, what: string): SkylineError {
  const name = basename(companion);
  return cannotOpen(path, `${name} beside it ${what}`, `SQLite needs that name: move ${name} away`);
}

function kindOf({ isDirectory, isSymlink, isFifo, isSocket }: Deno.FileInfo): string {
  if (isDirectory) return "a folder";
  if (isSymlink) return "a symbolic link";
  if (isFifo) return "a named pipe";
  return isSocket ? "a socket" : "a device";
}

/** What stands under this name, a link itself; `null` if nothing does. It is not opened. */
export function lstatOrNull(path: string): Deno.FileInfo | null {
  try {
    return Deno.lstatSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}
