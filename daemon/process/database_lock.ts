/**
 * The right to serve a database file, elsewhere than on Windows: a lock on the file itself, which holds for whatever user,
 * container, mount or name leads to it. The kernel lets go of it when the process ends, however it ends.
 *
 * SQLite's locks belong to the process and the file: they are gone when the process closes any descriptor of the file. So the
 * file is opened here before SQLite opens it, closed after SQLite has closed it, and never opened in between.
 *
 * @module
 */
import { SkylineError } from "../../client/errors.ts";
import { fileIdentity } from "./file_identity.ts";
import { reasonAndHint } from "./obstacle.ts";
import { darwinFcntl, libc, openDescriptor } from "./libc.ts";

const IS_DARWIN = Deno.build.os === "darwin";
const LOCK_SH = 1, LOCK_EX = 2, LOCK_NB = 4;
/** A file is replaced between two looks at it now and then, not each time. */
const ATTEMPTS_MAX = 100;

/** Of the files whose locks this process holds: SQLite may have them open. */
const ownKeys = new Set<string>();

/** A lock on a database file. */
export interface DatabaseLock {
  /** Identity of the file that is locked: see `fileIdentity`. */
  readonly key: string;
  /** Lets go of it; only when SQLite has closed the file. */
  release(): void;
}

/**
 * Takes the lock of the file that `path` leads to; `null` when somebody has it, this process included.
 *
 * @throws {SkylineError} `CANNOT_OPEN` when the file may not be read.
 */
export function lockDatabase(path: string): DatabaseLock | null {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const { key } = fileIdentity(path);
    if (ownKeys.has(key)) return null;
    const descriptor = openDescriptor(path, { write: IS_DARWIN });
    if (descriptor < 0) {
      throw whyNot(path);
    }
    if (!take(descriptor)) {
      libc().close(descriptor);
      return null;
    }
    // Another file may have come to the path before it was opened, or after.
    if (fileIdentity(path).key === key) {
      ownKeys.add(key);
      return { key, release: () => release(key, descriptor) };
    }
    libc().close(descriptor);
  }
  throw new SkylineError(
    "CANNOT_OPEN",
    `Cannot open database ${path}: it is replaced all the time`,
  );
}

/** The call itself says nothing; this process has no lock on the file, which opening and closing it would drop. */
function whyNot(path: string): SkylineError {
  let { reason, hint }: ReturnType<typeof reasonAndHint> = {
    reason: "this user may not read or write it",
  };
  try {
    Deno.openSync(path, { read: true, write: IS_DARWIN }).close();
  } catch (error) {
    ({ reason, hint } = reasonAndHint(error));
  }
  return new SkylineError("CANNOT_OPEN", `Cannot open database ${path}: ${reason}`, { hint });
}

function release(key: string, descriptor: number): void {
  ownKeys.delete(key);
  libc().close(descriptor);
}

/** Whether somebody holds the lock of the file that `path` leads to. False where this user may not open it. */
export function isDatabaseLocked(path: string): boolean {
  if (ownKeys.has(fileIdentity(path).key)) return true;
  const descriptor = openDescriptor(path, { write: IS_DARWIN });
  if (descriptor < 0) return false;
  // On Linux it is had for a moment, in which a daemon that starts cannot have it: that one tries again.
  const isLocked = IS_DARWIN
    ? isTakenOnDarwin(descriptor)
    : libc().flock(descriptor, LOCK_SH | LOCK_NB) !== 0;
  libc().close(descriptor);
  return isLocked;
}

/** On Linux `flock`, of which SQLite's locks know nothing. On macOS the two are one facility: see {@link byteLock}. */
function take(descriptor: number): boolean {
  if (!IS_DARWIN) return libc().flock(descriptor, LOCK_EX | LOCK_NB) === 0;
  if (darwinFcntl()(descriptor, F_OFD_SETLK, byteLock()) === 0) return true;
  // Where the system has no such locks, the one on the holder's file must do.
  return !isTakenOnDarwin(descriptor);
}

const F_OFD_SETLK = 90, F_OFD_GETLK = 92;
const F_UNLCK = 2, F_WRLCK = 3;
/** Far beyond SQLite's lock bytes, 512 from 2^30 on, and beyond the end of any file. */
const LOCK_BYTE = 2n ** 62n;

/**
 * macOS's `struct flock`: a write lock on one byte of the file, which belongs to the descriptor, not to the process as SQLite's.
 */
function byteLock(): Uint8Array<ArrayBuffer> {
  const lock = new DataView(new ArrayBuffer(24));
  lock.setBigInt64(0, LOCK_BYTE, true);
  lock.setBigInt64(8, 1n, true);
  lock.setInt16(20, F_WRLCK, true);
  return new Uint8Array(lock.buffer);
}

function isTakenOnDarwin(descriptor: number): boolean {
  const lock = byteLock();
  if (darwinFcntl()(descriptor, F_OFD_GETLK, lock) !== 0) return false;
  return new DataView(lock.buffer).getInt16(20, true) !== F_UNLCK;
}
