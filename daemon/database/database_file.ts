/**
 * The file of a database, before SQLite opens it.
 *
 * @module
 */
import { dirname, resolve } from "node:path";
import { SkylineError } from "../../client/errors.ts";

/**
 * Makes sure that there is a file at `path`, an empty one if there was none, and gives its real path. Nothing else is
 * created.
 *
 * @throws {SkylineError} `CANNOT_OPEN`, saying what is in the way.
 */
export function prepareFile(path: string): string {
  const absolute = resolve(path);
  try {
    createIfMissing(absolute);
    return Deno.realPathSync(absolute).replace(
      /^\\\\\?\\(?:UNC(?=\\))?/,
      (prefix) => prefix.endsWith("UNC") ? "\\" : "",
    );
  } catch (error) {
    throw error instanceof SkylineError ? error : cannotOpen(absolute, reasonOf(error, absolute));
  }
}

function createIfMissing(path: string): void {
  const info = statOrNull(path);
  if (info?.isDirectory) {
    throw cannotOpen(path, "it is a folder", "Name a file in it, such as app.db");
  }
  if (info !== null && !info.isFile) throw cannotOpen(path, "it is not a regular file");
  if (info !== null) return;
  const folder = statOrNull(dirname(path));
  if (folder === null) {
    throw cannotOpen(path, `folder ${dirname(path)} does not exist`, "Create the folder first");
  }
  // Nothing of SQLite's is open on a file that did not exist: closing a descriptor drops no locks.
  Deno.openSync(path, { write: true, createNew: true, mode: 0o600 }).close();
}

function statOrNull(path: string): Deno.FileInfo | null {
  try {
    return Deno.statSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

function reasonOf(error: unknown, path: string): string {
  if (error instanceof Deno.errors.PermissionDenied || error instanceof Deno.errors.NotCapable) {
    return `this user may not create a file in ${dirname(path)}`;
  }
  if (error instanceof Deno.errors.NotADirectory) return `${dirname(path)} is not a folder`;
  return (error as Error).message;
}

/** The error of a file that cannot be served. */
export function cannotOpen(path: string, reason: string, hint?: string): SkylineError {
  return new SkylineError("CANNOT_OPEN", `Cannot open database ${path}: ${reason}`, { hint });
}
