/**
 * How long calls of SQL functions take for large values. Neither an interrupt nor the progress handler reaches into one.
 *
 * @module
 */

const KiB = 1024, MiB = 1024 * KiB;

/** Functions whose time grows with the product of two values' sizes: the size up to which a call takes at most 10 ms. */
const SQUARE: ReadonlyMap<string, number> = new Map([
  ...["trim", "ltrim", "rtrim", "unhex"].map((name) => [name, 2 * KiB] as const),
  ...["like", "glob"].map((name) => [name, 4 * KiB] as const),
  ...["instr", "replace", "json_patch", "jsonb_patch"].map((name) => [name, 32 * KiB] as const),
]);

/**
 * Functions whose time grows with a value's size, and of which a statement may have hundreds: the size up to which a call takes
 * some 25 ms. Of most that is all that a value may have, so that one or two need no care.
 */
const LINEAR: ReadonlyMap<string, number> = new Map([
  ...[
    ...[
      "char",
      "concat",
      "concat_ws",
      "format",
      "group_concat",
      "hex",
      "length",
      "lower",
      "printf",
    ],
    ...[
      "quote",
      "randomblob",
      "string_agg",
      "substr",
      "substring",
      "timediff",
      "unicode",
      "unistr",
    ],
    ...["unistr_quote", "upper", "zeroblob"],
  ].map((name) => [name, 16 * MiB] as const),
  ...["date", "datetime", "julianday", "strftime", "time", "unixepoch"].map((name) =>
    [name, 4 * MiB] as const
  ),
]);

/** The same for what parses JSON. */
const JSON_BYTES = 2 * MiB;

/** Adds up the calls of a statement. */
export class CallCosts {
  /** Sums of 1 / size², and of 1 / size: calls with values of so many bytes take as long as they may where the two make 1. */
  #square = 0;
  #linear = 0;

  /** One more call, of a function's name in lower case. */
  add(name: string): void {
    const square = SQUARE.get(name);
    if (square !== undefined) this.#square += 1 / square ** 2;
    else if (name.startsWith("json") || name.startsWith("->")) this.#linear += 1 / JSON_BYTES;
    else this.#linear += 1 / (LINEAR.get(name) ?? Infinity);
  }

  /** The calls of another. */
  addAll(other: CallCosts): void {
    this.#square += other.#square;
    this.#linear += other.#linear;
  }

  /** Whether a few operations may take long. */
  get isSteep(): boolean {
    return this.#square > 0;
  }

  /** Size of values, in bytes, up to which all calls of one row together take no more than some 25 ms; Infinity where any may. */
  get quickUpTo(): number {
    const [a, b] = [this.#square, this.#linear];
    // The root of a n² + b n = 1, in the form that holds where a is 0.
    const bytes = Math.floor(2 / (b + Math.sqrt(b * b + 4 * a)));
    return bytes < LINEAR.get("length")! ? bytes : Infinity;
  }
}
