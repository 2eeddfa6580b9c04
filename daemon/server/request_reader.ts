/**
 * Requests read from JSON exactly, and no further than they are looked at: only known fields, statements and parameters become
 * values. What is nested in a parameter stays text, checked but not built: ten megabytes of `[[],[],…]` would take seconds.
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
/** Members that make an object another value than its text. */
const VALUE_FIELDS: Names = new Set(["$blob", "$real", "$text"]);

/**
 * Reads the JSON of a request, whose nesting is within bounds. Arrays of more statements or parameters than there may be end
 * after one too many.
 *
 * @throws {SkylineError} `INVALID_JSON`.
 */
export function readRequestJson(text: string): unknown {
  return new RequestReader(text).read();
}

class RequestReader extends JsonScanner {
  #lastSql = "";
  /** As it was written. */
  #lastSqlText = "";

  read(): unknown {
    this.space();
    const value = this.isAt(OPEN_OBJECT)
      ? this.#object(REQUEST_FIELDS, (name) => this.#field(name))
      : this.value();
    this.space();
    if (this.at < this.text.length) this.fail();
    return value;
  }

  #field(name: string): unknown {
    if (name === "sql") return this.#sql();
    if (name === "params") return this.#parameters();
    if (name !== "stmts" || !this.isAt(OPEN_ARRAY)) return this.value();
    return this.#array(WIRE_LIMITS.statementsMax, () => this.#statement());
  }

  #statement(): unknown {
    if (!this.isAt(OPEN_OBJECT)) return this.value();
    return this.#object(STATEMENT_FIELDS, (name) => this.#statementField(name));
  }

  #statementField(name: string): unknown {
    if (name === "sql") return this.#sql();
    if (name === "params") return this.#parameters();
    if (!this.isAt(OPEN_OBJECT)) return this.value();
    return this.#object(EXPECTATION_FIELDS, () => this.value());
  }

  #parameters(): unknown {
    if (this.isAt(OPEN_ARRAY)) {
      return this.#array(WIRE_LIMITS.parametersMax, () => this.#parameter());
    }
    return this.isAt(OPEN_OBJECT) ? this.#object(null, () => this.#parameter()) : this.value();
  }

  /** An object is built only where one of its members makes it a value such as a BLOB. */
  #parameter(): unknown {
    if (!this.isAt(OPEN_OBJECT)) return this.value();
    const start = this.at;
    let special: Record<string, unknown> | undefined;
    let other: string | undefined;
    this.isWellFormed = true;
    this.#members((nameStart) => {
      const name = this.#nameIn(VALUE_FIELDS, nameStart, this.at);
      this.colon();
      if (name !== undefined) (special ??= {})[name] = this.value();
      else {
        // Needed for a message only: the first, and as it is written.
        other ??= this.text.slice(nameStart + 1, Math.min(nameStart + 100, this.#nameEnd));
        this.skip();
      }
    });
    if (special === undefined) {
      return new Nested(this.text.slice(start, this.at), this.isWellFormed);
    }
    if (other !== undefined) setMember(special, other, null);
    return special;
  }

  /** SQL, which many statements have in common. A copy: prepared statements are kept by it, and must not keep the whole request. */
  #sql(): unknown {
    if (!this.isAt(QUOTE)) return this.value();
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
  #object(names: Names | null, read: (name: string) => unknown): Record<string, unknown> {
    const object: Record<string, unknown> = {};
    let count = 0;
    this.#members((start) => {
      const name = names === null ? this.stringFrom(start) : this.#nameIn(names, start, this.at);
      this.colon();
      if (name === undefined || count > WIRE_LIMITS.parametersMax) return this.skip();
      count++;
      setMember(object, name, read(name));
    });
    return object;
  }

  #nameEnd = 0;

  /** Steps over an object; `read` is called behind each name, and steps over the colon and the value. */
  #members(read: (nameStart: number) => void): void {
    this.at++;
    this.space();
    if (this.isAt(CLOSE_OBJECT)) {
      this.at++;
      return;
    }
    do {
      this.space();
      const start = this.at;
      this.skipString();
      this.#nameEnd = this.at - 1;
      read(start);
    } while (this.separated(CLOSE_OBJECT));
  }

  /** The elements of an array, up to one more than `max`. */
  #array(max: number, read: () => unknown): unknown[] {
    const array: unknown[] = [];
    this.at++;
    this.space();
    if (this.isAt(CLOSE_ARRAY)) {
      this.at++;
      return array;
    }
    do {
      this.space();
      if (array.length <= max) array.push(read());
      else this.skip();
    } while (this.separated(CLOSE_ARRAY));
    return array;
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
