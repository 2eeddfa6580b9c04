/**
 * The Windows calls that `process/` needs and Deno does not offer, opened at the first use.
 *
 * @module
 */

const SYMBOLS = {
  CloseHandle: { parameters: ["pointer"], result: "i32" },
  CreateFileW: {
    parameters: ["buffer", "u32", "u32", "pointer", "u32", "u32", "pointer"],
    result: "pointer",
  },
  CreateFileMappingW: {
    parameters: ["pointer", "pointer", "u32", "u32", "u32", "buffer"],
    result: "pointer",
  },
  CreateMutexW: { parameters: ["pointer", "i32", "buffer"], result: "pointer" },
  GetConsoleProcessList: { parameters: ["buffer", "u32"], result: "u32" },
  GetCurrentProcess: { parameters: [], result: "pointer" },
  GetDriveTypeW: { parameters: ["buffer"], result: "u32" },
  GetFileInformationByHandle: { parameters: ["pointer", "buffer"], result: "i32" },
  GetProcessHeap: { parameters: [], result: "pointer" },
  GetStdHandle: { parameters: ["u32"], result: "pointer" },
  HeapCompact: { parameters: ["pointer", "u32"], result: "usize" },
  K32GetProcessMemoryInfo: { parameters: ["pointer", "buffer", "u32"], result: "i32" },
  MapViewOfFile: {
    parameters: ["pointer", "u32", "u32", "u32", "usize"],
    result: "pointer",
  },
  OpenFileMappingW: { parameters: ["u32", "i32", "buffer"], result: "pointer" },
  OpenProcess: { parameters: ["u32", "i32", "u32"], result: "pointer" },
  ProcessIdToSessionId: { parameters: ["u32", "buffer"], result: "i32" },
  ReleaseMutex: { parameters: ["pointer"], result: "i32" },
  SetHandleInformation: { parameters: ["pointer", "u32", "u32"], result: "i32" },
  SetProcessWorkingSetSize: { parameters: ["pointer", "usize", "usize"], result: "i32" },
  UnmapViewOfFile: { parameters: ["pointer"], result: "i32" },
  WaitForSingleObject: { parameters: ["pointer", "u32"], result: "u32" },
} as const satisfies Deno.ForeignLibraryInterface;

let opened: Deno.DynamicLibrary<typeof SYMBOLS>["symbols"] | undefined;

/**
 * The calls, by name. None of them is asked for `GetLastError`: between two foreign calls the runtime itself may
 * change it, so each caller decides by the result alone.
 */
export function kernel32(): Deno.DynamicLibrary<typeof SYMBOLS>["symbols"] {
  opened ??= Deno.dlopen("kernel32.dll", SYMBOLS).symbols;
  return opened;
}

/** A text as the W calls take it: UTF-16 with a terminating zero. */
export function wideString(text: string): Uint8Array<ArrayBuffer> {
  const units = new Uint16Array(text.length + 1);
  for (let i = 0; i < text.length; i++) units[i] = text.charCodeAt(i);
  return new Uint8Array(units.buffer);
}

/** Whether this process is the only one of its console: it was started by a double-click, not from a shell. */
export function ownsConsole(): boolean {
  return kernel32().GetConsoleProcessList(new Uint8Array(8), 2) === 1;
}

const STD_INPUT_HANDLE = -10, STD_OUTPUT_HANDLE = -11, STD_ERROR_HANDLE = -12;
const HANDLE_FLAG_INHERIT = 1;

/**
 * Keeps this process's standard handles from its children. A child takes every inheritable handle along, whatever its
 * own standard handles are: a script that reads the parent's output to its end would wait for the child as well.
 */
export function keepStandardHandles(): void {
  for (const which of [STD_INPUT_HANDLE, STD_OUTPUT_HANDLE, STD_ERROR_HANDLE]) {
    const handle = kernel32().GetStdHandle(which >>> 0);
    if (handle !== null) kernel32().SetHandleInformation(handle, HANDLE_FLAG_INHERIT, 0);
  }
}
