/**
 * Values in and out of prepared statements: parameters bound, columns read as JSON text.
 *
 * @module
 */
import { Buffer, isUtf8 } from "node:buffer";
import { textOfUtf8 } from "../../client/utf8.ts";
import { blobText, rawTextText, Real, realText } from "../../client/values.ts";
import type { Blocks } from "../process/blocks.ts";
import { sqlite, type StatementHandle } from "./ffi.ts";
import { addBase64, addText } from "./long_values.ts";

/**
 * A value that can be bound: `number` is INTEGER where integral and REAL otherwise, {@link Real} always REAL, booleans
 * are 1 and 0. A `bigint` is within int64: the caller has checked.
 */
export type BindValue = null | boolean | number | bigint | string | Uint8Array<ArrayBuffer> | Real;

/** SQLITE_TRANSIENT: SQLite copies before the call returns, so that the buffer may be reused at once. */
const TRANSIENT = -1n;

const encoder = new TextEncoder();

/** Reused for every short text, in and out: a call of `encode` costs eight times as much. A Buffer, which decodes quickest. */
const scratch = Buffer.alloc(64 * 1024);
/** UTF-8 takes at most three bytes for a UTF-16 unit. */
const SCRATCH_UNITS_MAX = scratch.length / 3;

/** Binds `value` to the parameter `index` (from 1); returns SQLite's result code. */
export function bindValue(handle: StatementHandle, index: number, value: BindValue): number {
  const lib = sqlite();
  switch (typeof value) {
    case "string":
      return bindText(handle, index, value);
    case "number":
      // As `value | 0`: FFI takes no -0.
      if ((value | 0) === value) return lib.sqlite3_bind_int(handle, index, value | 0);
      if (Number.isInteger(value)) return lib.sqlite3_bind_int64(handle, index, BigInt(value));
      return lib.sqlite3_bind_double(handle, index, value);
    case "boolean":
      return lib.sqlite3_bind_int(handle, index, value ? 1 : 0);
    case "bigint":
      return lib.sqlite3_bind_int64(handle, index, value);
  }
  if (value === null) return lib.sqlite3_bind_null(handle, index);
  if (value instanceof Real) return lib.sqlite3_bind_double(handle, index, value.value);
  // FFI passes an empty buffer as a null pointer, which would be NULL.
  if (value.length === 0) return lib.sqlite3_bind_zeroblob(handle, index, 0);
  return lib.sqlite3_bind_blob(handle, index, value, value.length, TRANSIENT);
}

function bindText(handle: StatementHandle, index: number, text: string): number {
  const lib = sqlite();
  if (text.length <= SCRATCH_UNITS_MAX) {
    const { written } = encoder.encodeInto(text, scratch);
    return lib.sqlite3_bind_text(handle, index, scratch, written, TRANSIENT);
  }
  const bytes = encoder.encode(text);
  const code = lib.sqlite3_bind_text(handle, index, bytes, bytes.length, TRANSIENT);
  // At once: the collector would learn late that it is garbage.
  if (bytes.length > scratch.length) bytes.buffer.transfer(0);
  return code;
}

const INTEGER = 1, FLOAT = 2, TEXT = 3, BLOB = 4;

/**
 * The column `index` (from 0) of the current row, as JSON; `null` if its bytes are more than `bytesMax`, and its JSON so
 * all the more: many values of 16 MB would else be read into memory to find that the answer is too large.
 */
export function columnJson(
  handle: StatementHandle,
  index: number,
  bytesMax = Infinity,
): string | null {
  const lib = sqlite();
  switch (lib.sqlite3_column_type(handle, index)) {
    case INTEGER:
      return integerJson(handle, index);
    case FLOAT:
      return realText(lib.sqlite3_column_double(handle, index));
    // The length comes first: a pointer to a text may cost a copy of it, for the NUL at its end.
    case TEXT: {
      const length = lib.sqlite3_column_bytes(handle, index);
      if (length > bytesMax) return null;
      return textJson(bytesAt(lib.sqlite3_column_text(handle, index), length));
    }
    case BLOB: {
      const length = lib.sqlite3_column_bytes(handle, index);
      if (length > bytesMax) return null;
      return blobText(bytesAt(lib.sqlite3_column_blob(handle, index), length));
    }
    default:
      return "null";
  }
}

/** A number takes less time than the `bigint` that FFI makes of 64 bits; up to 2^53 it is as exact. */
function integerJson(handle: StatementHandle, index: number): string {
  const value = sqlite().sqlite3_column_double(handle, index);
  return Number.isSafeInteger(value)
    ? value.toString()
    : sqlite().sqlite3_column_int64(handle, index).toString();
}

/** Length of the column `index` (from 0) of the current row, in bytes, if it is a TEXT or a BLOB; else 0. */
export function columnLength(handle: StatementHandle, index: number): number {
  const type = sqlite().sqlite3_column_type(handle, index);
  return type === TEXT || type === BLOB ? sqlite().sqlite3_column_bytes(handle, index) : 0;
}

/** Adds the column `index` (from 0) of the current row as JSON. */
export function addColumn(blocks: Blocks, handle: StatementHandle, index: number): void {
  const length = columnLength(handle, index);
  if (length <= scratch.length) return blocks.add(columnJson(handle, index)!);
  const lib = sqlite();
  const isText = lib.sqlite3_column_type(handle, index) === TEXT;
  const pointer = isText
    ? lib.sqlite3_column_text(handle, index)
    : lib.sqlite3_column_blob(handle, index);
  // There was no memory for its copy: the next step fails with SQLITE_NOMEM.
  if (pointer === null) return blocks.add("null");
  // Its memory is SQLite's.
  const bytes = new Uint8Array(Deno.UnsafePointerView.getArrayBuffer(pointer, length));
  if (isText && isUtf8(bytes)) return addText(blocks, bytes);
  const empty = isText ? rawTextText(NO_BYTES) : blobText(NO_BYTES);
  blocks.add(empty.slice(0, -2));
  addBase64(blocks, bytes);
  blocks.add(empty.slice(-2));
}

const NO_BYTES = new Uint8Array(0);

function textJson(bytes: Uint8Array): string {
  const text = textOfUtf8(bytes);
  return text === null ? rawTextText(bytes) : JSON.stringify(text);
}

/** So many bytes of a column; valid until the next call of this function: the memory is SQLite's or the scratch buffer. */
function bytesAt(pointer: Deno.PointerValue, length: number): Uint8Array {
  if (pointer === null || length === 0) return scratch.subarray(0, 0);
  if (length > scratch.length) {
    return new Uint8Array(Deno.UnsafePointerView.getArrayBuffer(pointer, length));
  }
  const bytes = scratch.subarray(0, length);
  Deno.UnsafePointerView.copyInto(pointer, bytes);
  return bytes;
}
