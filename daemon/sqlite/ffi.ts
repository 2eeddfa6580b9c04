/**
 * SQLite's C interface through FFI: the symbols, opened once a process.
 *
 * @module
 */
import {
  copiedLibrary,
  findLibrary,
  type Library,
  loadError,
  unpackedLibrary,
  withUnpackedLibrary,
} from "./library.ts";

/** A pointer to a `sqlite3`. */
export type DatabaseHandle = Deno.PointerObject;
/** A pointer to a `sqlite3_stmt`. */
export type StatementHandle = Deno.PointerObject;

// `sqlite3_db_config` is variadic. Apple's ABI for ARM passes variadic arguments on the stack, as it does with a plain
// function's ninth and later ones: six that fill the registers bring the real ones to where they are looked for.
const VARIADIC_PADDING = Deno.build.os === "darwin" && Deno.build.arch === "aarch64" ? 6 : 0;

/**
 * A function that may call back into this program has no result here; `sqlite3_extended_errcode` has it. V8 ends the
 * process ("Lazy deopt after a fast API call with return value is unsupported") when a callback changes what its optimised
 * caller took for granted: https://github.com/denoland/deno/issues/31122. Callbacks are the authorizer, the progress handler
 * and the WAL hook; a call on another thread is not such a call.
 */
