/**
 * Where a database's daemon listens: a rule over the file alone, the same for the daemon and for every client.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { lstatSync, realpathSync, type Stats } from "node:fs";
import { basename, dirname, join } from "node:path";
import process from "node:process";
import { Buffer } from "node:buffer";
import { cutText, SkylineError } from "./errors.ts";

const WINDOWS = process.platform === "win32";
const PIPE_FOLDER = "\\\\.\\pipe\\";
const HASH_DIGITS = 16;
/** How much is shown of a path that is too long. */
const SHOWN_UNITS = 600;
const PLAIN_NAME = /^[A-Za-z0-9._-]{1,64}$/;
/** The shortest of the systems' bounds, macOS's 104 bytes, less the NUL; what the rules below make is shorter. */
const SOCKET_PATH_BYTES_MAX = 103;

/**
 * The endpoint of a database file: a pipe's name on Windows, a socket's path elsewhere. All spellings of a
 * path lead to the same one. A look-up: nothing is created, and whether a daemon listens there is not known.
 *
 * @throws {SkylineError} `NOT_RUNNING` when the file does not exist, unless a daemon listens that served it before it was moved
 * or removed; `NO_PERMISSION` when the system hides it; `CANNOT_OPEN` when no file can have that path.
 */
export function endpointOf(file: string): string {
  const path = realPath(file);
  if (path === null) return endpointOfMissing(file);
  const hash = hashOfRealPath(path, WINDOWS);
  return WINDOWS ? `${PIPE_FOLDER}skylinedb-${hash}` : socketNamed(hash);
}

/**
 * The endpoint of a daemon's plain second name (`--pipe NAME`): letters, digits, `.`, `_` and `-`, at most 64. What
 * already is a pipe's name or a socket's absolute path is taken as it is.
 *
 * @throws {RangeError} for any other name.
 */
export function endpointOfName(name: string): string {
  if (WINDOWS ? isPipe(name) : name.startsWith("/")) {
    if (!WINDOWS && Buffer.byteLength(name) > SOCKET_PATH_BYTES_MAX) {
      throw new RangeError(`A socket's path has at most ${SOCKET_PATH_BYTES_MAX} bytes: ${name}`);
    }
    return name;
  }
  if (!PLAIN_NAME.test(name)) {
    throw new RangeError(
      `A pipe's name has 1 to 64 letters, digits, ".", "_" or "-": ${JSON.stringify(name)}`,
    );
  }
  return WINDOWS ? PIPE_FOLDER + name : socketNamed(name);
}

/**
 * The folder in which this user's daemons that start now make their sockets: below `/run/user/UID` where that is this user's,
 * else in `/tmp`. Never from the environment, or cron, sudo and a desktop would each get a daemon of its own.
 *
 * @throws {SkylineError} `NO_PERMISSION` when somebody else has made or may write the folder in `/tmp`: what listens
 * there may be anybody's.
 */
export function runtimeFolder(): string {
  const user = process.getuid!();
  if (hasSession(user)) return sessionFolder(user);
  const folder = plainFolder(user);
  if (isOwn(folder, user) !== false) return folder;
  throw new SkylineError("NO_PERMISSION", `${folder} is not this user's own folder`, {
    hint: `Find out who made ${folder} and remove it; it must belong to user ${user}, mode 0700.`,
  });
}

/**
 * All folders in which a daemon of this user may listen, the one of {@link runtimeFolder} first: `/run/user/UID` comes at
 * login and goes at logout, whatever runs meanwhile.
 *
 * @throws {SkylineError} `NO_PERMISSION` as {@link runtimeFolder}.
 */
export function runtimeFolders(): string[] {
  const user = process.getuid!();
  const first = runtimeFolder();
  const plain = plainFolder(user);
  return first !== plain && isOwn(plain, user) ? [first, plain] : [first];
}

function sessionFolder(user: number): string {
  return `/run/user/${user}/skylinedb`;
}

function plainFolder(user: number): string {
  return `/tmp/skylinedb-${user}`;
}

function hasSession(user: number): boolean {
  const found = statOf(`/run/user/${user}`);
  return found !== null && found.isDirectory() && found.uid === user;
}

