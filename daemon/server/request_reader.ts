/**
 * Requests read from JSON exactly, and no further than they are looked at: only known fields, statements and parameters become
 * values. What is nested in a parameter stays text, checked but not built: ten megabytes of `[[],[],…]` would take seconds. Long
 * ones are read in pieces, so that others are served meanwhile.
 *
 * @module
 */
import { WIRE_LIMITS } from "../../client/limits.ts";
import {
  CLOSE_ARRAY,
  CLOSE_OBJECT,
  JsonScanner,
  Nested,
  OPEN_ARRAY,
  OPEN_OBJECT,
  QUOTE,
} from "./json_scanner.ts";

/** Names of the members that are read of an object; of all others only the JSON is checked. */
type Names = ReadonlySet<string>;

const REQUEST_FIELDS: Names = new Set([
  ...["type", "id", "db", "stmts", "sql", "params", "tx", "results", "if_rev", "timeout_ms"],
  ...["client", "seq", "acked", "key"],
]);
const STATEMENT_FIELDS: Names = new Set(["sql", "params", "expect"]);
const EXPECTATION_FIELDS: Names = new Set(["changes", "rows"]);
/** What is nested is stepped over at once for so many UTF-16 units. */
const SHORT_UNITS = 1_024;
/** Members that make an object another value than its text. */
const VALUE_FIELDS: Names = new Set(["$blob", "$real", "$text"]);

/** Yields where others may be served, and ends with what was read. */
export type Reading<T> = Generator<void, T>;

/**
 * Reads the JSON of a request, whose nesting is within bounds. Arrays of more statements or parameters than there may be end
 * after one too many.
 *
 * @throws {SkylineError} `INVALID_JSON`.
 */
export function readRequestJson(text: string): unknown {
  return toEnd(new RequestReader(text).read());
}

/**
 * As {@link readRequestJson}, with a pause after every so many UTF-16 units.
 *
 * @throws {SkylineError} `INVALID_JSON`.
 */
export function readLongRequestJson(text: string, pieceUnits: number): Reading<unknown> {
  return new RequestReader(text, pieceUnits).read();
}

/** What is read, without pauses. */
export function toEnd<T>(reading: Reading<T>): T {
  for (;;) {
    const { done, value } = reading.next();
    if (done) return value;
  }
}

/** A value that may be long: the rest of it is still to be read. All others are read without a generator, which costs time. */
class Rest {
  constructor(readonly reading: Reading<unknown>) {}
}

class RequestReader extends JsonScanner {
  readonly #pieceUnits: number;
  /** The place of the next pause. */
  #until: number;
  #lastSql = "";
  /** As it was written. */
  #lastSqlText = "";

  constructor(text: string, pieceUnits = Infinity) {
    super(text);
    this.#pieceUnits = this.#until = pieceUnits;
  }

  *read(): Reading<unknown> {
    this.space();
    const value = this.isAt(OPEN_OBJECT)
      ? yield* this.#object(REQUEST_FIELDS, (name) => this.#field(name))
      : yield* this.#whole(this.#value());
    this.space();
    if (this.at < this.text.length) this.fail();
    return value;
  }

