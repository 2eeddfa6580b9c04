/**
 * What is remembered of the clients that number their requests, so that one sent again is not executed again.
 *
 * @module
 */
import { SkylineError } from "../../client/errors.ts";
import { WIRE_LIMITS } from "../../client/limits.ts";
import { LIMITS } from "../process/limits.ts";
import type { Connection } from "../sqlite/connection.ts";
import type { Statement } from "../sqlite/statement.ts";
import {
  ageOf,
  bytesOf,
  FOREIGN,
  integerOf,
  isForeignValue,
  ownRow,
  rowsUntil,
  type SweepBounds,
  textOf,
} from "./own_rows.ts";
import { CLIENTS } from "./own_tables.ts";
import { outcomeOf, storedAnswer } from "./stored_answer.ts";
import { Replay, type SessionPlace, type WriteDone } from "./write.ts";

/** One client's session. */
interface Session {
  /** Number of the last request that was done. */
  seq: number;
  /** Answers to the last requests up to {@link Session.seq}. */
  answers: string[];
  /** Length of these. */
  units: number;
  /** Whether it has a row. */
  isStored: boolean;
}

/** Some rows in the order of their names. */
interface Chunk {
  readonly rows: readonly { readonly client: string; readonly at: unknown }[];
  /** Whether there are no more. */
  readonly isLast: boolean;
}

/**
 * The sessions of one database, a row each, written once a transaction. What the open transaction changes is kept apart
 * until its COMMIT: a group may be undone and run again.
 */
export class Sessions {
  readonly #connection: Connection;
  readonly #select: Statement;
  readonly #insert: Statement;
  readonly #update: Statement;
  readonly #delete: Statement;
  readonly #next: Statement;
  readonly #touch: Statement;
  /** As they are in the file, those that were used last. */
  readonly #known = new Map<string, Session>();
  /** As the open transaction leaves them. */
  readonly #changed = new Map<string, Session>();
  /** Clients that said goodbye; their rows go with the next commit. */
  readonly #left = new Set<string>();
  /** Sessions stored for the first time since the last sweep; those of undone transactions too. */
  stored = 0;
  /** Rows up to this client have been looked at for their age, in the pass that is under way; "" before the first. */
  #sweptTo = "";
  /** When the oldest row was written that this pass has met, in seconds since 1970; those that it has not are younger. */
  #oldestAt = 0;
  /** When the next pass is due: no row can be too old before. */
  dueAt = 0;

