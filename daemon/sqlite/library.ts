/**
 * Finds the SQLite library that the daemon loads, and knows where a built one is kept.
 *
 * @module
 */
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { basename, isAbsolute, join } from "node:path";
import process from "node:process";
import { SkylineError } from "../../client/errors.ts";
import { reasonAndHint } from "../process/obstacle.ts";
import { prepareRuntimeFolder } from "../process/runtime_folder.ts";

/**
 * Names the one build of SQLite that belongs to this source tree: its version, then a hash of
 * the amalgamation and of the recipe in `tools/build_sqlite.ts`. A constant, so that a start
 * looks at one path and reads neither; the build refuses to run when it no longer agrees.
 */
export const LIBRARY_BUILD = "3.53.2-321d553a758abfc0";

/** Where a library was found. */
export type LibraryOrigin = "environment" | "bundled" | "built" | "system";

/** A SQLite library to hand to `Deno.dlopen`. */
export interface Library {
  /** An absolute path, or for some systems a bare name that the loader resolves. */
  path: string;
  origin: LibraryOrigin;
}

/**
 * Returns the library to load: the one that `SKYLINEDB_SQLITE` names, the one inside the compiled
 * executable, the one built into the cache, or the system's, in this order. Its version is
 * not checked here: only the opened library can tell it.
 *
 * @throws {SkylineError} `CANNOT_OPEN` if `SKYLINEDB_SQLITE` names a file that does not exist, or there is no library.
 */
export function findLibrary(): Library {
  const named = Deno.env.get("SKYLINEDB_SQLITE");
  if (named) {
    if (existsSync(named)) return { path: named, origin: "environment" };
    throw cannotLoad(
      `SKYLINEDB_SQLITE names ${named}, which does not exist`,
      "Correct it, or remove it to use the library that comes with skylinedb-daemon.",
    );
  }
  const [path, origin]: [string, LibraryOrigin] = Deno.build.standalone
    ? [bundledLibraryPath(Deno.build.target), "bundled"]
    : [cachedLibraryPath(Deno.build.target), "built"];
  return existsSync(path) ? { path, origin } : systemLibrary();
}

/**
 * Returns the folder that keeps what is built once and may be deleted at any time:
 * `SKYLINEDB_CACHE`, else the user's cache folder of the operating system. It need not exist.
 */
export function cacheFolder(): string {
  const chosen = Deno.env.get("SKYLINEDB_CACHE");
  if (chosen) return chosen;
  return join(userCacheFolder(), "skylinedb-daemon");
}

/** Returns where the library built for a target, such as `x86_64-pc-windows-msvc`, is cached. */
export function cachedLibraryPath(target: string): string {
  return join(cacheFolder(), libraryName(target));
}

/**
 * Returns where the library for a target lies inside the compiled executable, packed but on Windows. In the source
 * tree `tools/compile.ts` puts it at the same place, because `deno compile` keeps relative paths.
 */
export function bundledLibraryPath(target: string): string {
  const name = libraryName(target) + (target.includes("windows") ? "" : PACKED);
  return join(import.meta.dirname!, "..", "..", "dist", "sqlite", name);
}

/**
 * Unpacks the library that is inside the executable to where nobody else may write, once, and returns the path. Deno
 * would unpack it into the temporary folder, which on Unix all users share: somebody else could own a file of that name,
 * and change it between the look at it and its loading.
 *
 * @throws {Error} where that folder cannot be written to.
 */
export function unpackedLibrary(packed: string): string {
  const path = join(prepareRuntimeFolder(), basename(packed, PACKED));
  if (existsSync(path) && Deno.lstatSync(path).size === unpackedSize(packed)) return path;
  const part = `${path}.${Deno.pid}`;
  unpack(packed, part);
  Deno.renameSync(part, path);
  return path;
}

/**
 * {@link unpackedLibrary} on Windows, where it is not packed: it is copied to the user's own folder. The temporary folder, into
 * which Deno would unpack it, a service that runs as SYSTEM may share with all users.
 *
 * @throws {Error} where that folder cannot be written to.
 */
