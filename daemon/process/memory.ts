/**
 * The memory of this process: how much it has for itself, and giving back what it does not need.
 *
 * @module
 */
import { kernel32 } from "./kernel32.ts";

/**
 * Private memory in bytes: what nobody else could share. On Linux the anonymous pages, on Windows the private working set
 * (before Windows 10 22H2, which does not tell it, the private bytes), on macOS the footprint that Activity Monitor shows.
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

// Linux

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

// Windows: PROCESS_MEMORY_COUNTERS_EX2, of which older systems know all but the last two fields

const COUNTERS_EX_BYTES = 80, COUNTERS_EX2_BYTES = 96;
const PRIVATE_USAGE_AT = 72, PRIVATE_WORKING_SET_AT = 80;

function windowsPrivateBytes(): number | undefined {
  const { GetCurrentProcess, K32GetProcessMemoryInfo } = kernel32();
  const counters = new DataView(new ArrayBuffer(COUNTERS_EX2_BYTES));
  for (
    const [bytes, at] of [
      [COUNTERS_EX2_BYTES, PRIVATE_WORKING_SET_AT],
      [COUNTERS_EX_BYTES, PRIVATE_USAGE_AT],
    ]
  ) {
    const buffer = new Uint8Array(counters.buffer);
    const isTold = K32GetProcessMemoryInfo(GetCurrentProcess(), buffer, bytes) !== 0;
    const told = Number(counters.getBigUint64(at, true));
    if (isTold && told > 0) return told;
  }
  return undefined;
}

// macOS: rusage_info_v0

const RUSAGE_INFO_V0 = 0, RUSAGE_INFO_V0_BYTES = 96, PHYSICAL_FOOTPRINT_AT = 72;

function darwinFootprint(): number | undefined {
  try {
    const usage = new DataView(new ArrayBuffer(RUSAGE_INFO_V0_BYTES));
    const { symbols } = libSystem ??= Deno.dlopen("libSystem.B.dylib", DARWIN_SYMBOLS);
    const code = symbols.proc_pid_rusage(Deno.pid, RUSAGE_INFO_V0, new Uint8Array(usage.buffer));
    return code === 0 ? Number(usage.getBigUint64(PHYSICAL_FOOTPRINT_AT, true)) : undefined;
  } catch {
    return undefined;
  }
}

const DARWIN_SYMBOLS = {
  proc_pid_rusage: { parameters: ["i32", "i32", "buffer"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

let libSystem: Deno.DynamicLibrary<typeof DARWIN_SYMBOLS> | undefined;
