/**
 * The file of a database, before SQLite opens it.
 *
 * @module
 */
import { basename, dirname, join, resolve } from "node:path";
import { cutText, SkylineError } from "../../client/errors.ts";
import { fileIdentity } from "../process/file_identity.ts";
import { type Unfit, unfitFileSystem, unfitPath } from "../process/file_system.ts";
import { LIMITS } from "../process/limits.ts";
import { reasonAndHint } from "../process/obstacle.ts";

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
    refuse(absolute, unfitName(basename(absolute)) ?? unfitPath(absolute));
    const info = statOrNull(absolute);
    if (info === null) missing(absolute);
    else checkFile(absolute, info);
    const real = Deno.realPathSync(absolute).replace(/^\\\\\?\\/, "");
    refuse(real, unfitLength(real));
    return real;
  } catch (error) {
    if (error instanceof SkylineError) throw error;
    const { reason, hint } = isNotFolder(error)
      ? { reason: `${dirname(absolute)} is not a folder`, hint: undefined }
      : reasonAndHint(error);
    throw cannotOpen(absolute, reason, hint);
  }
}

/** False where another start was first. */
function createIn(folder: string, path: string, refuseAt: (realPath: string) => void): boolean {
  if (statOrNull(folder) === null) {
    throw cannotOpen(path, `folder ${folder} does not exist`, "Create the folder first");
  }
  const realFolder = Deno.realPathSync(folder);
  const realPath = join(realFolder, basename(path));
  refuse(path, unfitLength(realPath) ?? unfitFileSystem(realFolder));
  try {
    refuseAt(realPath);
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
    if (error instanceof Deno.errors.AlreadyExists) return false;
    if (!isForbidden(error)) throw error;
    throw cannotOpen(
      path,
      `this user may not create a file in ${folder}`,
      "Change the access rights",
    );
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

/** Longer ones SQLite cannot open, and says no more than that. */
function unfitLength(realPath: string): Unfit | null {
  const isWindows = Deno.build.os === "windows";
  const bytesOf = (text: string) => new TextEncoder().encode(text).length;
  const name = basename(realPath);
  const nameLength = isWindows ? name.length : bytesOf(name);
  if (nameLength > LIMITS.nameBytesMax) {
    return {
      reason: `its name has ${nameLength} ${isWindows ? "characters" : "bytes"}, ` +
        `and ${LIMITS.nameBytesMax} is the most: SQLite adds endings to it`,
      hint: "Give it a shorter name",
    };
  }
  if (isWindows || bytesOf(realPath) <= LIMITS.pathBytesMax) return null;
  return {
    reason: `its path has ${
      bytesOf(realPath)
    } bytes, and ${LIMITS.pathBytesMax} is what SQLite takes`,
    hint: "Put it into a folder of a shorter path",
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

function isForbidden(error: unknown): boolean {
  return error instanceof Deno.errors.PermissionDenied || error instanceof Deno.errors.NotCapable;
}

function isNotFolder(error: unknown): boolean {
  return error instanceof Deno.errors.NotADirectory;
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
  const shown = cutText(path, LIMITS.shownPathUnits);
  return new SkylineError("CANNOT_OPEN", `Cannot open database ${shown}: ${reason}`, { hint });
}
