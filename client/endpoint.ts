/**
 * Where a database's daemon listens: a rule over the file alone, the same for the daemon and for every client.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { lstatSync, realpathSync, type Stats } from "node:fs";
import process from "node:process";
import { Buffer } from "node:buffer";
import { SkylineError } from "./errors.ts";

const WINDOWS = process.platform === "win32";
const PIPE_FOLDER = "\\\\.\\pipe\\";
const HASH_DIGITS = 16;
const PLAIN_NAME = /^[A-Za-z0-9._-]{1,64}$/;
/** The shortest of the systems' bounds, macOS's 104 bytes, less the NUL; what the rules below make is shorter. */
const SOCKET_PATH_BYTES_MAX = 103;

/**
 * The endpoint of an existing database file: a pipe's name on Windows, a socket's path elsewhere. All spellings of a
 * path lead to the same one. A look-up: nothing is created, and whether a daemon listens there is not known.
 *
 * @throws {SkylineError} `NOT_RUNNING` when the file does not exist, `NO_PERMISSION` when the system hides it.
 */
export function endpointOf(file: string): string {
  const hash = hashOfRealPath(realPath(file), WINDOWS);
  return WINDOWS ? `${PIPE_FOLDER}skylinedb-${hash}` : `${runtimeFolder()}/${hash}.sock`;
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
  return WINDOWS ? PIPE_FOLDER + name : `${runtimeFolder()}/${name}.sock`;
}

/**
 * The folder of this user's sockets, which the daemon creates: below `/run/user/UID` where that is this user's, else in
 * `/tmp`. Never from the environment, or cron, sudo and a desktop would each get a daemon of its own.
 *
 * @throws {SkylineError} `NO_PERMISSION` when somebody else has made or may write the folder in `/tmp`: what listens
 * there may be anybody's.
 */
export function runtimeFolder(): string {
  const user = process.getuid!();
  const session = `/run/user/${user}`;
  const found = statOf(session);
  if (found?.isDirectory() && found.uid === user) return `${session}/skylinedb`;
  const folder = `/tmp/skylinedb-${user}`;
  const made = statOf(folder);
  if (made && !(made.isDirectory() && made.uid === user && (made.mode & 0o022) === 0)) {
    throw new SkylineError("NO_PERMISSION", `${folder} is not this user's own folder`, {
      hint: `Find out who made ${folder} and remove it; it must belong to user ${user}, mode 0700.`,
    });
  }
  return folder;
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

function realPath(file: string): string {
  try {
    return realpathSync.native(file);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") {
      throw new SkylineError(
        "NOT_RUNNING",
        `No daemon runs for ${file}: the file does not exist`,
        { cause, hint: `Start the daemon, which creates the file: skylinedb-daemon "${file}"` },
      );
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
