/**
 * At most one daemon serves a database file, whatever spelling of its path it was started with: the lock is on the
 * file's identity, and says who holds it.
 *
 * @module
 */
import process from "node:process";
import { type LockOwner, lockOwner, outOfReach } from "../../client/lock_owner.ts";
import { fileIdentity } from "./file_identity.ts";
import { AlreadyRunningError, type Holder } from "./holder.ts";
import * as unix from "./unix_lock.ts";
import * as windows from "./windows_lock.ts";

export { AlreadyRunningError, type Holder } from "./holder.ts";

/** A lock on a file's identity. */
export interface InstanceLock {
  /** The identity: see `fileIdentity`. */
  readonly key: string;
  /** Makes sure that others find who holds it, also where somebody has removed what tells them. */
  tell(holder: Holder): void;
  /** Lets go of it. */
  release(): void;
}

/** The right to serve one file, until it is released or the process ends. */
export class Instance implements Disposable {
  #lock: InstanceLock | null;

  /** Wraps the lock; made by {@link acquireInstance}. */
  constructor(lock: InstanceLock) {
    this.#lock = lock;
  }

  /** The file that it is for: see `fileIdentity`. */
  get key(): string | undefined {
    return this.#lock?.key;
  }

  /** Makes sure that others find who serves the file. It takes 1 µs when they do. */
  tell(holder: Holder): void {
    this.#lock?.tell(holder);
  }

  /** Lets the next one have it, only when SQLite has closed the file. Calling it again does nothing. */
  release(): void {
    this.#lock?.release();
    this.#lock = null;
  }

  /** The same as {@link Instance.release}. */
  [Symbol.dispose](): void {
    this.release();
  }
}

const locks = Deno.build.os === "windows" ? windows : unix;

/**
 * How long a start waits for a holder that has not said yet who it is, whose words somebody has removed, or that is just
 * ending.
 */
const HOLDER_WAIT_MS = 1_500;
const RETRY_MS = 10;

/**
 * Takes the right to serve the existing file at `path`, and says to others who has it.
 *
 * @throws {AlreadyRunningError} when another process of this user, or this one, serves that file.
 * @throws {SkylineError} `CANNOT_OPEN`; within two seconds `NO_PERMISSION` or `NOT_RUNNING` where whoever serves it is found in
 * none of this user's folders.
 */
export async function acquireInstance(path: string, holder: Holder): Promise<Instance> {
  const { key } = fileIdentity(path);
  const deadline = performance.now() + HOLDER_WAIT_MS;
  for (;;) {
    const lock = locks.tryLock(path, holder);
    if (lock) return new Instance(lock);
    const late = performance.now() >= deadline;
    const found = locks.readHolder(key);
    // A holder that is not alive is one that was killed: its successor is about to write itself there.
    if (found && (isAlive(found.pid) || late && locks.findHolder(key))) {
      throw new AlreadyRunningError(found);
    }
    if (late) throw outOfReach(path, ownerOf(path));
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

/** As {@link acquireInstance}, without waiting; `null` when the file is served. */
export function tryInstance(path: string, holder: Holder): Instance | null {
  const lock = locks.tryLock(path, holder);
  return lock && new Instance(lock);
}

/** Who serves the file at `path`; `null` when nobody does, or nobody that is found in this user's folders. */
export function findInstance(path: string): Holder | null {
  return locks.findHolder(fileIdentity(path).key);
}

/** Who serves the file at `path`, not found by {@link findInstance}: another user, or one in another container. */
export function findStranger(path: string): LockOwner | null {
  return locks.isLocked(path) ? ownerOf(path) : lockOwner(path);
}

function ownerOf(path: string): LockOwner {
  return lockOwner(path) ?? { pid: 0 };
}

/** All databases of this user that are served now, each with who serves it. */
export function listInstances(): Holder[] {
  return locks.listHolders();
}

function isAlive(pid: number): boolean {
  // On Windows the system removes what a dead holder wrote.
  if (Deno.build.os === "windows") return true;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as { code?: string }).code === "EPERM";
  }
}