const SYMBOLS = {
  sqlite3_libversion_number: { parameters: [], result: "i32" },
  sqlite3_libversion_number_off_loop: {
    name: "sqlite3_libversion_number",
    parameters: [],
    result: "i32",
    nonblocking: true,
  },
  sqlite3_libversion: { parameters: [], result: "pointer" },
  /** Since 3.31. */
  sqlite3_hard_heap_limit64: { parameters: ["i64"], result: "i64", optional: true },

  sqlite3_open_v2: { parameters: ["buffer", "buffer", "i32", "pointer"], result: "i32" },
  sqlite3_close: { parameters: ["pointer"], result: "i32" },
  sqlite3_extended_result_codes: { parameters: ["pointer", "i32"], result: "i32" },
  sqlite3_extended_errcode: { parameters: ["pointer"], result: "i32" },
  /** Of the last call on this connection that failed in the system. */
  sqlite3_system_errno: { parameters: ["pointer"], result: "i32" },
  sqlite3_errmsg: { parameters: ["pointer"], result: "pointer" },
  sqlite3_db_config: {
    parameters: ["pointer", "i32", ...Array<"i64">(VARIADIC_PADDING).fill("i64"), "i64", "pointer"],
    result: "i32",
  },
  sqlite3_db_readonly: { parameters: ["pointer", "buffer"], result: "i32" },
  sqlite3_db_status: {
    parameters: ["pointer", "i32", "buffer", "buffer", "i32"],
    result: "i32",
  },
  sqlite3_limit: { parameters: ["pointer", "i32", "i32"], result: "i32" },
  sqlite3_file_control: { parameters: ["pointer", "buffer", "i32", "buffer"], result: "i32" },
  sqlite3_set_authorizer: { parameters: ["pointer", "function", "pointer"], result: "i32" },
  sqlite3_progress_handler: {
    parameters: ["pointer", "i32", "function", "pointer"],
    result: "void",
  },
  sqlite3_wal_hook: { parameters: ["pointer", "function", "pointer"], result: "pointer" },
  sqlite3_db_release_memory: { parameters: ["pointer"], result: "i32" },
  sqlite3_interrupt: { parameters: ["pointer"], result: "void" },
  sqlite3_get_autocommit: { parameters: ["pointer"], result: "i32" },
  sqlite3_changes: { parameters: ["pointer"], result: "i32" },
  sqlite3_total_changes: { parameters: ["pointer"], result: "i32" },
  sqlite3_last_insert_rowid: { parameters: ["pointer"], result: "i64" },
  sqlite3_set_last_insert_rowid: { parameters: ["pointer", "i64"], result: "void" },
  sqlite3_wal_checkpoint_v2: {
    parameters: ["pointer", "pointer", "i32", "buffer", "buffer"],
    result: "i32",
  },
  sqlite3_wal_checkpoint_v2_off_loop: {
    name: "sqlite3_wal_checkpoint_v2",
    parameters: ["pointer", "pointer", "i32", "buffer", "buffer"],
    result: "i32",
    nonblocking: true,
  },

  sqlite3_prepare_v3: {
    parameters: ["pointer", "buffer", "i32", "u32", "buffer", "buffer"],
    result: "void",
  },
  sqlite3_prepare_v3_off_loop: {
    name: "sqlite3_prepare_v3",
    parameters: ["pointer", "buffer", "i32", "u32", "buffer", "buffer"],
    result: "void",
    nonblocking: true,
  },
  sqlite3_step: { parameters: ["pointer"], result: "void" },
  sqlite3_step_off_loop: {
    name: "sqlite3_step",
    parameters: ["pointer"],
    result: "i32",
    nonblocking: true,
  },
  // Ours, in the library that is built: see tools/sqlite_watched.c.
  skylinedb_initialize: { parameters: ["i32"], result: "i32", optional: true },
  skylinedb_prepare: {
    parameters: ["pointer", "buffer", "i32", "u32", "buffer", "i32"],
    result: "void",
    optional: true,
  },
  skylinedb_prepare_off_loop: {
    name: "skylinedb_prepare",
    parameters: ["pointer", "buffer", "i32", "u32", "buffer", "i32"],
    result: "void",
    nonblocking: true,
    optional: true,
  },
  skylinedb_step: { parameters: ["pointer", "i32"], result: "void", optional: true },
  skylinedb_step_off_loop: {
    name: "skylinedb_step",
    parameters: ["pointer", "i32"],
    result: "i32",
    nonblocking: true,
    optional: true,
  },
  skylinedb_free: { parameters: ["pointer"], result: "void", optional: true },
  skylinedb_ended: { parameters: [], result: "i32", optional: true },
  skylinedb_look_at_clock: { parameters: ["pointer", "i32"], result: "void", optional: true },

  sqlite3_reset: { parameters: ["pointer"], result: "void" },
  sqlite3_clear_bindings: { parameters: ["pointer"], result: "i32" },
  sqlite3_finalize: { parameters: ["pointer"], result: "void" },
  sqlite3_stmt_status: { parameters: ["pointer", "i32", "i32"], result: "i32" },
  sqlite3_stmt_readonly: { parameters: ["pointer"], result: "i32" },
  sqlite3_bind_parameter_count: { parameters: ["pointer"], result: "i32" },
  sqlite3_bind_parameter_name: { parameters: ["pointer", "i32"], result: "pointer" },
  sqlite3_bind_null: { parameters: ["pointer", "i32"], result: "i32" },
  sqlite3_bind_int: { parameters: ["pointer", "i32", "i32"], result: "i32" },
  sqlite3_bind_int64: { parameters: ["pointer", "i32", "i64"], result: "i32" },
  sqlite3_bind_double: { parameters: ["pointer", "i32", "f64"], result: "i32" },
  sqlite3_bind_text: { parameters: ["pointer", "i32", "buffer", "i32", "i64"], result: "i32" },
  sqlite3_bind_blob: { parameters: ["pointer", "i32", "buffer", "i32", "i64"], result: "i32" },
  sqlite3_bind_zeroblob: { parameters: ["pointer", "i32", "i32"], result: "i32" },
  sqlite3_column_count: { parameters: ["pointer"], result: "i32" },
  sqlite3_column_name: { parameters: ["pointer", "i32"], result: "pointer" },
  sqlite3_column_type: { parameters: ["pointer", "i32"], result: "i32" },
  sqlite3_column_int64: { parameters: ["pointer", "i32"], result: "i64" },
  sqlite3_column_double: { parameters: ["pointer", "i32"], result: "f64" },
  sqlite3_column_text: { parameters: ["pointer", "i32"], result: "pointer" },
  sqlite3_column_blob: { parameters: ["pointer", "i32"], result: "pointer" },
  sqlite3_column_bytes: { parameters: ["pointer", "i32"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

/** SQLite's functions. */
export type Sqlite = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

/**
 * Memory that SQLite may have, of all databases together, in bytes: past it a statement fails with SQLITE_NOMEM. Only what is
 * made to use memory comes near it, such as large values by the dozen.
 */
const HEAP_BYTES_MAX = 256n * 1024n * 1024n;

/** Memory that one statement may take while it is prepared, in bytes: 100 KB of SQL, the longest that clients send, take some 5 MB. */
export const COMPILE_BYTES_MAX: number = 32 * 1024 * 1024;

let loaded: Sqlite | undefined;

/**
 * Opens the library at the first call. It is never closed: a call after that would be a segmentation fault.
 *
 * @throws {SkylineError} `CANNOT_OPEN` when there is no library, or it is older than what the daemon calls (3.20).
 */
export function sqlite(): Sqlite {
  return loaded ??= open(findLibrary());
}

function open({ path, origin }: Library): Sqlite {
  const load = (path: string) => {
    const symbols = openLibrary(path);
    symbols.skylinedb_initialize?.(COMPILE_BYTES_MAX);
    symbols.sqlite3_hard_heap_limit64?.(HEAP_BYTES_MAX);
    return symbols;
  };
  if (origin !== "bundled") return load(path);
  const isWindows = Deno.build.os === "windows";
  try {
    return load(isWindows ? copiedLibrary(path) : unpackedLibrary(path));
  } catch {
    // The folder's file system may not allow programs; on Windows Deno unpacks it.
    return isWindows ? load(path) : withUnpackedLibrary(path, load);
  }
}

function openLibrary(path: string): Sqlite {
  try {
    return Deno.dlopen(path, SYMBOLS).symbols;
  } catch (error) {
    throw loadError(path, error);
  }
}

/** The arguments of `sqlite3_db_config` for an option that is on or off. */
export function databaseConfig(handle: DatabaseHandle, option: number, value: number): number {
  const call = sqlite().sqlite3_db_config as (...args: unknown[]) => number;
  return call(handle, option, ...Array<bigint>(VARIADIC_PADDING).fill(0n), BigInt(value), null);
}

/** The library's version as a number, such as 3053002 for 3.53.2. */
export function sqliteVersionNumber(): number {
  return sqlite().sqlite3_libversion_number();
}

/** Goes to another thread and comes back. */
export async function visitOtherThread(): Promise<void> {
  await sqlite().sqlite3_libversion_number_off_loop();
}

/** The library's version, such as `3.53.2`. */
export function sqliteVersion(): string {
  return Deno.UnsafePointerView.getCString(sqlite().sqlite3_libversion()!);
}

/**
 * Before this version a checkpoint and a write at the same moment on two connections could corrupt a WAL
 * (https://sqlite.org/wal.html, "the WAL-reset bug").
 */
export const SAFE_CHECKPOINT_VERSION = 3_051_003;

const encoder = new TextEncoder();

/** A text as SQLite takes file names and SQL: UTF-8, ended by a NUL. */
export function cString(text: string): Uint8Array<ArrayBuffer> {
  const length = encoder.encode(text);
  const bytes = new Uint8Array(length.length + 1);
  bytes.set(length);
  return bytes;
}
