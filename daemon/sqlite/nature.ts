/**
 * What a statement is by its nature: SQLite tells while it prepares it.
 *
 * @module
 */

import { CallCosts } from "./call_costs.ts";
import type { TableCalls } from "./schema_calls.ts";

// Action codes, https://sqlite.org/c3ref/c_alter_table.html
const CREATE_INDEX = 1, DELETE = 9, DROP_INDEX = 10, DROP_TABLE = 11, INSERT = 18, PRAGMA = 19;
const READ = 20,
  UPDATE = 23,
  ALTER_TABLE = 26,
  REINDEX = 27,
  ANALYZE = 28,
  DROP_VTABLE = 30,
  FUNCTION = 31;

/** What goes through a whole table, or is one long operation. */
const LONG = new Set([
  CREATE_INDEX,
  DROP_INDEX,
  DROP_TABLE,
  ALTER_TABLE,
  REINDEX,
  ANALYZE,
  DROP_VTABLE,
]);
/** The part of these that never looks at the clock, nor, but for a count, whether it is interrupted. */
const BLIND = new Set([DROP_INDEX, DROP_TABLE, DROP_VTABLE]);
const LONG_PRAGMAS = new Set(["integrity_check", "quick_check", "foreign_key_check", "optimize"]);

/** Collects what the authorizer is asked about one statement. */
export class Nature {
  readonly #tables: ReadonlyMap<string, TableCalls>;
  readonly #calls = new CallCosts();
  /** What was added of a table's calls. */
  readonly #added = new Set<CallCosts>();
  #isLong = false;
  #isBlind = false;
  #counts = false;
  /** Tables of which rows are deleted, whichever they are. */
  readonly #cleared = new Set<string | null>();

  /** `tables` are those that have calls of their own. */
  constructor(tables: ReadonlyMap<string, TableCalls> = new Map()) {
    this.#tables = tables;
  }

  /** Size of values, in bytes, up to which none of its calls takes long; Infinity for most. */
  get quickUpTo(): number {
    return this.#calls.quickUpTo;
  }

  /** Whether a few of its operations may take long, though none of its values is larger. */
  get isSteep(): boolean {
    return this.#calls.isSteep;
  }

  /**
   * Whether a single step of it may go through a whole table without looking at the clock: a DELETE of all rows, a count of
   * all, a change of the schema, a check.
   */
  get isLong(): boolean {
    return this.#isLong || this.#cleared.size > 0;
  }

  /**
   * Whether a single step of it may walk through a table without ever looking at the clock. In a file that somebody forged that
   * may have no end, however small the file is.
   */
  get isBlind(): boolean {
    return this.#isBlind || this.#cleared.size > 0;
  }

  /** Notes an action; `first` and `second` are SQLite's third and fourth argument of the callback. */
  note(action: number, first: () => string | null, second: () => string | null): void {
    switch (action) {
      case FUNCTION:
        return this.#noteFunction(second()?.toLowerCase() ?? "");
      case PRAGMA:
        if (LONG_PRAGMAS.has(first()?.toLowerCase() ?? "")) this.#noteCheck();
        return;
      case INSERT:
      case UPDATE:
        return this.#noteTable(first, "writing");
      case DELETE:
        this.#cleared.add(first());
        return this.#noteTable(first, "writing");
      case READ:
        // A condition asks for columns; count(*) asks for the table alone.
        if (this.#cleared.size > 0) this.#cleared.delete(first());
        if (this.#counts && second() === "") this.#isLong = this.#isBlind = true;
        return this.#noteTable(first, "reading");
      default:
        this.#isLong ||= LONG.has(action);
        this.#isBlind ||= BLIND.has(action);
    }
  }

  #noteFunction(name: string): void {
    this.#counts ||= name === "count";
    this.#calls.add(name);
  }

  /** It evaluates what all tables have. */
  #noteCheck(): void {
    this.#isLong = true;
    for (const { writing } of this.#tables.values()) this.#add(writing);
  }

  #noteTable(name: () => string | null, kind: keyof TableCalls): void {
    if (this.#tables.size === 0) return;
    const calls = this.#tables.get(name() ?? "")?.[kind];
    if (calls) this.#add(calls);
  }

  #add(calls: CallCosts): void {
    if (this.#added.has(calls)) return;
    this.#added.add(calls);
    this.#calls.addAll(calls);
  }
}
