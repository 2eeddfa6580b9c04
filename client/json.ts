/**
 * JSON as the protocol needs it: integers exact beyond 2^53, and `1.0` told from `1`.
 *
 * @module
 */
import { SkylineError } from "./errors.ts";
import { WIRE_LIMITS } from "./limits.ts";
import { textOfUtf8 } from "./utf8.ts";
import { Real } from "./values.ts";

/** A frame's JSON. */
export interface ParsedJson {
  /** The value. In an exact one a number is a `number`, a `bigint` beyond 2^53, or a {@link Real} where integral. */
  readonly value: unknown;
  /** The text that it came from. */
  readonly text: string;
}

/**
 * A number that JSON.parse would change or whose kind it would lose: 16 digits or more, an exponent, a fraction of zeros,
 * or one so near to an integer that it is rounded to it, which takes the more leading zeros or nines the fewer digits
 * stand before the point. It may match inside a string too; that costs time, not truth.
 */
const INEXACT_NUMBER =
  /(?:^|[[:,])[ \t\n\r]*-?(?:\d{16}|\d+(?:\.\d+)?[eE]|\d+\.0+(?:[ \t\n\r,\]}]|$)|\d+\.(?:0{7}|9{7})|\d{9,}\.(?:000|999)|\d{13,}\.[09])/;

/**
 * Parses a frame's body, exactly where a number in it asks for that.
 *
 * @throws {SkylineError} `INVALID_JSON`, `NESTED_TOO_DEEP`.
 */
export function decodeJson(body: Uint8Array): ParsedJson {
  const { text, hasOddNumbers } = examineJson(body);
  return { value: hasOddNumbers ? parseExact(text) : parseFast(text), text };
}

/** What is known of a frame's JSON before it is parsed. */
export interface ExaminedJson {
  readonly text: string;
  /** Whether `JSON.parse` would change a number, or lose its kind. */
  readonly hasOddNumbers: boolean;
  /** Whether `JSON.parse` may take long for it: it has very many values. */
  readonly isLong: boolean;
}

/**
 * Looks at a frame's body once, to know how to parse it.
 *
 * @throws {SkylineError} `INVALID_JSON` where it is not UTF-8, `NESTED_TOO_DEEP`.
 */
export function examineJson(body: Uint8Array): ExaminedJson {
  const scan = new Scan(body);
  scan.goOn(Infinity);
  return examined(body, scan);
}

/**
 * As {@link examineJson}, with a pause after every so many bytes.
 *
 * @throws {SkylineError} `INVALID_JSON` where it is not UTF-8, `NESTED_TOO_DEEP`.
 */
export function* examineLongJson(
  body: Uint8Array,
  pieceBytes: number,
): Generator<void, ExaminedJson> {
  const scan = new Scan(body);
  for (let until = pieceBytes; !scan.goOn(until); until += pieceBytes) yield;
  return examined(body, scan);
}

function examined(body: Uint8Array, { found }: Scan): ExaminedJson {
  const text = textOfUtf8(body);
  if (text === null) throw new SkylineError("INVALID_JSON", "The frame is not well-formed UTF-8");
  if (found === TOO_DEEP) {
    throw new SkylineError(
      "NESTED_TOO_DEEP",
      `The frame's JSON is nested deeper than ${WIRE_LIMITS.nestingMax} levels`,
    );
  }
  const hasOddNumbers = (found & ODD_NUMBER) !== 0 && INEXACT_NUMBER.test(text);
  return { text, hasOddNumbers, isLong: (found & LONG) !== 0 };
}

/**
 * Parses JSON as `JSON.parse` does.
 *
 * @throws {SkylineError} `INVALID_JSON`.
 */
export function parseFast(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new SkylineError("INVALID_JSON", `The frame is not JSON: ${(error as Error).message}`);
  }
}

const SPACE = 0x20, QUOTE = 0x22, COMMA = 0x2c, POINT = 0x2e, BACKSLASH = 0x5c, LETTER_E = 0x65;
const DIGIT_0 = 0x30, DIGIT_9 = 0x39;
const OPEN_ARRAY = 0x5b, CLOSE_ARRAY = 0x5d, OPEN_OBJECT = 0x7b, CLOSE_OBJECT = 0x7d;

/** What {@link Scan} finds, together: a number that may be inexact, very many values; or nesting that is too deep. */
const ODD_NUMBER = 1, LONG = 2, TOO_DEEP = 4;
/** JSON.parse takes up to 0.4 µs for a value, that of a new name in an object: for so many 40 ms. */
const QUICK_VALUES = 100_000;
/** So many bytes of a string are looked at one by one; of a longer one only its end is searched, which is quicker then. */
const STRING_BYTES_SCANNED = 256;
/** Fewer digits than this are exact. */
const DIGITS_EXACT = 16;

/** Looks once at the bytes between the strings: JSON.parse takes seconds for what is nested a million deep. */
class Scan {
  readonly #body: Uint8Array;
  #at = 0;
  #depth = 0;
  #digits = 0;
  #values = 0;
  /** What was found. */
  found = 0;

  constructor(body: Uint8Array) {
    this.#body = body;
  }

