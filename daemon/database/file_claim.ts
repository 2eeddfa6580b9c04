/**
 * Opening a database again that was closed because nobody used it: anything may have been done with its file.
 *
 * @module
 */
import { basename } from "node:path";
import { fileIdentity } from "../process/file_identity.ts";
import { cannotOpen, existingFile } from "./database_file.ts";

/** The file that this process has the right to serve, while it is closed. */
export class FileClaim {
  readonly #path: string;
  readonly #claim: () => void;
  #key: string;

  /**
   * @param path the file's real path; it is served.
   * @param claim takes the right to serve the file that has this path now, in place of the one that was there before; throws
   * a SkylineError where another daemon serves it.
   */
  constructor(path: string, claim: () => void) {
    this.#path = path;
    this.#claim = claim;
    this.#key = fileIdentity(path).key;
  }

  /**
   * Makes sure that what has the path now may be opened.
   *
   * @returns whether it is another file than before. That is served from now on.
   * @throws {SkylineError} `CANNOT_OPEN`. Nothing is open: whoever puts the file right may ask again.
   */
  renew(): boolean {
    const found = existingFile(this.#path);
    if (found !== this.#path) throw cannotOpen(this.#path, `it is a link to ${found} now`);
    const { key } = fileIdentity(this.#path);
    if (key === this.#key) return false;
    this.#refuseForeignLog();
    this.#claim();
    this.#key = key;
    return true;
  }

  /** Whether the path leads elsewhere since {@link FileClaim.renew}. */
  get isOutdated(): boolean {
    try {
      return fileIdentity(this.#path).key !== this.#key;
    } catch {
      return true;
    }
  }

  /** SQLite takes whatever is there for the log of the file, and copies it into it. */
  #refuseForeignLog(): void {
    const log = `${this.#path}-wal`;
    try {
      if (Deno.lstatSync(log).size === 0) return;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return;
      throw error;
    }
    throw cannotOpen(
      this.#path,
      `it was replaced, and ${basename(log)} may belong to the file before`,
      `Move ${
        basename(log)
      } away; or, where the two belong together, shut the daemon down and start it again`,
    );
  }
}
