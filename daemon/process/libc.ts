/**
 * The C library's calls on descriptors and signals, elsewhere than on Windows: Deno's own files cannot be locked without waiting
 * on the oldest version that is supported, and its signals cannot be ignored or given back.
 *
 * @module
 */
import { cString } from "./file_identity.ts";

const IS_DARWIN = Deno.build.os === "darwin";
const LIBRARY = IS_DARWIN ? "libSystem.B.dylib" : "libc.so.6";
const SIGHUP = 1, SIGINT = 2, SIGTERM = 15, SIGXFSZ = 25;
const SIG_IGN = 1n;
const O_RDONLY = 0, O_RDWR = 2;
const O_CLOEXEC = IS_DARWIN ? 0x1000000 : 0x80000;
/** A FIFO that took the file's place would else be waited for. */
const O_NONBLOCK = IS_DARWIN ? 4 : 0x800;

const F_SETFD = 2, FD_CLOEXEC = 1;
/** The same for macOS, where `fcntl` cannot be given a number on arm64: see {@link darwinFcntl}. */
const FIOCLEX = 0x20006601n;

const SYMBOLS = {
  close: { parameters: ["i32"], result: "i32" },
  flock: { parameters: ["i32", "i32"], result: "i32" },
  ftruncate: { parameters: ["i32", "i64"], result: "i32" },
  getrlimit: { parameters: ["i32", "buffer"], result: "i32" },
  open: { parameters: ["buffer", "i32"], result: "i32" },
  signal: { parameters: ["i32", "pointer"], result: "pointer" },
  pwrite: { parameters: ["i32", "buffer", "usize", "i64"], result: "isize" },
} as const satisfies Deno.ForeignLibraryInterface;

let opened: Deno.DynamicLibrary<typeof SYMBOLS>["symbols"] | undefined;

/** The calls. */
export function libc(): Deno.DynamicLibrary<typeof SYMBOLS>["symbols"] {
  opened ??= Deno.dlopen(LIBRARY, SYMBOLS).symbols;
  return opened;
}

/** Opens a file that is there, for children invisible; a negative number where it cannot be opened. */
export function openDescriptor(path: string, { write }: { write: boolean }): number {
  // `open` is variadic: a mode would be passed wrongly on arm64. So no file is made here.
  return libc().open(cString(path), (write ? O_RDWR : O_RDONLY) | O_NONBLOCK | O_CLOEXEC);
}

/** Where no list of this process's descriptors can be had, those below this are taken to be all. */
const DESCRIPTORS_MAX = 1_024;

/**
 * Keeps what this process has open from its children, but for the standard handles that they are given. A child takes along what a
 * shell has opened, such as a lock file or a pipe, and would hold it for as long as it lives.
 */
export function keepDescriptors(): void {
  const { fcntl, ioctl } = Deno.dlopen(LIBRARY, {
    fcntl: { parameters: ["i32", "i32", "i32"], result: "i32" },
    ioctl: { parameters: ["i32", "usize"], result: "i32" },
  }).symbols;
  for (const descriptor of descriptors()) {
    if (descriptor <= 2) continue;
    if (IS_DARWIN) ioctl(descriptor, FIOCLEX);
    else fcntl(descriptor, F_SETFD, FD_CLOEXEC);
  }
}

function descriptors(): Iterable<number> {
  try {
    return [...Deno.readDirSync("/dev/fd")].map(({ name }) => Number(name));
  } catch {
    return Array(DESCRIPTORS_MAX).keys(); // without /proc, in a bare chroot
  }
}

const RLIMIT_NOFILE = IS_DARWIN ? 8 : 7;

/** How many descriptors this process may have. */
export function descriptorsMax(): number {
  const limit = new BigUint64Array(2);
  const failed = libc().getrlimit(RLIMIT_NOFILE, new Uint8Array(limit.buffer)) !== 0;
  return failed ? Infinity : Number(limit[0]);
}

/** Has SIGINT and SIGTERM end the process at once, whatever the loop does. */
export function endAtSignals(): void {
  for (const signal of [SIGINT, SIGTERM]) libc().signal(signal, null);
}

/** Has a write past the limit of a file's size (`ulimit -f`) fail, which would else end the process with SIGXFSZ. */
export function failPastFileSizeLimit(): void {
  libc().signal(SIGXFSZ, Deno.UnsafePointer.create(SIG_IGN));
}

/** Ignores SIGHUP until it gets a listener; gives whether it was ignored before, as `nohup` asks for. */
export function ignoreHangup(): boolean {
  const before = libc().signal(SIGHUP, Deno.UnsafePointer.create(SIG_IGN));
  return Deno.UnsafePointer.value(before) === SIG_IGN;
}

/** `fcntl` with a structure; negative where it fails. */
type Fcntl = (descriptor: number, command: number, argument: Uint8Array<ArrayBuffer>) => number;

let fcntlCall: Fcntl | undefined;

/**
 * `fcntl` of macOS with a structure as its third argument. On arm64 variadic arguments lie on the stack, where the ninth one of a call
 * with fixed arguments lies too: six that nobody reads fill the registers.
 */
export function darwinFcntl(): Fcntl {
  if (fcntlCall) return fcntlCall;
  if (Deno.build.arch !== "aarch64") {
    return fcntlCall = Deno.dlopen(LIBRARY, {
      fcntl: { parameters: ["i32", "i32", "buffer"], result: "i32" },
    }).symbols.fcntl;
  }
  const { fcntl } = Deno.dlopen(LIBRARY, {
    fcntl: {
      parameters: ["i32", "i32", "usize", "usize", "usize", "usize", "usize", "usize", "buffer"],
      result: "i32",
    },
  }).symbols;
  return fcntlCall = (descriptor, command, argument) =>
    fcntl(descriptor, command, 0n, 0n, 0n, 0n, 0n, 0n, argument);
}