  /** Prepares the statements; the tables exist. */
  constructor(connection: Connection) {
    const prepare = (sql: string) => connection.prepare(sql, { persistent: true }).statement!;
    this.#connection = connection;
    this.#select = prepare(
      `SELECT ${integerOf("seq")}, ${textOf("answers")} FROM ${CLIENTS} WHERE client = ?`,
    );
    // Another program may have made the row since it was looked for.
    this.#insert = prepare(
      `INSERT OR REPLACE INTO ${CLIENTS} (seq, answers, at, client) VALUES (?, ?, ?, ?)`,
    );
    this.#update = prepare(`UPDATE ${CLIENTS} SET seq = ?, answers = ?, at = ? WHERE client = ?`);
    this.#delete = prepare(`DELETE FROM ${CLIENTS} WHERE client = ?`);
    // Names that no client can have are left alone: whoever wrote them may want them.
    this.#next = prepare(
      `SELECT client, ${
        integerOf("at")
      } FROM ${CLIENTS} WHERE client > ? AND typeof(client) = 'text'
        AND ${bytesOf("client")} <= ${4 * WIRE_LIMITS.nameLengthMax} ORDER BY client LIMIT ?`,
    );
    this.#touch = prepare(`UPDATE ${CLIENTS} SET at = ? WHERE client = ?`);
  }

  /**
   * What is known of a request: the answer that it was given before, the error of one that is out of turn, or `null`: it is
   * the next.
   */
  recall({ client, seq, acked }: SessionPlace): Replay | SkylineError | null {
    const session = this.#session(client);
    if (session === null) return this.#recallUnknown(client, seq, acked);
    if (session === FOREIGN) return foreign(client);
    if (seq > session.seq) {
      const next = Math.max(session.seq, acked) + 1;
      return seq === next ? null : gap(`"seq" is ${seq}, and the next of this client is ${next}`);
    }
    const stored = session.answers[seq - 1 - (session.seq - session.answers.length)];
    if (stored === undefined) {
      return gap(`The answer to ${seq} was acknowledged, and is kept no longer`);
    }
    const outcome = outcomeOf(stored);
    return outcome === FOREIGN ? foreign(client) : new Replay(outcome);
  }

  #recallUnknown(client: string, seq: number, acked: number): SkylineError | null {
    const madeAt = createdAt(client);
    const isYoung = Date.now() - (madeAt ?? Date.now()) <= LIMITS.rememberSeconds * 1000;
    if (seq === 1 && isYoung) {
      // Known from now on: if this first one fails and is not kept, those behind it are out of turn, not forgotten.
      this.#remember(client, newSession());
      return null;
    }
    // Its first one came never this far, as when its time was up in the queue: it would be remembered still.
    if (madeAt !== undefined && isYoung && acked === 0 && !this.#left.has(client)) {
      return gap(`"seq" is ${seq}, and the next of this client is 1`);
    }
    return new SkylineError(
      "CLIENT_FORGOTTEN",
      seq === 1
        ? "This client was named over 24 hours ago, and may have been forgotten since"
        : `Nothing is known of the requests of this client before ${seq}`,
    );
  }

  #session(client: string): Session | null | typeof FOREIGN {
    const session = this.#changed.get(client) ?? this.#known.get(client);
    if (session !== undefined) return session;
    if (this.#left.has(client)) return null;
    const row = ownRow(this.#select, [client]);
    if (row === undefined) return null;
    const loaded = row === FOREIGN ? FOREIGN : sessionOf(row);
    if (loaded !== FOREIGN) this.#remember(client, loaded);
    return loaded;
  }

  /** Takes a request as done, if the transaction that is open is committed. */
  note({ client, seq, acked }: SessionPlace, outcome: WriteDone | SkylineError): void {
    const session = this.#changing(client);
    if (session === FOREIGN) return;
    dropAnswers(session, acked);
    const isLarge = session.units > LIMITS.storedAnswersUnitsMax;
    const answer = storedAnswer(outcome, isLarge ? LIMITS.keptBeyond : LIMITS.keptUnits);
    session.answers.push(answer);
    session.units += answer.length;
    session.seq = seq;
  }

  /** The session as the open transaction leaves it. */
  #changing(client: string): Session | typeof FOREIGN {
    let session = this.#changed.get(client);
    if (session === undefined) {
      const known = this.#session(client) ?? newSession();
      if (known === FOREIGN) return FOREIGN;
      session = { ...known, answers: known.answers.slice() };
      this.#changed.set(client, session);
    }
    return session;
  }

  /** Forgets a session with the next commit. */
  leave(client: string): void {
    if (this.#left.size < LIMITS.sessionsCached) this.#left.add(client);
    this.#known.delete(client);
  }

  /** Whether the transaction that is open has sessions to write. */
  get hasChanges(): boolean {
    return this.#changed.size > 0;
  }

  /** Whether the next commit has rows to delete of clients that said goodbye. */
  get hasLeft(): boolean {
    return this.#left.size > 0;
  }

  /** Writes the rows into the transaction that is open. */
  save(now: number): void {
    for (const client of this.#left) this.#delete.run([client]);
    for (const [client, { seq, answers, isStored }] of this.#changed) {
      const row = [seq, answers.join("\n"), now, client];
      const hasRow = isStored && !this.#left.has(client);
      if (hasRow) this.#update.run(row);
      // Another program may have removed it.
      if (!hasRow || this.#connection.changes === 0) this.#insert.run(row);
      if (!isStored) this.stored++;
    }
  }

  /** Looks at the next `limit` rows; whether one of them is too old. If none is, the pass goes on behind them. */
  findOld(now: number, { limit, until }: SweepBounds): boolean {
    const chunk = this.#nextRows(limit, until);
    const isFound = chunk.rows.some(({ at }) => ageOf(at, now) !== "young");
    if (!isFound) this.#passed(chunk, now);
    return isFound;
  }

  /** Deletes what is too old of the next `limit` rows, in the order of their names: a look at all would take too long. */
  sweep(now: number, { limit, until }: SweepBounds): void {
    const chunk = this.#nextRows(limit, until);
    for (const { client, at } of chunk.rows) {
      const age = ageOf(at, now);
      if (age === "unknown") this.#renew(client, now);
      if (age !== "old") continue;
      this.#delete.run([client]);
      this.#known.delete(client);
    }
    this.#passed(chunk, now);
  }

  #nextRows(limit: number, until: number): Chunk {
    const { rows, areAll } = rowsUntil(this.#next, [this.#sweptTo, limit], until);
    // A text that is not well-formed is none here.
    const named = rows.filter(([client]) => typeof client === "string");
    return {
      rows: named.map(([client, at]) => ({ client: String(client), at })),
      isLast: (areAll && rows.length < limit) || named.length === 0,
    };
  }

  #passed({ rows, isLast }: Chunk, now: number): void {
    if (this.#sweptTo === "") this.#oldestAt = now;
    for (const { at } of rows) {
      if (ageOf(at, now) === "young") this.#oldestAt = Math.min(this.#oldestAt, Number(at));
    }
    this.#sweptTo = isLast ? "" : rows.at(-1)!.client;
    if (isLast) this.dueAt = this.#oldestAt + LIMITS.rememberSeconds + 1;
  }

  /** Has all rows looked at anew: what was swept is undone. */
  sweepAnew(): void {
    this.#sweptTo = "";
    this.dueAt = 0;
  }

  /** How old a row is nobody knows: it has its time from now on. */
  #renew(client: string, now: number): void {
    try {
      this.#touch.run([now, client]);
    } catch (error) {
      if (!isForeignValue(error)) throw error;
    }
  }

  /** The transaction was committed. */
  committed(): void {
    this.#left.clear();
    for (const [client, session] of this.#changed) {
      session.isStored = true;
      this.#remember(client, session);
    }
    this.#changed.clear();
  }

  /** The transaction was undone, or starts anew. */
  discard(): void {
    this.#changed.clear();
  }

  /** Forgets the sessions that can be read from the file again. */
  releaseMemory(): void {
    for (const [client, { isStored }] of this.#known) if (isStored) this.#known.delete(client);
  }

  #remember(client: string, session: Session): void {
    // Their order matters once there are too many.
    const isFull = this.#known.size >= LIMITS.sessionsCached;
    if (isFull) this.#known.delete(client);
    this.#known.set(client, session);
    if (this.#known.size > LIMITS.sessionsCached) {
      this.#known.delete(this.#known.keys().next().value!);
    }
  }

  /** Releases the statements. */
  finalize(): void {
    for (
      const each of [
        this.#select,
        this.#insert,
        this.#update,
        this.#delete,
        this.#next,
        this.#touch,
      ]
    ) each.finalize();
  }
}

function newSession(): Session {
  return { seq: 0, answers: [], units: 0, isStored: false };
}

/** A row as it was read. */
function sessionOf([seq, answers]: unknown[]): Session | typeof FOREIGN {
  if (!Number.isSafeInteger(seq) || typeof answers !== "string") return FOREIGN;
  const lines = answers === "" ? [] : answers.split("\n", WIRE_LIMITS.unackedMax + 1);
  if (lines.length > Math.min(Number(seq), WIRE_LIMITS.unackedMax)) return FOREIGN;
  return { seq: Number(seq), answers: lines, units: answers.length, isStored: true };
}

/** Drops the answers up to the number `acked`. */
function dropAnswers(session: Session, acked: number): void {
  const { answers } = session;
  const count = Math.min(answers.length, acked - (session.seq - answers.length));
  if (count <= 0) return;
  for (let i = 0; i < count; i++) session.units -= answers[i].length;
  answers.splice(0, count);
}

const UUID_V7 = /^([0-9a-f]{8})-([0-9a-f]{4})-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/i;

/** When a client's name was made, in milliseconds since 1970, where it says so. */
function createdAt(client: string): number | undefined {
  const parts = UUID_V7.exec(client);
  return parts === null ? undefined : parseInt(parts[1] + parts[2], 16);
}

/** Whatever it says of the requests before, it may be wrong. */
function foreign(client: string): SkylineError {
  return new SkylineError(
    "CLIENT_FORGOTTEN",
    `What is remembered of the client ${JSON.stringify(client)} cannot be read: ` +
      `another program has changed its row in the table ${CLIENTS}`,
    {
      hint:
        "Read the data to find out what took effect, then start a new session: another `client`, and `seq` from 1.",
    },
  );
}

function gap(message: string): SkylineError {
  return new SkylineError("SEQUENCE_GAP", message);
}
