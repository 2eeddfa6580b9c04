/**
 * What is remembered of requests that carry a key, so that one sent again, by whomever, is not executed again.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { SkylineError } from "../../client/errors.ts";
import { blobText, Real, realText } from "../../client/values.ts";
import { LIMITS } from "../process/limits.ts";
import type { Connection } from "../sqlite/connection.ts";
import type { BindValues, Statement } from "../sqlite/statement.ts";
import type { BindValue } from "../sqlite/values.ts";
import {
  ageOf,
  FOREIGN,
  integerOf,
  isForeignValue,
  ownRow,
  rowsUntil,
  type SweepBounds,
  textOf,
} from "./own_rows.ts";
import { CLIENTS, keyBytes, KEYS } from "./own_tables.ts";
import { outcomeOf, storedAnswer } from "./stored_answer.ts";
import { Replay, type Write, type WriteDone } from "./write.ts";

/** What a row takes beside its texts, in bytes: row and index. */
const ROW_OVERHEAD_BYTES = 40;

/** The answer of row 0, which is no request's: bytes are counted as the file holds them. Older daemons counted otherwise. */
const COUNTED = "bytes";

/**
 * A row's number is at most this, 2^52, and after that of the one before. Where another program has made a higher one, SQLite
 * gives those that come then any number: they are numbered anew, from the lower half.
 */
const ID_MAX = LIMITS.revisionMax;
const NEXT_ID = `1 + (SELECT coalesce(max(id), 0) FROM ${KEYS} WHERE id BETWEEN 0 AND ${
  ID_MAX / 2
})`;

/** The keys of one database, a row each, written with what the request did. */
export class Keys {
  readonly #select: Statement;
  readonly #insert: Statement;
  readonly #delete: Statement;
  readonly #oldest: Statement;
  readonly #setBytes: Statement;
  /** Of all rows, as the open transaction leaves them. */
  #bytes: number;
  #bytesCommitted: number;
  /** Whether the open transaction, or one before, made sure that they are counted as {@link COUNTED}. */
  #isCounted: boolean;
  #isCountedCommitted: boolean;
  readonly #isUtf8: boolean;
  /** Keys stored since the last sweep; those of undone transactions too. */
  stored = 0;
  /** When the next sweep is due, in seconds since 1970: no row can be too old before. */
  dueAt = 0;
  readonly #connection: Connection;
  readonly #renew: Statement;
  readonly #renewStray: Statement;
  /** The row, of another program's, up to which nothing can be swept. */
  #leftAlone = -ID_MAX;

