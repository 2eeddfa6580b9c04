/**
 * The file of a database, before SQLite opens it.
 *
 * @module
 */
import { basename, dirname, join, resolve } from "node:path";
import { SkylineError } from "../../client/errors.ts";
import { fileIdentity } from "../process/file_identity.ts";
import { type Unfit, unfitFileSystem, unfitPath } from "../process/file_system.ts";

/**
 * Makes sure that there is a file at `path` that can be served, an empty one if there was none, and gives its real path.
 * Nothing else is created, and nothing at all where it would be refused.
 *
 * @param refuseAt throws where nothing may be created at a real path, though nothing is there.
 * @param created is told when this call has made the file.
 * @throws {SkylineError} `CANNOT_OPEN`, saying what is in the way.
 */
export function prepareFile(
  path: string,
  refuseAt: (realPath: string) => void = () => {},
  created: () => void = () => {},
): string {
  return realPath(path, (absolute) => {
    if (createIn(dirname(absolute), absolute, refuseAt)) created();
  });
}

/**
 * Makes sure that there still is a file at `path` that can be served, and gives its real path.
 *
 * @throws {SkylineError} `CANNOT_OPEN`, saying what is in the way.
 */
export function existingFile(path: string): string {
  return realPath(path, () => {
    throw cannotOpen(
      path,
      "it was moved or removed while it was closed",
      "Put it back; or shut the daemon down and start it again, to make a new one",
    );
  });
}

function realPath(path: string, missing: (absolute: string) => void): string {
  const absolute = resolve(path);
  try {
    refuse(absolute, unfitPath(absolute) ?? unfitName(basename(absolute)));
    const info = statOrNull(absolute);
    if (info === null) missing(absolute);
    else checkFile(absolute, info);
    return Deno.realPathSync(absolute).replace(/^\\\\\?\\/, "");
  } catch (error) {
    throw error instanceof SkylineError ? error : cannotOpen(absolute, reasonOf(error, absolute));
  }
}

/** False where another start was first. */
function createIn(folder: string, path: string, refuseAt: (realPath: string) => void): boolean {
  if (statOrNull(folder) === null) {
    throw cannotOpen(path, `folder ${folder} does not exist`, "Create the folder first");
  }
  const realFolder = Deno.realPathSync(folder);
  refuse(path, unfitFileSystem(realFolder));
  try {
    refuseAt(join(realFolder, basename(path)));
    refuseLog(path);
  } catch (error) {
    // Another start has made it since it was looked for: nothing was moved.
    if (statOrNull(path) !== null) return false;
    throw error;
  }
  // Nothing of SQLite's is open on a file that did not exist: closing a descriptor drops no locks.
  try {
    Deno.openSync(path, { write: true, createNew: true, mode: 0o600 }).close();
    return true;
  } catch (error) {
    // Which of the two serves it, the lock decides.
    if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
    return false;
  }
}

/** The log of a file that was moved away: SQLite would copy it into the new one, and what it holds would be lost. */
function refuseLog(path: string): void {
  const log = `${path}-wal`;
  if (statOrNull(log) === null) return;
  throw cannotOpen(
    path,
    `there is none, but its log ${log} is there: the file was moved or removed while it was in use`,
    `Put it back beside its log, which may hold what it lacks. Only where nothing of it is needed, remove ${
      basename(log)
    }`,
  );
}

function checkFile(path: string, info: Deno.FileInfo): void {
  if (info.isDirectory) {
    throw cannotOpen(path, "it is a folder", "Name a file in it, such as app.db");
  }
  if (!info.isFile) throw cannotOpen(path, "it is not a regular file");
  refuse(path, unfitFileSystem(Deno.realPathSync(path)));
  const { links, isMount } = fileIdentity(path);
  if (isMount) {
    throw cannotOpen(
      path,
      "it is mounted by itself, without its folder; by its other name, a program would use another -wal and damage it",
      "Mount the folder that holds it: docker run -v FOLDER:/FOLDER, not -v FILE:/FILE",
    );
  }
  if (links === 1) return;
  throw cannotOpen(
    path,
    `it has ${links} names (hard links); by another one, a program would use another -wal and damage it`,
    Deno.build.os === "windows"
      ? `Find them with: fsutil hardlink list "${path}", and keep one, or serve a copy`
      : `Find them with: find FOLDER -samefile '${path}', and keep one, or serve a copy`,
  );
}

/** Names that mean something else to SQLite, or to who looks for a database's own files beside it. */
function unfitName(name: string): Unfit | null {
  if (name === ":memory:" || name.startsWith("file:")) {
    return {
      reason: "a daemon serves files alone, by their paths, not SQLite's :memory: or file: names",
      hint: "Name a file, such as app.db",
    };
  }
  const [suffix] = /-(wal|shm|journal)$/i.exec(name) ?? [];
  if (suffix === undefined) return null;
  return {
    reason: `SQLite gives names that end in ${suffix} to files that belong to a database`,
    hint: "Name the database itself, without that ending",
  };
}

function refuse(path: string, unfit: Unfit | null): void {
  if (unfit) throw cannotOpen(path, unfit.reason, unfit.hint);
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

/** The size of the file that has this name, without its log; 0 where there is none. It is not opened. */
export function fileBytes(path: string): number {
  try {
    return Deno.lstatSync(path).size;
  } catch {
    return 0;
  }
}

/** The error of a file that cannot be served. */
export function cannotOpen(path: string, reason: string, hint?: string): SkylineError {
  return new SkylineError("CANNOT_OPEN", `Cannot open database ${path}: ${reason}`, { hint });
}
