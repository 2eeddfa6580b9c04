/**
 * SQL of one or more statements.
 *
 * @module
 */
import { RESULT, SqliteError } from "./errors.ts";
import { cString } from "./ffi.ts";

const SEMICOLON = 0x3b, DASH = 0x2d, SLASH = 0x2f, STAR = 0x2a, NEWLINE = 0x0a;

/**
 * SQL that is prepared statement by statement: it is encoded once, and knows how far it was taken. To encode what is left
 * for each statement would take time in the square of the statements.
 */
export class Script {
  /** All of it, whatever was taken. */
  readonly sql: string;
  /** In UTF-8, ended by a NUL. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  #at = 0;

  /** @throws {SqliteError} where there is a NUL: SQLite would take what is before it. */
  constructor(sql: string) {
    if (sql.includes("\0")) throw new SqliteError(RESULT.ERROR, "the SQL holds a NUL character");
    this.sql = sql;
    this.bytes = cString(sql);
  }

  /** The byte at which the next statement begins. */
  get at(): number {
    return this.#at;
  }

  /** Whether all was taken. */
  get isAtEnd(): boolean {
    return this.#at >= this.#end;
  }

  get #end(): number {
    return this.bytes.length - 1;
  }

  /** The SQL that was not taken yet. */
  get rest(): string {
    return this.#text(this.#at, this.#end);
  }

  /** The SQL from where it was taken up to byte `to`, which is taken by this. */
  take(to: number): string {
    const text = this.#text(this.#at, to);
    this.#at = to;
    return text;
  }

  /** Decoded, not a part of the text: one that is remembered would hold all of it. */
  #text(from: number, to: number): string {
    if (from >= to) return "";
    return from === 0 && to >= this.#end ? this.sql : decoder.decode(this.bytes.subarray(from, to));
  }

  /** Whether white space, semicolons and comments are all that was not taken yet. */
  get isBlank(): boolean {
    const { bytes } = this;
    let at = this.#at;
    while (at < this.#end) {
      const byte = bytes[at];
      if (isSpace(byte) || byte === SEMICOLON) {
        at++;
      } else if (byte === DASH && bytes[at + 1] === DASH) {
        at = bytes.indexOf(NEWLINE, at);
        if (at < 0) return true;
      } else if (byte === SLASH && bytes[at + 1] === STAR && at + 2 < this.#end) {
        at = commentEnd(bytes, at + 2);
        if (at < 0) return true; // SQLite takes a comment without an end for one up to the end
      } else {
        // White space that is none in SQL.
        return byte > 0x7f && decoder.decode(bytes.subarray(at, -1)).trim() === "";
      }
    }
    return true;
  }
}

function commentEnd(bytes: Uint8Array, from: number): number {
  for (let star = bytes.indexOf(STAR, from); star >= 0; star = bytes.indexOf(STAR, star + 1)) {
    if (bytes[star + 1] === SLASH) return star + 2;
  }
  return -1;
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte >= 0x09 && byte <= 0x0d;
}

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
