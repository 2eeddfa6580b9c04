/**
 * The memory of this process: how much it has for itself, and giving back what it does not need.
 *
 * @module
 */
import { kernel32 } from "./kernel32.ts";
import { LIMITS } from "./limits.ts";

/**
 * Private memory in bytes: what nobody else could share. On Linux the anonymous pages, on Windows the private working set
 * (before Windows 10 22H2, which does not tell it, what is committed), on macOS the footprint that Activity Monitor shows.
 * `undefined` where the system does not tell it.
 */
export function privateBytes(): number | undefined {
  switch (Deno.build.os) {
    case "windows":
      return windowsPrivateBytes();
    case "darwin":
      return darwinFootprint();
    default:
      return anonymousBytes();
  }
}

/**
 * Gives back what this process does not need: collects garbage, shrinks the heap, and then returns what the C library has
 * free. V8 does none of this by itself without traffic. Each step holds the loop for a moment, 20 ms at most for the
 * heap of a daemon at rest; between them the caller can let others go on, or leave it at that.
 */
export function* giveBack(): Generator<void> {
  const gc = collector();
  // The first frees most, so that the second, which collects twice and moves what is left together, is short.
  gc?.({ type: "major" });
  yield;
  gc?.({ type: "major", flavor: "last-resort" });
  yield;
  trim();
}

let garbageBytes = 0;
let collectedAt = -Infinity;
let collecting: ReturnType<typeof setTimeout> | undefined;

/**
 * So many bytes of long texts are not needed any more. V8 lets such lie until its heap has tripled, which may be hundreds of
 * megabytes; so now and then the garbage is collected, which holds the loop for some 10 ms.
 */
export function noteGarbage(bytes: number): void {
  const { bytes: max, pauseMs } = LIMITS.garbage;
  garbageBytes += bytes;
  if (garbageBytes < max) return;
  collecting ??= setTimeout(() => {
    collecting = undefined;
    garbageBytes = 0;
    collector()?.({ type: "major" });
    collectedAt = performance.now();
  }, Math.max(0, collectedAt + pauseMs - performance.now()));
}

function collector(): ((options: object) => void) | undefined {
  return (globalThis as { gc?: (options: object) => void }).gc;
}

function trim(): void {
  switch (Deno.build.os) {
    case "windows": {
      const { GetCurrentProcess, GetProcessHeap, HeapCompact, SetProcessWorkingSetSize } =
        kernel32();
      HeapCompact(GetProcessHeap(), 0);
      // What is needed again comes back from the system's list of pages, without a disk.
      SetProcessWorkingSetSize(GetCurrentProcess(), ALL_PAGES, ALL_PAGES);
      return;
    }
    case "darwin":
      darwin()?.malloc_zone_pressure_relief(null, 0n);
      return;
    default:
      glibc()?.malloc_trim(0n);
  }
}

// Linux

const GLIBC = {
  mallopt: { parameters: ["i32", "i32"], result: "i32" },
  malloc_trim: { parameters: ["usize"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

let givesBackLargePieces = false;
const M_TRIM_THRESHOLD = -1, M_MMAP_THRESHOLD = -3;

/**
 * Has large pieces of memory given back to the system at once when they are freed: the C library keeps those that it takes for
 * usual, and after a few requests of 10 MB that is nearly all. Elsewhere than with glibc it is so, or cannot be asked for. To be
 * called when the first large one comes, as it takes a millisecond, which a start should not.
 */
export function giveBackLargePieces(): void {
  if (givesBackLargePieces) return;
  givesBackLargePieces = true;
  const { mappedBytes, keptBytes } = LIMITS.largePieces;
  glibc()?.mallopt(M_MMAP_THRESHOLD, mappedBytes);
  // Else it would stay at 128 KiB from now on: a request of 64 KB took twice as long.
  glibc()?.mallopt(M_TRIM_THRESHOLD, keptBytes);
}

const glibc = once(() =>
  Deno.build.os === "linux" ? Deno.dlopen("libc.so.6", GLIBC).symbols : null
);

function anonymousBytes(): number | undefined {
  try {
    const kilobytes = /^Pss_Anon:\s+(\d+) kB$/m.exec(
      Deno.readTextFileSync("/proc/self/smaps_rollup"),
    );
    return kilobytes === null ? undefined : Number(kilobytes[1]) * 1024;
  } catch {
    return undefined; // Without /proc, or before Linux 5.4.
  }
}

// Windows

/** What SetProcessWorkingSetSize takes for: as few pages as possible for now. */
const ALL_PAGES = 2n ** 64n - 1n;

// PROCESS_MEMORY_COUNTERS_EX2, of which older systems know the beginning
const COUNTERS_BYTES = 72, COUNTERS_EX2_BYTES = 96;
const PAGEFILE_USAGE_AT = 56, PRIVATE_WORKING_SET_AT = 80;

function windowsPrivateBytes(): number | undefined {
  const { GetCurrentProcess, K32GetProcessMemoryInfo } = kernel32();
  const counters = new DataView(new ArrayBuffer(COUNTERS_EX2_BYTES));
  for (
    const [bytes, at] of [
      [COUNTERS_EX2_BYTES, PRIVATE_WORKING_SET_AT],
      [COUNTERS_BYTES, PAGEFILE_USAGE_AT],
    ]
  ) {
    const buffer = new Uint8Array(counters.buffer);
    const isTold = K32GetProcessMemoryInfo(GetCurrentProcess(), buffer, bytes) !== 0;
    const told = Number(counters.getBigUint64(at, true));
    if (isTold && told > 0) return told;
  }
  return undefined;
}

// macOS

// rusage_info_v0
const RUSAGE_INFO_V0 = 0, RUSAGE_INFO_V0_BYTES = 96, PHYSICAL_FOOTPRINT_AT = 72;

const DARWIN = {
  malloc_zone_pressure_relief: { parameters: ["pointer", "usize"], result: "usize" },
  proc_pid_rusage: { parameters: ["i32", "i32", "buffer"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

const darwin = once(() => Deno.dlopen("libSystem.B.dylib", DARWIN).symbols);

function darwinFootprint(): number | undefined {
  const usage = new DataView(new ArrayBuffer(RUSAGE_INFO_V0_BYTES));
  const buffer = new Uint8Array(usage.buffer);
  const isTold = darwin()?.proc_pid_rusage(Deno.pid, RUSAGE_INFO_V0, buffer) === 0;
  return isTold ? Number(usage.getBigUint64(PHYSICAL_FOOTPRINT_AT, true)) : undefined;
}

/** Opens a library at the first call; `null` where there is none of that name, as without glibc. */
function once<T>(open: () => T): () => T | null {
  let opened: T | null | undefined;
  return () => {
    if (opened !== undefined) return opened;
    try {
      return opened = open();
    } catch {
      return opened = null;
    }
  };
}