  /** Prepares the statements; the tables exist. */
  constructor(connection: Connection) {
    const prepare = (sql: string) => connection.prepare(sql, { persistent: true }).statement!;
    this.#select = prepare(
      `SELECT ${textOf("fingerprint")}, ${textOf("answer")} FROM ${KEYS} WHERE key = ?`,
    );
    this.#insert = prepare(
      `INSERT INTO ${KEYS} (key, fingerprint, answer, at) VALUES (?, ?, ?, ?)`,
    );
    this.#delete = prepare(`DELETE FROM ${KEYS} WHERE id = ?`);
    this.#oldest = prepare(
      `SELECT id, ${integerOf("at")}, ${keyBytes()} FROM ${KEYS}
        WHERE id > ? AND id <= ${ID_MAX} AND id <> 0 ORDER BY id LIMIT ?`,
    );
    const renew = `UPDATE ${KEYS} SET at = ?, id = ${NEXT_ID} WHERE id =`;
    this.#renew = prepare(`${renew} ?`);
    this.#renewStray = prepare(`${renew} (SELECT max(id) FROM ${KEYS} WHERE id > ${ID_MAX})`);
    this.#connection = connection;
    this.#isUtf8 = connection.get("PRAGMA encoding")![0] === "UTF-8";
    this.#setBytes = prepare(`UPDATE ${CLIENTS} SET at = ? WHERE client = ''`);
    this.#bytes =
      this.#bytesCommitted =
        connection.get(`SELECT at FROM ${CLIENTS} WHERE client = ''`)![0] as number;
    this.#isCounted = this.#isCountedCommitted = this.#isCountRight();
  }

  /** Whether the count that was read may be right: it is of this kind of daemon, and no more than the file has. */
  #isCountRight(): boolean {
    const row = `SELECT key = '' AND answer = '${COUNTED}' FROM ${KEYS} WHERE id = 0`;
    if (this.#connection.get(row)?.[0] !== 1) return false;
    if (this.#bytes < LIMITS.keysBytesMax) return true;
    const [pages] = this.#connection.get("PRAGMA page_count")!;
    const [pageBytes] = this.#connection.get("PRAGMA page_size")!;
    return this.#bytes <= Number(pages) * Number(pageBytes);
  }

  /** What is known of a request: the answer that it was given before, why it is refused, or `null`: it is new. */
  recall(key: string, write: Write): Replay | SkylineError | null {
    const row = ownRow(this.#select, [key]);
    if (row !== undefined) return recalled(key, row, write);
    if (this.#bytes < LIMITS.keysBytesMax || !this.#isCounted) return null;
    return new SkylineError("KEYS_FULL", `Keys hold ${this.#bytes} bytes`);
  }

  /** Keeps what a request did, in its savepoint. */
  store(key: string, write: Write, done: WriteDone, now: number): void {
    const fingerprint = fingerprintOf(write);
    const answer = storedAnswer(done, LIMITS.keptUnits);
    this.#insert.run([key, fingerprint, answer, now]);
    this.#bytes += ROW_OVERHEAD_BYTES + this.#bytesOf(key) + this.#bytesOf(fingerprint) +
      this.#bytesOf(answer);
    this.stored++;
  }

  #bytesOf(text: string): number {
    return this.#isUtf8 ? Buffer.byteLength(text) : 2 * text.length;
  }

  #recount(): void {
    this.#isCounted = true;
    const sum = `SELECT coalesce(sum(${keyBytes()}), 0) FROM ${KEYS} WHERE id <> 0`;
    try {
      this.#bytes = this.#connection.get(sum)![0] as number;
    } catch (error) {
      // See `rowsUntil`.
      if (isForeignValue(error)) return;
      throw error;
    }
    this.#connection.exec(`UPDATE ${KEYS} SET id = ${NEXT_ID} WHERE id = 0 AND key <> ''`);
    this.#connection.exec(`INSERT OR REPLACE INTO ${KEYS} VALUES (0, '', '', '${COUNTED}', 0)`);
  }

  /** Writes what it counts into the transaction that is open. */
  save(): void {
    if (!this.#isCounted && this.#bytes > 0) this.#recount();
    if (this.#bytes !== this.#bytesCommitted) this.#setBytes.run([this.#bytes]);
  }

  /** Whether the oldest row is too old. */
  findOld(now: number): boolean {
    const [oldest] = this.#rows(1, Infinity).rows;
    const isFound = oldest !== undefined && ageOf(oldest.at, now) !== "young";
    if (!isFound) this.#swept(Number(oldest?.at ?? now));
    return isFound;
  }

  /** Deletes what is too old of the oldest `limit` rows. */
  sweep(now: number, { limit, until }: SweepBounds): void {
    this.#renewStrays(now, limit);
    // Most often the oldest is young enough; to read them all would take as long as a tenth of what was added.
    if (!this.findOld(now)) return;
    const { rows, areAll } = this.#rows(limit, until);
    for (const { id, at, bytes } of rows) {
      const age = ageOf(at, now);
      if (age === "young") return this.#swept(Number(at));
      try {
        // How old it is nobody knows: it has its time from now on, behind all others.
        if (age === "unknown") this.#renew.run([now, id]);
        else this.#forget(id, bytes);
      } catch (error) {
        if (!isForeignValue(error)) throw error;
        this.#leftAlone = id;
      }
    }
    if (areAll && rows.length < limit) this.#swept(now);
  }

  /** The oldest row that is left was written then. */
  #swept(oldestAt: number): void {
    this.dueAt = oldestAt + LIMITS.rememberSeconds + 1;
  }

  /** Has the rows looked at anew: what was swept is undone. */
  sweepAnew(): void {
    this.dueAt = 0;
  }

  #renewStrays(now: number, limit: number): void {
    try {
      for (let i = 0; i < limit; i++) {
        this.#renewStray.run([now]);
        if (this.#connection.changes === 0) return;
      }
    } catch (error) {
      if (!isForeignValue(error)) throw error;
    }
  }

  #forget(id: number, bytes: number): void {
    this.#delete.run([id]);
    this.#bytes = Math.max(0, this.#bytes - bytes);
  }

  /** The oldest rows, as many as `count`. */
  #rows(count: number, until: number) {
    const { rows, areAll } = rowsUntil(this.#oldest, [this.#leftAlone, count], until);
    return {
      rows: rows.map(([id, at, bytes]) => ({ id: Number(id), at, bytes: Number(bytes) })),
      areAll,
    };
  }

  /** The transaction was committed. */
  committed(): void {
    this.#bytesCommitted = this.#bytes;
    this.#isCountedCommitted = this.#isCounted;
  }

  /** The transaction was undone, or starts anew. */
  discard(): void {
    this.#bytes = this.#bytesCommitted;
    this.#isCounted = this.#isCountedCommitted;
  }

  /** Releases the statements. */
  finalize(): void {
    for (
      const each of [
        this.#select,
        this.#insert,
        this.#delete,
        this.#oldest,
        this.#setBytes,
        this.#renew,
        this.#renewStray,
      ]
    ) each.finalize();
  }
}

