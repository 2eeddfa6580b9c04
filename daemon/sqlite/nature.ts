/**
 * What a statement is by its nature: SQLite tells while it prepares it.
 *
 * @module
 */

// Action codes, https://sqlite.org/c3ref/c_alter_table.html
const CREATE_INDEX = 1, DELETE = 9, DROP_INDEX = 10, DROP_TABLE = 11, PRAGMA = 19, READ = 20;
const ALTER_TABLE = 26, REINDEX = 27, ANALYZE = 28, DROP_VTABLE = 30, FUNCTION = 31;

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

/**
 * Functions whose time grows with the product of two values' sizes, and which neither an interrupt nor the progress handler
 * reaches: the size in bytes up to which a call takes at most 10 ms.
 */
const QUICK_UP_TO: ReadonlyMap<string, number> = new Map([
  ...["trim", "ltrim", "rtrim", "unhex"].map((name) => [name, 2 * 1024] as const),
  ...["like", "glob"].map((name) => [name, 4 * 1024] as const),
  ...["instr", "replace", "json_patch", "jsonb_patch"].map((name) => [name, 32 * 1024] as const),
]);

/** Collects what the authorizer is asked about one statement. */
export class Nature {
  /** Size of values, in bytes, up to which none of its functions takes long; Infinity for most. */
  quickUpTo = Infinity;
  #isLong = false;
  #isBlind = false;
  #counts = false;
  /** Tables of which rows are deleted, whichever they are. */
  readonly #cleared = new Set<string | null>();

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
        this.#isLong ||= LONG_PRAGMAS.has(first()?.toLowerCase() ?? "");
        return;
      case DELETE:
        this.#cleared.add(first());
        return;
      case READ:
        // A condition asks for columns; count(*) asks for the table alone.
        if (this.#cleared.size > 0) this.#cleared.delete(first());
        if (this.#counts && second() === "") this.#isLong = this.#isBlind = true;
        return;
      default:
        this.#isLong ||= LONG.has(action);
        this.#isBlind ||= BLIND.has(action);
    }
  }

  #noteFunction(name: string): void {
    this.#counts ||= name === "count";
    this.quickUpTo = Math.min(this.quickUpTo, QUICK_UP_TO.get(name) ?? Infinity);
  }
}