  *#whole(value: unknown): Reading<unknown> {
    return value instanceof Rest ? yield* value.reading : value;
  }

  *#pause(): Reading<void> {
    this.#until = this.at + this.#pieceUnits;
    yield;
  }

  #field(name: string): unknown {
    if (name === "sql") return this.#sql();
    if (name === "params") return this.#parameters();
    if (name !== "stmts" || !this.isAt(OPEN_ARRAY)) return this.#value();
    return new Rest(this.#array(WIRE_LIMITS.statementsMax, () => this.#statement()));
  }

  #statement(): unknown {
    if (!this.isAt(OPEN_OBJECT)) return this.#value();
    return new Rest(this.#object(STATEMENT_FIELDS, (name) => this.#statementField(name)));
  }

  #statementField(name: string): unknown {
    if (name === "sql") return this.#sql();
    if (name === "params") return this.#parameters();
    if (!this.isAt(OPEN_OBJECT)) return this.#value();
    return new Rest(this.#object(EXPECTATION_FIELDS, () => this.#value()));
  }

  #parameters(): unknown {
    const read = () => this.#parameter();
    if (this.isAt(OPEN_ARRAY)) return new Rest(this.#array(WIRE_LIMITS.parametersMax, read));
    return this.isAt(OPEN_OBJECT) ? new Rest(this.#object(null, read)) : this.#value();
  }

  /** A value; an array or an object is only stepped over. */
  #value(): unknown {
    if (!this.isAt(OPEN_ARRAY) && !this.isAt(OPEN_OBJECT)) return this.value();
    const start = this.at;
    this.isWellFormed = true;
    this.hasSpecialName = false;
    this.depth = 0;
    if (this.goOn(start + SHORT_UNITS)) return this.#nested(start);
    return new Rest(this.#longNested(start));
  }

  *#longNested(start: number): Reading<Nested> {
    while (!this.goOn(this.#until)) yield* this.#pause();
    return this.#nested(start);
  }

  #nested(start: number): Nested {
    return new Nested(this.text.slice(start, this.at), this.isWellFormed);
  }

  /** An object is built only where one of its members makes it a value such as a BLOB. */
  #parameter(): unknown {
    if (!this.isAt(OPEN_OBJECT)) return this.#value();
    const start = this.at;
    const value = this.#value();
    if (value instanceof Rest) return new Rest(this.#longParameter(start, value));
    return this.hasSpecialName ? new Rest(this.#special(start, value)) : value;
  }

  *#longParameter(start: number, rest: Rest): Reading<unknown> {
    const value = yield* rest.reading;
    return this.hasSpecialName ? yield* this.#special(start, value) : value;
  }

  /** Reads an object once more, which starts here and has names that may be special; `value` if none is. */
  *#special(start: number, value: unknown): Reading<unknown> {
    this.at = start;
    let special: Record<string, unknown> | undefined;
    let other: string | undefined;
    yield* this.#members((nameStart) => {
      const name = this.#nameIn(VALUE_FIELDS, nameStart, this.at);
      // Needed for a message only: the first, and as it is written.
      if (name === undefined) {
        other ??= this.text.slice(nameStart + 1, Math.min(nameStart + 100, this.at - 1));
      }
      this.colon();
      const read = this.#value();
      if (name === undefined) return read;
      special ??= {};
      if (!(read instanceof Rest)) {
        special[name] = read;
        return undefined;
      }
      return new Rest(this.#member(special, name, read));
    });
    if (special === undefined) return value;
    if (other !== undefined) setMember(special, other, null);
    return special;
  }

  *#member(object: Record<string, unknown>, name: string, rest: Rest): Reading<void> {
    setMember(object, name, yield* rest.reading);
  }

  /** SQL, which many statements have in common. A copy: prepared statements are kept by it, and must not keep the whole request. */
  #sql(): unknown {
    if (!this.isAt(QUOTE)) return this.#value();
    if (this.#lastSqlText !== "" && this.text.startsWith(this.#lastSqlText, this.at)) {
      this.at += this.#lastSqlText.length;
      return this.#lastSql;
    }
    const start = this.at;
    this.skipString();
    this.#lastSqlText = this.text.slice(start, this.at);
    return this.#lastSql = JSON.parse(this.#lastSqlText);
  }

  /** The members of an object with these names, or all, up to one too many. */
  *#object(names: Names | null, read: (name: string) => unknown): Reading<Record<string, unknown>> {
    const object: Record<string, unknown> = {};
    let count = 0;
    yield* this.#members((start) => {
      const name = names === null ? this.stringFrom(start) : this.#nameIn(names, start, this.at);
      this.colon();
      if (name === undefined || count > WIRE_LIMITS.parametersMax) return this.#value();
      count++;
      const value = read(name);
      if (value instanceof Rest) return new Rest(this.#member(object, name, value));
      setMember(object, name, value);
      return undefined;
    });
    return object;
  }

  /** Steps over an object; `read` is called behind each name, and steps over the colon and the value, or gives its rest. */
  *#members(read: (nameStart: number) => unknown): Reading<void> {
    this.at++;
    this.space();
    if (this.isAt(CLOSE_OBJECT)) {
      this.at++;
      return;
    }
    do {
      if (this.at > this.#until) yield* this.#pause();
      this.space();
      const start = this.at;
      this.skipString();
      const value = read(start);
      if (value instanceof Rest) yield* value.reading;
    } while (this.separated(CLOSE_OBJECT));
  }

  /** The elements of an array, up to one more than `max`. */
  *#array(max: number, read: () => unknown): Reading<unknown[]> {
    const array: unknown[] = [];
    this.at++;
    this.space();
    if (this.isAt(CLOSE_ARRAY)) {
      this.at++;
      return array;
    }
    do {
      if (this.at > this.#until) yield* this.#pause();
      this.space();
      if (array.length > max) {
        yield* this.#restOfArray();
        return array;
      }
      const value = read();
      array.push(value instanceof Rest ? yield* value.reading : value);
    } while (this.separated(CLOSE_ARRAY));
    return array;
  }

  /** Steps over the elements that are left of an array, and its end: it is certain to be refused, once the `id` is known. */
  *#restOfArray(): Reading<void> {
    this.open[0] = OPEN_ARRAY;
    this.depth = 1;
    while (!this.goOn(this.#until)) yield* this.#pause();
  }

  /** That one of the names which is written between these places; what is written with escapes is one of them too. */
  #nameIn(names: Names, start: number, end: number): string | undefined {
    // The longest known name is short, and an escape is six characters at most.
    if (end - start > 100) return undefined;
    const name = this.stringFrom(start);
    return names.has(name) ? name : undefined;
  }
}

function setMember(object: Record<string, unknown>, name: string, value: unknown): void {
  if (name !== "__proto__") object[name] = value;
  // An assignment would set the prototype.
  else {Object.defineProperty(object, name, {
      value,
      configurable: true,
      enumerable: true,
      writable: true,
    });}
}
