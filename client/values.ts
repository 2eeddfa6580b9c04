/**
 * SQLite's values as JavaScript holds them and as the wire writes them; exact both ways.
 *
 * | SQLite | JavaScript | JSON |
 * |---|---|---|
 * | NULL | `null` | `null` |
 * | INTEGER | `number`, `bigint` beyond 2^53 | digits without point or exponent |
 * | REAL | `number`; {@link Real} where it is integral and sent | with point or exponent, or `{"$real":…}` |
 * | TEXT | `string` | string; `{"$text":base64}` when it is not valid UTF-8 |
 * | BLOB | `Uint8Array` | `{"$blob":base64}` |
 *
 * @module
 */
import { Buffer } from "node:buffer";

/** A floating-point number that stays one even where it is integral: SQLite tells `1.0` from `1`. Made by {@link real}. */
export class Real {
  /** The number. */
  readonly value: number;

  /** Holds `value`, which may be infinite. */
  constructor(value: number) {
    this.value = value;
  }
}

/** A value that is stored as its JSON text. Made by {@link json}. */
export class Json {
  /** The JSON text. */
  readonly text: string;

  /** Holds the text. */
  constructor(text: string) {
    this.text = text;
  }
}

/** A value that SQLite returns: NULL, INTEGER or REAL, TEXT, BLOB. */
export type SqlValue = null | number | bigint | string | Uint8Array;

/** A value that can be given as a parameter: booleans become 1 and 0, the bytes of any view or buffer a BLOB. */
export type SqlParameter = SqlValue | boolean | ArrayBufferView | ArrayBuffer | Real | Json;

/** Parameters of a statement: by position, or by bare name (`{ id: 1 }` for `:id`, `@id` or `$id`). */
export type SqlParameters = readonly SqlParameter[] | { readonly [name: string]: SqlParameter };

/**
 * Sends a number as REAL even where it is integral.
 *
 * @throws {RangeError} for NaN, which SQLite has no value for.
 */
export function real(value: number): Real {
  if (Number.isNaN(value)) throw new RangeError("NaN has no value in SQLite; use null");
  return new Real(value);
}

/**
 * Sends a value as its JSON text, for columns that SQLite's JSON functions read.
 *
 * @throws {TypeError} when the value has no JSON text, such as a function or a cycle.
 */
export function json(value: unknown): Json {
  const text = JSON.stringify(value);
  if (text === undefined) throw new TypeError("This value has no JSON text");
  return new Json(text);
}

/** Smallest INTEGER. */
export const INTEGER_MIN = -(2n ** 63n);
/** Largest INTEGER. */
export const INTEGER_MAX = 2n ** 63n - 1n;

/** Writes a REAL as JSON, with a point or an exponent so that it stays one; infinity as `{"$real":"Infinity"}`. */
export function realText(value: number): string {
  if (!Number.isFinite(value)) return `{"$real":"${value}"}`;
  if (Object.is(value, -0)) return "-0.0";
  const text = String(value);
  return Number.isInteger(value) && !text.includes("e") ? text + ".0" : text;
}

/** Writes a BLOB as JSON. */
export function blobText(bytes: ArrayBufferView): string {
  return `{"$blob":"${base64(bytes)}"}`;
}

/** Writes TEXT that is not valid UTF-8 as JSON. */
export function rawTextText(bytes: Uint8Array): string {
  return `{"$text":"${base64(bytes)}"}`;
}

/**
 * Base64 with padding. By the engine's own function where it has one: the text of a Buffer's lies outside of the heap,
 * where the collector learns late that it is not needed any more.
 */
function base64({ buffer, byteOffset, byteLength }: ArrayBufferView): string {
  const bytes: Uint8Array & { toBase64?(): string } = new Uint8Array(
    buffer,
    byteOffset,
    byteLength,
  );
  return bytes.toBase64?.() ?? Buffer.from(buffer, byteOffset, byteLength).toString("base64");
}

const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

/** Reads base64 with padding; `null` when it is not that. */
export function bytesOfBase64(text: unknown): Uint8Array<ArrayBuffer> | null {
  if (typeof text !== "string" || text.length % 4 !== 0 || !BASE64.test(text)) return null;
  const buffer = Buffer.from(text, "base64");
  // A small one lies in a pool that Buffer shares among many: who gets it must not see, nor keep, the others.
  return buffer.byteLength === buffer.buffer.byteLength
    ? new Uint8Array(buffer.buffer)
    : new Uint8Array(buffer);
}

/**
 * Writes a parameter as JSON.
 *
 * @throws {TypeError} for what SQLite has no value for: `undefined`, a plain object (use {@link json}), a Date, text with
 * a lone surrogate.
 * @throws {RangeError} for NaN and for a bigint beyond int64.
 */
export function parameterText(value: SqlParameter): string {
  switch (typeof value) {
    case "string":
      return stringText(value);
    case "number":
      return numberText(value);
    case "bigint":
      if (value < INTEGER_MIN || value > INTEGER_MAX) {
        throw new RangeError(`${value} is beyond SQLite's integers, which are of 64 bits`);
      }
      return value.toString();
    case "boolean":
      return value ? "1" : "0";
  }
  if (value === null) return "null";
  if (ArrayBuffer.isView(value)) return blobText(value);
  if (value instanceof Real) return realText(value.value);
  if (value instanceof Json) return stringText(value.text);
  if (isArrayBuffer(value)) return blobText(new Uint8Array(value));
  throw new TypeError(
    `A parameter is ${
      describe(value)
    }: pass null, a number, bigint, boolean, string or Uint8Array, or json(value)`,
  );
}

/** Also of another realm, such as `node:vm` or a test runner, where `instanceof` says no. */
export function isArrayBuffer(value: unknown): value is ArrayBuffer {
  return Object.prototype.toString.call(value) === "[object ArrayBuffer]";
}

function describe(value: unknown): string {
  if (value === undefined) return "undefined";
  return typeof value === "object"
    ? `a ${value?.constructor?.name ?? "object"}`
    : `a ${typeof value}`;
}

function stringText(value: string): string {
  if (!value.isWellFormed()) {
    throw new TypeError("A text parameter holds half a surrogate pair, which UTF-8 cannot hold");
  }
  return JSON.stringify(value);
}

function numberText(value: number): string {
  if (Number.isNaN(value)) throw new RangeError("NaN has no value in SQLite; use null");
  // An integral number beyond 2^53 may have been rounded already, so it is not passed off as an exact INTEGER.
  if (Number.isSafeInteger(value) && !Object.is(value, -0)) return String(value);
  return realText(value);
}

/** How the client returns INTEGER: `auto`, as `number` where exact and `bigint` beyond; `bigint`, always as that. */
export type Integers = "auto" | "bigint";

/** Reads a value of an answer, parsed by `decodeJson`. */
export function valueOfJson(value: unknown, integers: Integers): SqlValue {
  if (typeof value === "number") {
    return integers === "bigint" && Number.isInteger(value) ? BigInt(value) : value;
  }
  if (value instanceof Real) return value.value;
  if (typeof value !== "object" || value === null) return value as SqlValue;
  const { $blob, $text, $real } = value as { $blob?: string; $text?: string; $real?: unknown };
  if ($blob !== undefined) return bytesOfBase64($blob) ?? new Uint8Array(0);
  // Not valid UTF-8, so it is not a string: the bytes are what the database holds.
  if ($text !== undefined) return bytesOfBase64($text) ?? new Uint8Array(0);
  return Number($real);
}
