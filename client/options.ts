/**
 * What `connect` and the calls of a `Database` may be given.
 *
 * @module
 */
import { WIRE_LIMITS } from "./limits.ts";
import { wholeNumber } from "./statement.ts";
import type { Integers } from "./values.ts";

/** How to connect. */
export interface ConnectOptions {
  /** Milliseconds that connecting, and each call by default, may take: 10,000 by default; 0: no bound. */
  readonly timeoutMs?: number;
  /**
   * `true`, the default: after a broken connection, a restart of the daemon or an unknown outcome, calls connect again and
   * are sent again in their order, until their time is over. Each takes effect once. `false`: nothing is ever sent again.
   */
  readonly retry?: boolean;
  /**
   * Milliseconds without a call after which the connection is closed, up to a tenth later; the next call opens another, and
   * goes on with the same session. 0, the default: it stays.
   */
  readonly idleCloseMs?: number;
  /** `auto`, the default: INTEGER as `number` where that is exact, else `bigint`. `bigint`: always `bigint`. */
  readonly integers?: Integers;
}

/** How to do one call. */
export interface CallOptions {
  /**
   * Milliseconds that it may take, repetitions included; 0: no bound, also where no daemon comes back. By default what
   * `connect` was given.
   */
  readonly timeoutMs?: number;
}

/** How to do one call that writes. */
export interface WriteOptions extends CallOptions {
  /**
   * What the write stands for, such as `order-17`, 1 to 64 characters: under one key it takes effect once within 24 hours,
   * whichever client or process asks for it. A later call with the key and the same content gets the first one's result,
   * `replayed`; with another content it is `KEY_REUSED`.
   */
  readonly key?: string;
}

/** How to do one batch. */
export interface BatchOptions extends WriteOptions {
  /** Do nothing unless the database's revision is still this one: `REVISION_CHANGED`. */
  readonly ifRev?: number;
}

const CALL = ["timeoutMs"];
const WRITE = [...CALL, "key"];
/** The names of the options of each kind of call. */
export const OPTION_NAMES = {
  connect: ["timeoutMs", "retry", "idleCloseMs", "integers"],
  call: CALL,
  write: WRITE,
  batch: [...WRITE, "ifRev"],
} as const;

/**
 * Refuses options that are not known: one that is misspelled would be passed over in silence.
 *
 * @throws {TypeError} that names the first one, or says that the options are no object.
 */
export function checkOptions(options: unknown, known: readonly string[]): void {
  if (options === undefined) return;
  if (typeof options !== "object" || options === null) {
    throw new TypeError(
      `The options are an object, not ${options === null ? "null" : `a ${typeof options}`}`,
    );
  }
  for (const name in options) {
    if (known.includes(name)) continue;
    throw new TypeError(`There is no option ${name} here; there are ${known.join(", ")}`);
  }
}

/**
 * Checks the time after which an idle connection is closed.
 *
 * @throws {RangeError} when it is not a whole number of milliseconds up to a day.
 */
export function idleCloseOf(idleCloseMs: number): number {
  return wholeNumber("idleCloseMs", idleCloseMs, WIRE_LIMITS.timeoutMsMax);
}

/**
 * Checks a timeout.
 *
 * @throws {RangeError} when it is not a whole number of milliseconds up to a day.
 */
export function timeoutOf(timeoutMs: number): number {
  return wholeNumber("timeoutMs", timeoutMs, WIRE_LIMITS.timeoutMsMax);
}

/**
 * A key as JSON text.
 *
 * @throws {TypeError} when it is not a text of 1 to 64 characters.
 */
export function keyText(key: string): string {
  const isKey = typeof key === "string" && key !== "" && key.length <= WIRE_LIMITS.nameLengthMax;
  if (!isKey) {
    throw new TypeError(`key is a string of 1 to ${WIRE_LIMITS.nameLengthMax} characters`);
  }
  return JSON.stringify(key);
}
