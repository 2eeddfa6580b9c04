/**
 * Noticing that a database was removed, moved, replaced or linked while it is served.
 *
 * @module
 */
import { basename } from "node:path";
import { cString, fileFacts, look } from "../process/file_identity.ts";

/** What happened to the files of a database. */
export interface FileTrouble {
  /** In words, such as "app.db was replaced by another file". */
  readonly what: string;
  /**
   * Whether it could be opened again: its log is in nobody's way. A foreign `-wal` would be taken for the database's own
   * and copied into it; an index, which SQLite makes anew from the log, may be anyone's.
   */
  readonly canReopen: boolean;
  /** What the user can do, where that is not the usual. */
  readonly hint?: string;
}

type Change = "moved" | "replaced" | "linked";

const WORDS: Readonly<Record<Change, string>> = {
  moved: "was moved or removed",
  replaced: "was replaced by another file",
  linked: "has another name now (a hard link)",
};

// On Windows SQLite opens its files without FILE_SHARE_DELETE: they cannot be removed, moved or replaced while they are open.
const NEEDED = Deno.build.os !== "windows";

/**
 * Compares the names of the database, its log and the log's index with the files that SQLite opened by them. All three are
 * only looked at: to open and close one would drop the locks that SQLite holds on it. What overwrites a file in place
 * cannot be noticed.
 */
export class FileWatch {
  readonly #database: OpenFile;
  readonly #log: OpenFile;
  readonly #index: OpenFile;

  /** Notes which files are there: right after the database at `path` was opened, in WAL mode. */
  constructor(path: string) {
    this.#database = new OpenFile(path);
    this.#log = new OpenFile(`${path}-wal`);
    this.#index = new OpenFile(`${path}-shm`);
  }

  /** What happened since; `null` when nothing did. It takes 3 µs. */
  check(): FileTrouble | null {
    if (!NEEDED) return null;
    const database = this.checkDatabase();
    if (database) return database;
    // A second name of the log, unlike one of the database, leads nobody to open it.
    const log = this.#log.change();
    if (log === "moved") return trouble(this.#log, log, true);
    if (log === "replaced") {
      return { ...trouble(this.#log, log, false), hint: this.#foreignLogHint };
    }
    // Whoever opens the database now would make a new index, and lock that one instead of ours.
    const index = this.#index.change();
    if (index && index !== "linked") return trouble(this.#index, index, true);
    return null;
  }

  get #foreignLogHint(): string {
    return `Move ${this.#log.name} away, or SQLite takes it for the database's own; then start the daemon again.`;
  }

  /** What happened to the database itself: while it is closed, its log comes and goes. */
  checkDatabase(): FileTrouble | null {
    const change = NEEDED ? this.#database.change() : null;
    return change && trouble(this.#database, change, false);
  }
}

function trouble({ name }: OpenFile, change: Change, canReopen: boolean): FileTrouble {
  return { what: `${name} ${WORDS[change]}`, canReopen };
}

/** A file that is open, by the name under which it was opened. */
class OpenFile {
  readonly name: string;
  readonly #path: Uint8Array<ArrayBuffer>;
  readonly #opened = fileFacts();

  constructor(path: string) {
    this.name = basename(path);
    this.#path = cString(path);
    if (NEEDED) look(this.#path, this.#opened);
  }

  change(): Change | null {
    if (!look(this.#path, found)) return "moved";
    const opened = this.#opened;
    const isSame = found[0] === opened[0] && found[1] === opened[1] && found[2] === opened[2] &&
      found[3] === opened[3];
    if (!isSame) return "replaced";
    return found[4] === 1 ? null : "linked";
  }
}

const found = fileFacts();