export function copiedLibrary(
  bundled: string,
  folder: string = join(userCacheFolder(), "skylinedb-daemon"),
): string {
  const path = join(folder, basename(bundled));
  const { size } = Deno.statSync(bundled);
  if (existsSync(path) && Deno.lstatSync(path).size === size) return path;
  Deno.mkdirSync(folder, { recursive: true });
  const part = `${path}.${Deno.pid}`;
  Deno.writeFileSync(part, Deno.readFileSync(bundled));
  Deno.renameSync(part, path);
  return path;
}

/** Has `use` load the library from a folder that is there for that moment alone. */
export function withUnpackedLibrary<T>(packed: string, use: (path: string) => T): T {
  const folder = temporaryFolder();
  try {
    const path = join(folder, basename(packed, PACKED));
    unpack(packed, path);
    return use(path);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

/** The error for the library at `path`, which the loader refused with `error`: its words do not say what to do. */
export function loadError(path: string, error: unknown): SkylineError {
  const said = String((error as Error).message).replace(/^(Could not open library: )+/, "");
  if (/failed to map segment/.test(said)) {
    return cannotLoad(
      `${path} lies where nothing may be executed: its file system is mounted noexec`,
      "Name a folder elsewhere for it by SKYLINEDB_CACHE; for the executable's own, by TMPDIR.",
    );
  }
  if (/Failed to register symbol/.test(said)) {
    const symbol = /symbol (sqlite3_\w+)/.exec(said)?.[1] ?? "what is needed";
    return cannotLoad(
      `${path} has no ${symbol}: it is no SQLite, or one that is too old`,
      "Name SQLite 3.20 or later by SKYLINEDB_SQLITE, or remove that variable.",
    );
  }
  return cannotLoad(said.includes(path) ? said : `${path}: ${said}`, LIBRARY_HINT);
}

const LIBRARY_HINT =
  "Remove that file, if it is the one that was built; it is built again. SKYLINEDB_SQLITE may name another.";

function cannotLoad(what: string, hint: string): SkylineError {
  return new SkylineError("CANNOT_OPEN", `Cannot load SQLite: ${what}`, { hint });
}

function temporaryFolder(): string {
  try {
    return Deno.makeTempDirSync({ prefix: "skylinedb-" });
  } catch (error) {
    throw cannotLoad(
      `it cannot be unpacked into the temporary folder: ${reasonAndHint(error).reason}`,
      "Name a folder that this user may write to by TMPDIR.",
    );
  }
}

const PACKED = ".gz";

function unpack(packed: string, path: string): void {
  // Loaded for this alone: nearly all starts find the library unpacked.
  const { gunzipSync } = process.getBuiltinModule("node:zlib");
  Deno.writeFileSync(path, gunzipSync(Deno.readFileSync(packed)), { mode: 0o700 });
}

/** The last four bytes of such a file. */
function unpackedSize(packed: string): number {
  using file = Deno.openSync(packed);
  const bytes = new Uint8Array(4);
  // From the start: files inside the executable know no end.
  file.seekSync(Deno.statSync(packed).size - bytes.length, Deno.SeekMode.Start);
  file.readSync(bytes);
  return new DataView(bytes.buffer).getUint32(0, true);
}

function libraryName(target: string): string {
  if (target.includes("windows")) return `sqlite-${LIBRARY_BUILD}-${target}.dll`;
  return `sqlite-${LIBRARY_BUILD}-${target}.${target.includes("darwin") ? "dylib" : "so"}`;
}

function userCacheFolder(): string {
  if (Deno.build.os === "windows") {
    return Deno.env.get("LOCALAPPDATA") ?? join(homedir(), "AppData", "Local");
  }
  if (Deno.build.os === "darwin") return join(homedir(), "Library", "Caches");
  const xdg = Deno.env.get("XDG_CACHE_HOME");
  return xdg && isAbsolute(xdg) ? xdg : join(homedir(), ".cache"); // XDG: ignore a relative one
}

function systemLibrary(): Library {
  const path = Deno.build.os === "windows"
    ? "winsqlite3.dll"
    : Deno.build.os === "darwin"
    ? "/usr/lib/libsqlite3.dylib" // in no folder: the loader serves it from its shared cache
    : "libsqlite3.so.0";
  try {
    Deno.dlopen(path, {}).close(); // no symbol of it was taken, so closing is safe
  } catch {
    throw cannotLoad(
      `no library was built, and the system has no ${path}`,
      'Run "deno task start" where a C compiler is installed, or set SKYLINEDB_SQLITE to a library.',
    );
  }
  return { path, origin: "system" };
}
