/**
 * One holder per file identity on Windows: a named mutex, which the system lets go when the process ends, and a named
 * section of memory that says who holds it. Neither leaves a file behind.
 *
 * @module
 */
import { fileIdentity } from "./file_identity.ts";
import { type Holder, holderText, parseHolder } from "./holder.ts";
import { kernel32, wideString } from "./kernel32.ts";
import { objectNames } from "./object_directory.ts";
import type { InstanceLock } from "./single_instance.ts";

const PREFIX = "skylinedb-";
const WAIT_OBJECT_0 = 0, WAIT_ABANDONED = 0x80;
const INVALID_HANDLE = Deno.UnsafePointer.create(2n ** 64n - 1n);
const PAGE_READWRITE = 4, FILE_MAP_WRITE = 2, FILE_MAP_READ = 4;

/** Room for the holder: the longest path has 32,767 UTF-16 units, of at most 3 bytes each, JSON's escapes aside. */
const SECTION_BYTES = 256 * 1024;

const ownKeys = new Set<string>();

/** Takes the lock and writes the holder beside it; `null` when somebody has it. */
export function tryLock(path: string, holder: Holder): InstanceLock | null {
  const { key } = fileIdentity(path);
  // A mutex is its thread's: the one that has it would be given it a second time.
  if (ownKeys.has(key)) return null;
  const mutex = kernel32().CreateMutexW(null, 0, wideString(`Global\\${PREFIX}${key}`));
  // Another user's mutex may not even be opened.
  if (mutex === null) return null;
  const outcome = kernel32().WaitForSingleObject(mutex, 0);
  if (outcome !== WAIT_OBJECT_0 && outcome !== WAIT_ABANDONED) {
    kernel32().CloseHandle(mutex);
    return null;
  }
  const section = createSection(key, holderText(holder));
  ownKeys.add(key);
  return {
    key,
    tell() {}, // neither can be removed
    release() {
      ownKeys.delete(key);
      if (section !== null) kernel32().CloseHandle(section);
      kernel32().ReleaseMutex(mutex);
      kernel32().CloseHandle(mutex);
    },
  };
}

/** Whether somebody holds the lock, of whatever session or user. */
export function isLocked(path: string): boolean {
  const { key } = fileIdentity(path);
  if (ownKeys.has(key)) return true;
  const mutex = kernel32().CreateMutexW(null, 0, wideString(`Global\\${PREFIX}${key}`));
  if (mutex === null) return true;
  const outcome = kernel32().WaitForSingleObject(mutex, 0);
  const isFree = outcome === WAIT_OBJECT_0 || outcome === WAIT_ABANDONED;
  if (isFree) kernel32().ReleaseMutex(mutex);
  kernel32().CloseHandle(mutex);
  return !isFree;
}

/** Services may make a section for all sessions, ordinary users only one for their own. */
function sectionNames(key: string): string[] {
  return [`Global\\${PREFIX}${key}`, `Local\\${PREFIX}${key}`].map((name) => name + "-holder");
}

function createSection(key: string, text: string): Deno.PointerValue {
  for (const name of sectionNames(key)) {
    const section = kernel32().CreateFileMappingW(
      INVALID_HANDLE,
      null,
      PAGE_READWRITE,
      0,
      SECTION_BYTES,
      wideString(name),
    );
    if (section === null) continue;
    const view = kernel32().MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, 0n);
    if (view === null) continue;
    const bytes = new Uint8Array(Deno.UnsafePointerView.getArrayBuffer(view, SECTION_BYTES));
    const encoded = new TextEncoder().encode(text);
    // A reader may have kept the section of the last holder alive: its text ends where this one's does.
    bytes.set(encoded);
    bytes[encoded.length] = 0;
    kernel32().UnmapViewOfFile(view);
    return section;
  }
  return null;
}

/** Who holds the lock. Also `null` while the holder has not written itself yet, or is another user. */
export function readHolder(key: string): Holder | null {
  for (const name of sectionNames(key)) {
    const holder = readSection(name);
    if (holder) return holder;
  }
  return null;
}

export { readHolder as findHolder };

/** The holders of all locks whose sections this user may read. */
export function listHolders(): Holder[] {
  return objectNames((name) => name.startsWith(PREFIX) && name.endsWith("-holder"))
    .map(readSection).filter((holder) => holder !== null);
}

function readSection(name: string): Holder | null {
  const section = kernel32().OpenFileMappingW(FILE_MAP_READ, 0, wideString(name));
  if (section === null) return null;
  const view = kernel32().MapViewOfFile(section, FILE_MAP_READ, 0, 0, 0n);
  const text = view === null ? "" : Deno.UnsafePointerView.getCString(view);
  if (view !== null) kernel32().UnmapViewOfFile(view);
  kernel32().CloseHandle(section);
  return parseHolder(text);
}
