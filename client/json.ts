/**
 * JSON as the protocol needs it: integers exact beyond 2^53, `1.0` told from `1`, and the source text of nested values.
 *
 * @module
 */
import { SkylineError } from "./errors.ts";
import { WIRE_LIMITS } from "./limits.ts";
import { Real } from "./values.ts";

/** A frame's JSON. In an exact tree a number is a `number`, a `bigint` beyond 2^53, or a {@link Real} where integral. */
export interface ParsedJson {
  /** The value. Without {@link ParsedJson.sourceOf}, every integral `number` in it was written as an integer. */
  readonly value: unknown;
  /** The text that it came from. */
  readonly text: string;
  /** The source text of an object or array of this tree; only an exact parse knows it. */
  readonly sourceOf?: (node: object) => string;
}

// A byte order mark is data here: the default would drop it.
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * A number that JSON.parse would change or whose kind it would lose: 16 digits or more, an exponent, a fraction of zeros.
 * It may match inside a string too; that costs time, not truth.
 */
const INEXACT_NUMBER = /[[:,][ \t\n\r]*-?(?:\d{16}|\d+(?:\.\d+)?[eE]|\d+\.0+[ \t\n\r,\]}])/;

/**
 * Parses a frame's body, exactly where a number in it asks for that.
 *
 * @throws {SkylineError} `INVALID_JSON`, `NESTED_TOO_DEEP`.
 */
export function decodeJson(body: Uint8Array): ParsedJson {
  let text: string;
  try {
    text = decoder.decode(body);
  } catch {
    throw new SkylineError("INVALID_JSON", "The frame is not well-formed UTF-8");
  }
  if (nestingOver(body, WIRE_LIMITS.nestingMax)) {
    throw new SkylineError(
      "NESTED_TOO_DEEP",
      `The frame's JSON is nested deeper than ${WIRE_LIMITS.nestingMax} levels`,
    );
  }
  if (INEXACT_NUMBER.test(text)) return parseExact(text);
  return { value: parseFast(text), text };
}

function parseFast(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new SkylineError("INVALID_JSON", `The frame is not JSON: ${(error as Error).message}`);
  }
}

const QUOTE = 0x22, BACKSLASH = 0x5c;
const OPEN_ARRAY = 0x5b, CLOSE_ARRAY = 0x5d, OPEN_OBJECT = 0x7b, CLOSE_OBJECT = 0x7d;

function nestingOver(body: Uint8Array, max: number): boolean {
  let depth = 0;
  for (let i = 0; i < body.length; i++) {
    const byte = body[i];
    if (byte === QUOTE) {
      for (i++; i < body.length && body[i] !== QUOTE; i++) {
        if (body[i] === BACKSLASH) i++;
      }
    } else if (byte === OPEN_ARRAY || byte === OPEN_OBJECT) {
      if (++depth > max) return true;
    } else if (byte === CLOSE_ARRAY || byte === CLOSE_OBJECT) {
      depth--;
    }
  }
  return false;
}

/**
 * Parses JSON without losing anything: see {@link ParsedJson}. Slower than `JSON.parse`, and recursive: the caller has
 * bounded the nesting.
 *
 * @throws {SkylineError} `INVALID_JSON`.
 */
export function parseExact(text: string): ParsedJson & Required<Pick<ParsedJson, "sourceOf">> {
  // What follows relies on well-formed JSON, and JSON.parse knows best what that is.
  parseFast(text);
  const sources = new WeakMap<object, readonly [number, number]>();
  const value = new ExactParser(text, sources).value();
  const sourceOf = (node: object): string => text.slice(...(sources.get(node) ?? [0, 0]));
  return { value, text, sourceOf };
}

const NUMBER = /-?\d+(\.\d+)?([eE][-+]?\d+)?/y;
const STRING = /"(?:[^"\\]|\\.)*"/y;
const SPACE = /[ \t\n\r]*/y;

/** Walks well-formed JSON. */
class ExactParser {
  #at = 0;

  constructor(
    readonly text: string,
    readonly sources: WeakMap<object, readonly [number, number]>,
  ) {}

  value(): unknown {
    this.#token(SPACE);
    switch (this.text[this.#at]) {
      case "{":
        return this.#noted(() => this.#object());
      case "[":
        return this.#noted(() => this.#array());
      case '"':
        return JSON.parse(this.#token(STRING));
      case "t":
        return this.#word("true", true);
      case "f":
        return this.#word("false", false);
      case "n":
        return this.#word("null", null);
      default:
        return exactNumber(this.#token(NUMBER));
    }
  }

  #token(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const token = pattern.exec(this.text)![0];
    this.#at += token.length;
    return token;
  }

  #word<T>(word: string, value: T): T {
    this.#at += word.length;
    return value;
  }

  #noted<T extends object>(parse: () => T): T {
    const start = this.#at;
    const node = parse();
    this.sources.set(node, [start, this.#at]);
    return node;
  }

  #array(): unknown[] {
    const array: unknown[] = [];
    this.#at++;
    this.#token(SPACE);
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
    this.#token(SPACE);
    if (this.text[this.#at] === "}") {
      this.#at++;
      return object;
    }
    do {
      this.#token(SPACE);
      const name = JSON.parse(this.#token(STRING)) as string;
      this.#token(SPACE);
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
    this.#token(SPACE);
    return this.text[this.#at++] === ",";
  }
}

function exactNumber(source: string): number | bigint | Real {
  if (/[.eE]/.test(source)) {
    const value = Number(source);
    return Number.isInteger(value) || !Number.isFinite(value) ? new Real(value) : value;
  }
  const value = Number(source);
  return Number.isSafeInteger(value) ? value : BigInt(source);
}
