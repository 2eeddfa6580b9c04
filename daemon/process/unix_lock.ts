/**
 * One holder per file identity, elsewhere than on Windows: a lock file beside the sockets, held by `flock`. The kernel
 * lets go of it when the process ends, however it ends.
 *
 * @module
 */
import { join } from "node:path";
import { runtimeFolder } from "../../client/endpoint.ts";
import { type Holder, holderText, parseHolder } from "./holder.ts";
import type { InstanceLock } from "./single_instance.ts";
import { prepareRuntimeFolder } from "./runtime_folder.ts";

const SUFFIX = ".lock";
const ATTEMPTS_MAX = 100;
const O_RDWR = 2;
const O_CLOEXEC = Deno.build.os === "darwin" ? 0x1000000 : 0x80000;
const LOCK_SH = 1, LOCK_EX = 2, LOCK_NB = 4;

const SYMBOLS = {
  close: { parameters: ["i32"], result: "i32" },
  flock: { parameters: ["i32", "i32"], result: "i32" },
  ftruncate: { parameters: ["i32", "i64"], result: "i32" },
  open: { parameters: ["buffer", "i32"], result: "i32" },
  pwrite: { parameters: ["i32", "buffer", "usize", "i64"], result: "isize" },
} as const satisfies Deno.ForeignLibraryInterface;

let opened: Deno.DynamicLibrary<typeof SYMBOLS>["symbols"] | undefined;

function libc(): Deno.DynamicLibrary<typeof SYMBOLS>["symbols"] {
  opened ??= Deno.dlopen(
    Deno.build.os === "darwin" ? "libSystem.B.dylib" : "libc.so.6",
    SYMBOLS,
  ).symbols;
  return opened;
}

/** Takes the lock and writes the holder into it; `null` when somebody has it. */
export function tryLock(key: string, holder: Holder): InstanceLock | null {
  const path = join(prepareRuntimeFolder(), key + SUFFIX);
  // No two attempts write the same text, so reading it back tells whether the path still leads to the locked file.
  const text = holderText(holder) + crypto.randomUUID() + "\n";
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    // `open` is variadic: its mode would be passed wrongly on arm64. So the file is there before.
    Deno.openSync(path, { create: true, write: true, mode: 0o600 }).close();
    const descriptor = openDescriptor(path);
    if (descriptor < 0) continue;
    if (libc().flock(descriptor, LOCK_EX | LOCK_NB) !== 0) {
      libc().close(descriptor);
      return null;
    }
    writeText(descriptor, text);
    if (readText(path) === text) return { release: () => release(path, descriptor) };
    // The last holder removed the file after it was opened here: this lock is of no use to anyone.
    libc().close(descriptor);
  }
  throw new Error(`Cannot write the lock file ${path}`);
}

/** Only the holder may remove the file, and only before it lets go. */
function release(path: string, descriptor: number): void {
  try {
    Deno.removeSync(path);
  } catch {
    // Somebody tidied up; the lock itself is let go below.
  }
  libc().close(descriptor);
}

/** Who wrote last that it holds the lock: by now it may have been killed, or its successor not have written yet. */
export function readHolder(key: string): Holder | null {
  return parseHolder(readText(join(runtimeFolder(), key + SUFFIX)).split("\n", 1)[0]);
}

/** Who holds the lock; `null` when nobody does. */
export function findHolder(key: string): Holder | null {
  const descriptor = openDescriptor(join(runtimeFolder(), key + SUFFIX));
  if (descriptor < 0) return null;
  const held = libc().flock(descriptor, LOCK_SH | LOCK_NB) !== 0;
  libc().close(descriptor);
  return held ? readHolder(key) : null;
}

/** The holders of all locks that are held; files that a killed holder left are passed over. */
export function listHolders(): Holder[] {
  return lockedKeys().map(findHolder).filter((holder) => holder !== null);
}

function lockedKeys(): string[] {
  try {
    return [...Deno.readDirSync(runtimeFolder())].filter(({ name }) => name.endsWith(SUFFIX))
      .map(({ name }) => name.slice(0, -SUFFIX.length)).sort();
  } catch {
    return []; // no daemon has ever run
  }
}

function openDescriptor(path: string): number {
  return libc().open(new TextEncoder().encode(path + "\0"), O_RDWR | O_CLOEXEC);
}

function writeText(descriptor: number, text: string): void {
  const bytes = new TextEncoder().encode(text);
  libc().ftruncate(descriptor, 0n);
  libc().pwrite(descriptor, bytes, BigInt(bytes.length), 0n);
}

function readText(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "";
  }
}
