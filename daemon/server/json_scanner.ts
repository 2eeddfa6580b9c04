/**
 * Stepping over JSON: everything is checked, and only what is asked for becomes a value.
 *
 * @module
 */
import { SkylineError } from "../../client/errors.ts";
import { exactNumber } from "../../client/json.ts";
import { WIRE_LIMITS } from "../../client/limits.ts";

/** Codes of characters that a value may start with, and that end it. */
export const QUOTE = 0x22,
  OPEN_ARRAY = 0x5b,
  CLOSE_ARRAY = 0x5d,
  OPEN_OBJECT = 0x7b,
  CLOSE_OBJECT = 0x7d;
const DOLLAR = 0x24;
const TAB = 0x09, LINE_FEED = 0x0a, RETURN = 0x0d, SPACE = 0x20;
const PLUS = 0x2b, COMMA = 0x2c, MINUS = 0x2d, POINT = 0x2e;
const DIGIT_0 = 0x30, DIGIT_9 = 0x39, COLON = 0x3a, BACKSLASH = 0x5c, LETTER_U = 0x75;

/** Integers of so many digits are exact as they are added up. */
const DIGITS_SAFE = 15;
/** What may follow a backslash, but for `u` and four digits. */
const ESCAPED = new Set([...'"\\/bfnrt'].map((letter) => letter.charCodeAt(0)));

/** An array or object that was checked and not built. */
export class Nested {
  /** Its source. */
  readonly text: string;
  /** Whether all its strings are well-formed: escapes may make half a surrogate pair. */
  readonly isWellFormed: boolean;

  /** Holds the source. */
  constructor(text: string, isWellFormed: boolean) {
    this.text = text;
    this.isWellFormed = isWellFormed;
  }
}

/**
 * A place in a JSON text whose nesting is within bounds. Methods step over what starts at it, and throw a {@link SkylineError}
 * `INVALID_JSON` where that is not JSON.
 */
export class JsonScanner {
  readonly text: string;
  at = 0;
  /** Whether the string that was stepped over last has escapes. */
  hasEscapes = false;
  /** Whether since this was set the outermost object had a name that starts with a dollar, or with an escape. */
  hasSpecialName = false;
  /** Whether no string since this was set holds half a surrogate pair. */
  isWellFormed = true;
  /** What brackets are open in what is stepped over, and how many. */
  readonly open = new Uint8Array(WIRE_LIMITS.nestingMax + 1);
  depth = 0;

  /** Starts at the beginning. */
  constructor(text: string) {
    this.text = text;
  }

  /** A value; an array or an object is only stepped over. */
  value(): unknown {
    const start = this.at;
    const code = this.text.charCodeAt(start);
    if (code === QUOTE) {
      this.skipString();
      return this.stringFrom(start);
    }
    if (code === OPEN_ARRAY || code === OPEN_OBJECT) {
      this.isWellFormed = true;
      this.skip();
      return new Nested(this.text.slice(start, this.at), this.isWellFormed);
    }
    return code === MINUS || code >= DIGIT_0 && code <= DIGIT_9 ? this.number() : this.word();
  }

  /** The string that was stepped over last, and that starts here. */
  stringFrom(start: number): string {
    return this.hasEscapes
      ? JSON.parse(this.text.slice(start, this.at))
      : this.text.slice(start + 1, this.at - 1);
  }

  /** A number, exactly. */
  number(): unknown {
    const start = this.at;
    let at = start;
    const isNegative = this.text.charCodeAt(at) === MINUS;
    if (isNegative) at++;
    const first = at;
    let value = 0;
    let code = this.text.charCodeAt(at);
    for (; code >= DIGIT_0 && code <= DIGIT_9; code = this.text.charCodeAt(++at)) {
      value = value * 10 + code - DIGIT_0;
    }
    this.at = at;
    const digits = at - first;
    if (digits === 0 || digits > 1 && this.text.charCodeAt(first) === DIGIT_0) this.fail();
    const isReal = code === POINT || (code | 0x20) === 0x65;
    if (isReal) this.fraction();
    else if (digits <= DIGITS_SAFE) return isNegative ? -value : value;
    return exactNumber(this.text.slice(start, this.at));
  }

  fraction(): void {
    if (this.isAt(POINT)) {
      this.at++;
      this.digits();
    }
    if ((this.text.charCodeAt(this.at) | 0x20) !== 0x65) return;
    this.at++;
    if (this.isAt(PLUS) || this.isAt(MINUS)) this.at++;
    this.digits();
  }

  digits(): void {
    const start = this.at;
    let code;
    do code = this.text.charCodeAt(this.at++); while (code >= DIGIT_0 && code <= DIGIT_9);
    if (--this.at === start) this.fail();
  }

  /** `null`, `true` or `false`. */
  word(): unknown {
    for (const [word, value] of [["null", null], ["true", true], ["false", false]] as const) {
      if (!this.text.startsWith(word, this.at)) continue;
      this.at += word.length;
      return value;
    }
    this.fail();
  }

