/**
 * One holder per file, elsewhere than on Windows: the lock on the database file decides, and a file beside the sockets tells
 * where it is served. That one is locked as well, for as long as what it tells is true.
 *
 * @module
 */
import { join } from "node:path";
import { SkylineError } from "../../client/errors.ts";
import { runtimeFolders } from "../../client/endpoint.ts";
import { lockDatabase } from "./database_lock.ts";
import { cString, type FileFacts, fileFacts, isSameFile, look } from "./file_identity.ts";
import { type Holder, holderText, parseHolder } from "./holder.ts";
import { libc, openDescriptor } from "./libc.ts";
import { obstacleNamed, reasonAndHint } from "./obstacle.ts";
import type { InstanceLock } from "./single_instance.ts";
import { prepareRuntimeFolder } from "./runtime_folder.ts";

export { isDatabaseLocked as isLocked } from "./database_lock.ts";

const SUFFIX = ".lock";
const LOCK_SH = 1, LOCK_EX = 2, LOCK_NB = 4;

/** Takes the lock and tells who holds it; `null` when somebody has it. */
export function tryLock(path: string, holder: Holder): InstanceLock | null {
  const lock = lockDatabase(path);
  if (!lock) return null;
  let notice: Notice | null = null;
  try {
    notice = Notice.post(lock.key, holder);
  } finally {
    if (!notice) lock.release();
  }
  return notice && new UnixLock(lock.key, lock.release, notice);
}

class UnixLock implements InstanceLock {
  readonly key: string;
  readonly #releaseFile: () => void;
  #notice: Notice;

  constructor(key: string, releaseFile: () => void, notice: Notice) {
    this.key = key;
    this.#releaseFile = releaseFile;
    this.#notice = notice;
  }

  tell(holder: Holder): void {
    // Where there is no room it is tried again the next time.
    if (this.#notice.isThere) return void this.#notice.write(holder);
    const notice = Notice.post(this.key, holder);
    if (!notice) return;
    this.#notice.remove();
    this.#notice = notice;
  }

  release(): void {
    this.#notice.remove();
    this.#releaseFile();
  }
}

/** The file that tells who holds a lock. */
class Notice {
  readonly #path: string;
  readonly #cPath: Uint8Array<ArrayBuffer>;
  readonly #descriptor: number;
  readonly #facts: FileFacts = fileFacts();
  #endpoint = "";

  private constructor(path: string, descriptor: number) {
    this.#path = path;
    this.#cPath = cString(path);
    this.#descriptor = descriptor;
    look(this.#cPath, this.#facts);
  }

  /** Writes one; `null` when a process that is alive has written another. */
  static post(key: string, holder: Holder): Notice | null {
    const path = join(prepareRuntimeFolder(), key + SUFFIX);
    makeFile(path);
    const descriptor = openDescriptor(path, { write: true });
    if (descriptor < 0) return null;
    if (libc().flock(descriptor, LOCK_EX | LOCK_NB) !== 0) {
      libc().close(descriptor);
      return null;
    }
    const notice = new Notice(path, descriptor);
    if (notice.write(holder)) return notice;
    notice.remove();
    const { reason, hint } = obstacleNamed("ENOSPC")!;
    throw new SkylineError("CANNOT_OPEN", `Cannot write the file ${path}: ${reason}`, { hint });
  }

  /** Writes where it is served, unless that is written; false where there is no room for it, and none of it is there. */
  write(holder: Holder): boolean {
    if (holder.endpoint === this.#endpoint) return true;
    const bytes = new TextEncoder().encode(holderText(holder));
    libc().ftruncate(this.#descriptor, 0n);
    const isWritten = libc().pwrite(this.#descriptor, bytes, BigInt(bytes.length), 0n) ===
      BigInt(bytes.length);
    if (isWritten) this.#endpoint = holder.endpoint;
    return isWritten;
  }

  /** Whether others find it. It takes 1 µs. */
  get isThere(): boolean {
    return look(this.#cPath, found) && isSameFile(found, this.#facts);
  }

  /** Removes it, and nobody else's. */
  remove(): void {
    try {
      if (this.isThere) Deno.removeSync(this.#path);
    } catch {
      // Somebody tidied up.
    }
    libc().close(this.#descriptor);
  }
}

/** @throws {SkylineError} `CANNOT_OPEN`. */
function makeFile(path: string): void {
  try {
    Deno.openSync(path, { create: true, write: true, mode: 0o600 }).close();
  } catch (error) {
    const { reason, hint } = reasonAndHint(error);
    throw new SkylineError("CANNOT_OPEN", `Cannot make the file ${path}: ${reason}`, { hint });
  }
}

const found = fileFacts();

/** Who wrote last that it holds the lock: by now it may have been killed, or its successor not have written yet. */
export function readHolder(key: string): Holder | null {
  const texts = runtimeFolders().map((folder) => readText(join(folder, key + SUFFIX)));
  return texts.map(parseHolder).find((holder) => holder !== null) ?? null;
}

/** Who says that it holds the lock, and is alive; `null` when nobody does. */
export function findHolder(key: string): Holder | null {
  for (const folder of runtimeFolders()) {
    const path = join(folder, key + SUFFIX);
    if (isHeld(path)) return parseHolder(readText(path));
  }
  return null;
}

/** The holders of all locks that are held; files that a killed holder left are passed over. */
export function listHolders(): Holder[] {
  return noticePaths().filter(isHeld).map((path) => parseHolder(readText(path)))
    .filter((holder) => holder !== null);
}

function isHeld(path: string): boolean {
  const descriptor = openDescriptor(path, { write: false });
  if (descriptor < 0) return false;
  const held = libc().flock(descriptor, LOCK_SH | LOCK_NB) !== 0;
  libc().close(descriptor);
  return held;
}

function noticePaths(): string[] {
  return runtimeFolders().flatMap((folder) => {
    try {
      return [...Deno.readDirSync(folder)].filter(({ name }) => name.endsWith(SUFFIX))
        .map(({ name }) => join(folder, name)).sort();
    } catch {
      return []; // no daemon has ever run
    }
  });
}

function readText(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "";
  }
}