/** Whether a folder is this user's, and nobody else may write to it; `undefined` where there is none. */
function isOwn(folder: string, user: number): boolean | undefined {
  const found = statOf(folder);
  return found
    ? found.isDirectory() && found.uid === user && (found.mode & 0o022) === 0
    : undefined;
}

/** A socket's place in this user's folders: where there is one, else where one is made first. */
function socketNamed(name: string): string {
  const places = runtimeFolders().map((folder) => `${folder}/${name}.sock`);
  return places.find((place) => statOf(place)?.isSocket()) ?? places[0];
}

/** Whether `folder` is one in which daemons of this user make their sockets, there or not. */
export function isRuntimeFolder(folder: string): boolean {
  if (WINDOWS) return false;
  const user = process.getuid!();
  return folder === sessionFolder(user) || folder === plainFolder(user);
}

/**
 * Where a daemon may listen in place of `endpoint`, once none does there: the same name in this user's other folder. Empty
 * where `endpoint` is in neither.
 */
export function otherEndpoints(endpoint: string): string[] {
  const folder = dirname(endpoint);
  if (!isRuntimeFolder(folder)) return [];
  try {
    return runtimeFolders().filter((other) => other !== folder)
      .map((other) => `${other}/${basename(endpoint)}`);
  } catch {
    return [];
  }
}

/**
 * The name under which a file's real path is known: 16 hexadecimal digits of its SHA-256. On Windows without the prefix
 * of long paths and with A–Z lowered, as no two of its files differ in that alone.
 */
export function hashOfRealPath(path: string, windows: boolean): string {
  return createHash("sha256").update(windows ? plainWindowsPath(path) : path, "utf8")
    .digest("hex").slice(0, HASH_DIGITS);
}

function plainWindowsPath(path: string): string {
  const plain = path.startsWith("\\\\?\\UNC\\")
    ? "\\\\" + path.slice("\\\\?\\UNC\\".length)
    : path.startsWith("\\\\?\\")
    ? path.slice("\\\\?\\".length)
    : path;
  return plain.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
}

function isPipe(name: string): boolean {
  return /^\\\\[.?]\\pipe\\./i.test(name);
}

/** The socket by which a file was served that has gone from its path since. On Windows it cannot go. */
function endpointOfMissing(file: string): string {
  const folder = WINDOWS ? null : realPath(dirname(file));
  if (folder !== null) {
    const socket = socketNamed(hashOfRealPath(join(folder, basename(file)), WINDOWS));
    if (statOf(socket)?.isSocket()) return socket;
  }
  throw movedAway(file) ??
    new SkylineError("NOT_RUNNING", `No daemon runs for ${file}: the file does not exist`, {
      hint: `Start the daemon, which creates the file: skylinedb-daemon "${file}"`,
    });
}

/** The error for a file that is not there, though its log is; `null` otherwise. */
export function movedAway(file: string): SkylineError | null {
  const log = `${file}-wal`;
  if (!statOf(log) || realPath(file) !== null) return null;
  return new SkylineError("NOT_RUNNING", `No daemon runs for ${file}: it was moved or removed`, {
    hint: `${log} is there and belongs to it: put the file back, then start the daemon.`,
  });
}

/** Paths of which the system says that they can lead to no file. */
const IMPOSSIBLE: Readonly<Record<string, string>> = {
  ENAMETOOLONG: "the name or the path is longer than the system takes",
  ELOOP: "its path leads over symbolic links that lead to one another",
};

/** `null` where there is no such file. */
function realPath(file: string): string | null {
  try {
    return realpathSync.native(file);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return null;
    const impossible = IMPOSSIBLE[code ?? ""];
    if (impossible) {
      const shown = cutText(file, SHOWN_UNITS);
      throw new SkylineError("CANNOT_OPEN", `Cannot find ${shown}: ${impossible}`, {
        cause,
        hint: "Correct the path.",
      });
    }
    throw new SkylineError("NO_PERMISSION", `Cannot find ${file}: ${message}`, {
      cause,
      hint: "Let this program's user read the folders that lead to the file.",
    });
  }
}

function statOf(path: string): Stats | null {
  try {
    return lstatSync(path);
  } catch {
    return null;
  }
}