  /** Steps over a value. */
  skip(): void {
    this.depth = 0;
    this.goOn(Infinity);
  }

  /**
   * Goes on stepping over a value, up to about the place `until`; true if it is over. Without recursion: that takes twice as
   * long. It begins with a depth of 0; {@link JsonScanner.open} tells where it is.
   */
  goOn(until: number): boolean {
    const open = this.open;
    let depth = this.depth;
    for (;;) {
      if (this.at > until) {
        this.depth = depth;
        return false;
      }
      this.space();
      const code = this.text.charCodeAt(this.at);
      if (code === OPEN_ARRAY || code === OPEN_OBJECT) {
        this.at++;
        this.space();
        // The closing bracket's code is 2 more than the opening one's.
        if (this.isAt(code + 2)) this.at++;
        else {
          open[depth++] = code;
          if (code === OPEN_OBJECT) this.skipName(depth);
          continue;
        }
      } else if (code === QUOTE) this.skipString();
      else this.skipScalar(code);
      // After a value.
      for (;; depth--) {
        if (depth === 0) return true;
        const bracket = open[depth - 1];
        if (!this.separated(bracket + 2)) continue;
        if (bracket === OPEN_OBJECT) this.skipName(depth);
        break;
      }
    }
  }

  skipName(depth: number): void {
    this.space();
    if (depth === 1) {
      const first = this.text.charCodeAt(this.at + 1);
      if (first === DOLLAR || first === BACKSLASH) this.hasSpecialName = true;
    }
    this.skipString();
    this.colon();
  }

  skipScalar(code: number): void {
    if (code !== MINUS && !(code >= DIGIT_0 && code <= DIGIT_9)) {
      this.word();
      return;
    }
    if (code === MINUS) this.at++;
    const isZero = this.isAt(DIGIT_0);
    const start = this.at;
    this.digits();
    if (isZero && this.at > start + 1) this.fail();
    this.fraction();
  }

  skipString(): void {
    const text = this.text;
    if (!this.isAt(QUOTE)) this.fail();
    let at = this.at + 1;
    let code = text.charCodeAt(at);
    while (code !== QUOTE && code !== BACKSLASH && code >= SPACE) code = text.charCodeAt(++at);
    this.at = at;
    this.hasEscapes = code === BACKSLASH;
    if (this.hasEscapes) this.skipEscaped();
    else if (code !== QUOTE) this.fail();
    this.at++;
  }

  /** Steps on to the quote that ends a string, from its first backslash. */
  skipEscaped(): void {
    const text = this.text;
    let at = this.at;
    /** Where the second half of a surrogate pair has to be. */
    let second = -1;
    for (let code = text.charCodeAt(at); code !== QUOTE; code = text.charCodeAt(at)) {
      // Past the end it is NaN.
      if (!(code >= SPACE)) this.fail(at);
      if (code !== BACKSLASH) {
        at++;
        continue;
      }
      const letter = text.charCodeAt(at + 1);
      if (letter !== LETTER_U) {
        if (!ESCAPED.has(letter)) this.fail(at);
        at += 2;
        continue;
      }
      const unit = this.unit(at + 2);
      if (unit >= 0xd800 && unit < 0xdc00) {
        if (second >= 0) this.isWellFormed = false;
        second = at + 6;
      } else if (unit >= 0xdc00 && unit < 0xe000) {
        if (second !== at) this.isWellFormed = false;
        second = -1;
      }
      at += 6;
    }
    if (second >= 0) this.isWellFormed = false;
    this.at = at;
  }

  /** What four digits are. */
  unit(at: number): number {
    let unit = 0;
    for (let i = at; i < at + 4; i++) {
      const code = this.text.charCodeAt(i);
      const letter = code | 0x20;
      if (code >= DIGIT_0 && code <= DIGIT_9) unit = unit * 16 + code - DIGIT_0;
      else if (letter >= 0x61 && letter <= 0x66) unit = unit * 16 + letter - 0x57;
      else this.fail(i);
    }
    return unit;
  }

  space(): void {
    let code = this.text.charCodeAt(this.at);
    while (code === SPACE || code === LINE_FEED || code === RETURN || code === TAB) {
      code = this.text.charCodeAt(++this.at);
    }
  }

  isAt(code: number): boolean {
    return this.text.charCodeAt(this.at) === code;
  }

  colon(): void {
    this.space();
    if (!this.isAt(COLON)) this.fail();
    this.at++;
    this.space();
  }

  /** Steps over a comma (true) or the closing bracket (false). */
  separated(closing: number): boolean {
    this.space();
    const code = this.text.charCodeAt(this.at++);
    if (code === COMMA) return true;
    if (code === closing) return false;
    this.fail(this.at - 1);
  }

  fail(at = this.at): never {
    const found = at < this.text.length
      ? JSON.stringify(this.text.slice(at, at + 1).toWellFormed())
      : "its end";
    throw new SkylineError("INVALID_JSON", `The frame is not JSON: ${found} at ${at}`);
  }
}