/** What a request is answered whose key has a row. */
function recalled(
  key: string,
  row: unknown[] | typeof FOREIGN,
  write: Write,
): Replay | SkylineError {
  const [fingerprint, answer] = row === FOREIGN ? [] : row;
  if (typeof fingerprint !== "string" || !FINGERPRINT.test(fingerprint)) return foreign(key);
  if (fingerprint !== fingerprintOf(write)) {
    return new SkylineError("KEY_REUSED", `The key ${JSON.stringify(key)} has been used already`);
  }
  const outcome = typeof answer === "string" ? outcomeOf(answer) : FOREIGN;
  // What failed is not kept.
  return outcome === FOREIGN || outcome instanceof SkylineError
    ? foreign(key)
    : new Replay(outcome);
}

/** A request of this key may have taken effect, this one or another. */
function foreign(key: string): SkylineError {
  return new SkylineError(
    "OUTCOME_UNKNOWN",
    `What is remembered of the key ${JSON.stringify(key)} cannot be read: ` +
      `another program has changed its row in the table ${KEYS}`,
    {
      hint:
        "Read the data to find out whether it took effect; if it has not, send it with another key.",
    },
  );
}

const FINGERPRINT = /^[0-9a-f]{64}$/;

/** What a request is, whatever its frame looked like: SQL, values with their types, and what is asked of it. */
function fingerprintOf({ statements, results }: Write): string {
  const content = statements.map(({ sql, params, expect }) => [
    sql,
    contentOfParameters(params),
    expect?.changes ?? null,
    expect?.rows ?? null,
  ]);
  return createHash("sha256").update(JSON.stringify([results, content])).digest("hex");
}

function contentOfParameters(params: BindValues): unknown {
  if (Array.isArray(params)) return params.map(contentOfValue);
  return {
    named: Object.entries(params).map(([name, value]) => [name, contentOfValue(value)]).sort(),
  };
}

/** A text is itself; what is none is the text that the protocol has for it, set apart from such a text. */
function contentOfValue(value: BindValue): unknown {
  if (value === null || typeof value === "string") return value;
  if (value instanceof Real) return [realText(value.value)];
  if (value instanceof Uint8Array) return [blobText(value)];
  if (typeof value === "number" && !Number.isInteger(value)) return [realText(value)];
  return [String(BigInt(value))];
}
