/**
 * Calls of SQLite that compile SQL, which may take long without asking anybody. In the library that is built they are
 * watched: see `tools/sqlite_watched.c`. In another one they take as long as they like.
 *
 * @module
 */
import { RESULT, SqliteError } from "./errors.ts";
import {
  COMPILE_BYTES_MAX,
  cString,
  type DatabaseHandle,
  sqlite,
  type StatementHandle,
} from "./ffi.ts";

const PREPARE_PERSISTENT = 1;
/** Until it is interrupted. */
const UNTIL_INTERRUPTED = -1;
/** In the results of our own calls, why one was ended. */
const ENDED_SHIFT = 24;
const ENDED_BY_BYTES = 2;

/** What is to be prepared. */
export interface Preparable {
  readonly database: DatabaseHandle;
  /** Ended by a NUL. */
  readonly text: Uint8Array<ArrayBuffer>;
  /** Whether the statement is kept for long. */
  readonly persistent: boolean;
}

/** What an authorizer is asked: https://sqlite.org/c3ref/set_authorizer.html */
export interface Asked {
  readonly action: number;
  readonly first: string | null;
  readonly second: string | null;
  readonly schema: string | null;
  /** Whether a trigger or a view asks. */
  readonly fromSchema: boolean;
}

/** What came of it. */
export interface Outcome {
  /** `null` where white space and comments are all, and after a failure. */
  readonly handle: Deno.PointerValue;
  /** Bytes of the text that it took. */
  readonly taken: number;
  /** An extended result code. */
  readonly code: number;
  /** What the authorizer is to be asked before it is stepped. */
  readonly asked?: readonly Asked[];
}

/**
 * Prepares a statement; ends with SQLITE_INTERRUPT once that took `withinMs`; 0: it takes what it needs.
 *
 * @throws {SqliteError} SQLITE_INTERRUPT, SQLITE_TOOBIG.
 */
export function prepareWithin(preparable: Preparable, withinMs: number): Outcome {
  const { database, text } = preparable;
  const lib = sqlite();
  const { out, outBytes, flags } = callOf(preparable);
  if (lib.skylinedb_prepare === null) {
    lib.sqlite3_prepare_v3(database, text, text.length, flags, outBytes, outBytes.subarray(8));
    return unwatched(preparable, out);
  }
  lib.skylinedb_prepare(database, text, text.length, flags, outBytes, withinMs);
  return watched(out);
}

/**
 * {@link prepareWithin} on another thread, until it is interrupted.
 *
 * @throws {SqliteError} SQLITE_INTERRUPT, SQLITE_TOOBIG.
 */
export async function prepareOffLoop(preparable: Preparable): Promise<Outcome> {
  const { database, text } = preparable;
  const lib = sqlite();
  const { out, outBytes, flags } = callOf(preparable);
  // Deno has a function for what runs on another thread also where the library has none.
  if (lib.skylinedb_prepare === null) {
    const tail = outBytes.subarray(8);
    await lib.sqlite3_prepare_v3_off_loop(database, text, text.length, flags, outBytes, tail);
    return unwatched(preparable, out);
  }
  const ms = UNTIL_INTERRUPTED;
  await lib.skylinedb_prepare_off_loop!(database, text, text.length, flags, outBytes, ms);
  const asked = takeAsked(out);
  return { ...watched(out), asked };
}

/**
 * SQL of which nearly nothing has to be prepared but the schema read. A step of it reads nothing, but looks whether another program
 * has changed the schema.
 */
export const READS_SCHEMA = "SELECT 1 FROM main.sqlite_master LIMIT 0";

/** Has a connection read its schema on another thread, where it has not; an error is for who needs it. */
export async function readSchemaOffLoop(database: DatabaseHandle): Promise<void> {
  const { handle } = await prepareOffLoop({
    database,
    text: cString(READS_SCHEMA),
    persistent: false,
  });
  if (handle !== null) sqlite().sqlite3_finalize(handle);
}

/** Where a preparation leaves its results, and its flags. */
function callOf({ persistent }: Preparable) {
  const out = new BigInt64Array(5);
  const outBytes = new Uint8Array(out.buffer);
  return { out, outBytes, flags: persistent ? PREPARE_PERSISTENT : 0 };
}

function watched(out: BigInt64Array): Outcome {
  const code = withoutEnd(Number(out[2]));
  return { handle: Deno.UnsafePointer.create(BigInt(out[0])), taken: Number(out[1]), code };
}

function takeAsked(out: BigInt64Array): Asked[] {
  const pointer = Deno.UnsafePointer.create(out[3]);
  if (pointer === null) return [];
  try {
    const bytes = new Uint8Array(Deno.UnsafePointerView.getArrayBuffer(pointer, Number(out[4])));
    return [...entries(bytes)];
  } finally {
    sqlite().skylinedb_free!(pointer);
  }
}

function* entries(bytes: Uint8Array): Generator<Asked> {
  let at = 1;
  const text = (isThere: number) => {
    if (isThere === 0) return null;
    const end = bytes.indexOf(0, at);
    const decoded = decoder.decode(bytes.subarray(at, end));
    at = end + 1;
    return decoded;
  };
  while (at < bytes.length) {
    const [action, bits] = bytes.subarray(at, at + 2);
    at += 2;
    const first = text(bits & 1), second = text(bits & 2), schema = text(bits & 4);
    yield { action, first, second, schema, fromSchema: (bits & 8) !== 0 };
  }
}

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

function unwatched({ database, text }: Preparable, out: BigInt64Array): Outcome {
  const code = sqlite().sqlite3_extended_errcode(database);
  const begin = BigInt(Deno.UnsafePointer.value(Deno.UnsafePointer.of(text)));
  return { handle: Deno.UnsafePointer.create(out[0]), taken: Number(out[1] - begin), code };
}

/**
 * Runs a step; should it prepare its statement anew, for a change of the schema, that ends with SQLITE_INTERRUPT once it took
 * `withinMs`. The connection has its result code.
 */
export function stepWithin(statement: StatementHandle, withinMs: number): void {
  const lib = sqlite();
  if (lib.skylinedb_step === null) lib.sqlite3_step(statement);
  else lib.skylinedb_step(statement, withinMs);
}

/**
 * Gives `code`, of a {@link stepWithin} that failed.
 *
 * @throws {SqliteError} SQLITE_INTERRUPT, SQLITE_TOOBIG where it was ended: SQLite may call that what it likes.
 */
export function withoutEndOfStep(code: number): number {
  return withoutEnd(code | (sqlite().skylinedb_ended?.() ?? 0) << ENDED_SHIFT);
}

/**
 * Runs a step on another thread; to prepare anew can be interrupted. Gives the extended result code.
 *
 * @throws {SqliteError} SQLITE_INTERRUPT, SQLITE_TOOBIG.
 */
export async function stepOffLoop(statement: StatementHandle): Promise<number> {
  const lib = sqlite();
  if (lib.skylinedb_step === null) return await lib.sqlite3_step_off_loop(statement);
  return withoutEnd(await lib.skylinedb_step_off_loop!(statement, UNTIL_INTERRUPTED));
}

function withoutEnd(code: number): number {
  const ended = code >>> ENDED_SHIFT;
  if (ended === 0) return code;
  if (ended === ENDED_BY_BYTES) {
    const mebibytes = COMPILE_BYTES_MAX / 1024 / 1024;
    throw new SqliteError(
      RESULT.TOOBIG,
      `to prepare the SQL takes over ${mebibytes} MiB of memory`,
    );
  }
  throw new SqliteError(RESULT.INTERRUPT, "interrupted");
}