  /** Looks at the bytes up to about `until`; true if there are no more to look at. */
  goOn(until: number): boolean {
    const body = this.#body;
    const end = Math.min(until, body.length);
    let found = this.found, depth = this.#depth, digits = this.#digits, values = this.#values;
    let i = this.#at;
    for (; i < end; i++) {
      const byte = body[i];
      if (byte >= DIGIT_0 && byte <= DIGIT_9) {
        if (++digits === DIGITS_EXACT) found |= ODD_NUMBER;
        continue;
      }
      digits = 0;
      if (byte === QUOTE) {
        const scanned = Math.min(i + STRING_BYTES_SCANNED, body.length);
        for (i++; i < scanned && body[i] !== QUOTE; i++) {
          if (body[i] === BACKSLASH) i++;
        }
        if (i >= scanned) i = stringEnd(body, i);
      } else if (byte === OPEN_ARRAY || byte === OPEN_OBJECT) {
        if (++depth > WIRE_LIMITS.nestingMax) {
          this.found = TOO_DEEP;
          return true;
        }
        values++;
      } else if (byte === CLOSE_ARRAY || byte === CLOSE_OBJECT) {
        depth--;
      } else if (byte === COMMA) {
        values++;
      } else if (byte === POINT || (byte | 0x20) === LETTER_E) {
        found |= ODD_NUMBER;
      }
    }
    this.#at = i;
    this.#depth = depth;
    this.#digits = digits;
    this.#values = values;
    this.found = values > QUICK_VALUES ? found | LONG : found;
    return i >= body.length;
  }
}

/** Where the string that holds the byte at `from`, which no backslash stands before, ends: at its quote. */
function stringEnd(body: Uint8Array, from: number): number {
  for (let at = from;; at++) {
    at = body.indexOf(QUOTE, at);
    if (at < 0) return body.length;
    let backslashes = 0;
    while (at - backslashes > from && body[at - 1 - backslashes] === BACKSLASH) backslashes++;
    if (backslashes % 2 === 0) return at;
  }
}

/**
 * Parses JSON without losing anything: see {@link ParsedJson}. Slower than `JSON.parse`, and recursive: the caller has
 * bounded the nesting.
 *
 * @throws {SkylineError} `INVALID_JSON`.
 */
export function parseExact(text: string): unknown {
  // What follows relies on well-formed JSON, and JSON.parse knows best what that is.
  parseFast(text);
  return new ExactParser(text).value();
}

const NUMBER = /-?\d+(\.\d+)?([eE][-+]?\d+)?/y;

/** Walks well-formed JSON. */
class ExactParser {
  readonly text: string;
  #at = 0;

  constructor(text: string) {
    this.text = text;
  }

  value(): unknown {
    this.#space();
    switch (this.text[this.#at]) {
      case "{":
        return this.#object();
      case "[":
        return this.#array();
      case '"':
        return this.#string();
      case "t":
        return this.#word("true", true);
      case "f":
        return this.#word("false", false);
      case "n":
        return this.#word("null", null);
      default:
        return this.#number();
    }
  }

  #space(): void {
    // In well-formed JSON nothing else between two tokens is as low as a space.
    while (this.text.charCodeAt(this.#at) <= SPACE) this.#at++;
  }

  #number(): number | bigint | Real {
    const start = this.#at;
    NUMBER.lastIndex = start;
    NUMBER.test(this.text);
    this.#at = NUMBER.lastIndex;
    return exactNumber(this.text.slice(start, this.#at));
  }

  /** Not by a pattern: on a text of megabytes that runs out of stack. */
  #string(): string {
    const start = this.#at;
    let end = start;
    let backslashes: number;
    do {
      end = this.text.indexOf('"', end + 1);
      backslashes = 0;
      while (this.text.charCodeAt(end - 1 - backslashes) === BACKSLASH) backslashes++;
    } while (backslashes % 2 === 1);
    this.#at = end + 1;
    return JSON.parse(this.text.slice(start, this.#at));
  }

  #word<T>(word: string, value: T): T {
    this.#at += word.length;
    return value;
  }

  #array(): unknown[] {
    const array: unknown[] = [];
    this.#at++;
    this.#space();
    if (this.text[this.#at] === "]") {
      this.#at++;
      return array;
    }
    do {
      array.push(this.value());
    } while (this.#separated());
    return array;
  }

  #object(): Record<string, unknown> {
    const object: Record<string, unknown> = {};
    this.#at++;
    this.#space();
    if (this.text[this.#at] === "}") {
      this.#at++;
      return object;
    }
    do {
      this.#space();
      const name = this.#string();
      this.#space();
      this.#at++; // the colon
      // Not an assignment: that would set the prototype for the name "__proto__".
      Object.defineProperty(object, name, {
        value: this.value(),
        configurable: true,
        enumerable: true,
        writable: true,
      });
    } while (this.#separated());
    return object;
  }

  /** Steps over a comma (true) or a closing bracket (false). */
  #separated(): boolean {
    this.#space();
    return this.text[this.#at++] === ",";
  }
}

/** So many digits are a number beyond every REAL, whichever they are: the largest has 309. */
const INTEGER_LENGTH_BEYOND = 400;

/** The number that JSON writes so: see {@link ParsedJson}. Of one beyond every REAL only that it is so is kept. */
export function exactNumber(source: string): number | bigint | Real {
  const value = Number(source);
  if (/[.eE]/.test(source)) {
    return Number.isInteger(value) || !Number.isFinite(value) ? new Real(value) : value;
  }
  if (Number.isSafeInteger(value)) return value;
  // A million digits would take BigInt a tenth of a second.
  return BigInt(source.slice(0, INTEGER_LENGTH_BEYOND));
}
