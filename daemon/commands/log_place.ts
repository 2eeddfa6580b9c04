/**
 * Where a log may not be written: into a database.
 *
 * @module
 */
import { SkylineError } from "../../client/errors.ts";
import type { DaemonConfig } from "../process/config.ts";
import { fileIdentity } from "../process/file_identity.ts";

const SUFFIXES = ["", "-wal", "-shm", "-journal"];
/** How every database begins that is not empty. */
const MAGIC = new TextEncoder().encode("SQLite format 3\0");

/**
 * Refuses a log file that is one of the databases, under whatever name, one of their files, or any other database: what is appended to
 * it would damage it.
 *
 * @throws {SkylineError} `CANNOT_OPEN`.
 */
export function refuseLogInDatabase({ files, logFile }: DaemonConfig): void {
  if (logFile === undefined) return;
  const names = files.flatMap((file) => SUFFIXES.map((suffix) => file + suffix));
  const key = keyOf(logFile);
  const isOne = names.includes(logFile) ||
    key !== null && names.some((name) => keyOf(name) === key);
  if (!isOne && !isDatabase(logFile)) return;
  throw new SkylineError(
    "CANNOT_OPEN",
    `Cannot open the log file ${logFile}: it is ${
      isOne ? "a file of the database that is to be served" : "a database"
    }`,
    { hint: "Give --log-file a file of its own, such as app.log" },
  );
}

/** `null` where there is no file. */
function keyOf(path: string): string | null {
  try {
    return fileIdentity(path).key;
  } catch {
    return null;
  }
}

/** Read before this process opens any database: to close one that it has open would drop SQLite's locks. */
function isDatabase(path: string): boolean {
  try {
    if (!Deno.statSync(path).isFile) return false;
    using file = Deno.openSync(path);
    const bytes = new Uint8Array(MAGIC.length);
    return file.readSync(bytes) === MAGIC.length && MAGIC.every((byte, i) => bytes[i] === byte);
  } catch {
    return false;
  }
}
