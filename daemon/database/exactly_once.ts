/**
 * Requests that are executed once, however often they are sent: by their number in a client's session, or by a key.
 *
 * @module
 */
import type { SkylineError } from "../../client/errors.ts";
import { LIMITS } from "../process/limits.ts";
import type { Connection } from "../sqlite/connection.ts";
import { Keys } from "./keys.ts";
import { Sessions } from "./sessions.ts";
import { isDone, Replay, type Write, type WriteDone, type WriteOutcome } from "./write.ts";

/** What one database remembers. It is made anew when the database is opened again, and then knows what the file does. */
export class ExactlyOnce {
  readonly #sessions: Sessions;
  readonly #keys: Keys;
  #sweptAt = performance.now();
  /** Whether the open transaction deletes what is too old. */
  #isSweeping = false;

  /** The tables exist. */
  constructor(connection: Connection) {
    this.#sessions = new Sessions(connection);
    this.#keys = new Keys(connection);
  }

  /** Lets go of what stands in the file as well, while no transaction is open. */
  releaseMemory(): void {
    this.#sessions.releaseMemory();
  }

  /** A transaction begins, or begins anew: what an undone one would have changed is forgotten. */
  discard(): void {
    this.#sessions.discard();
    this.#keys.discard();
    if (!this.#isSweeping) return;
    this.#isSweeping = false;
    this.#sessions.sweepAnew();
    this.#keys.sweepAnew();
  }

  /** What a request is answered for its number in its session; `null`: it is the next, or has none. */
  recall({ session }: Write): Replay | SkylineError | null {
    return session === undefined ? null : this.#sessions.recall(session);
  }

  /** What a request is answered for its key; `null`: the key is new, or there is none. */
  recallKey(write: Write): Replay | SkylineError | null {
    return write.key === undefined ? null : this.#keys.recall(write.key, write);
  }

  /** Keeps what a request with a key did, in its savepoint. */
  storeKey(write: Write, done: WriteDone): void {
    if (write.key !== undefined) this.#keys.store(write.key, write, done, nowInSeconds());
  }

  /**
   * Takes a request of a session as answered, with the transaction that is open. A failure that may pass (`retry` is not
   * "no") is not kept: the request may come again with the same number.
   */
  note({ session }: Write, outcome: WriteOutcome): void {
    if (session === undefined) return;
    const answer = outcome instanceof Replay ? outcome.outcome : outcome;
    if (isDone(answer) || answer.retry === "no") this.#sessions.note(session, answer);
  }

  /** Whether the transaction that is open has to be committed even if no request succeeded. */
  get hasChanges(): boolean {
    return this.#sessions.hasChanges;
  }

  /** Writes what changed into the transaction that is open, before its COMMIT. */
  save(): void {
    const now = nowInSeconds();
    this.#sessions.save(now);
    const added = this.#keys.stored + this.#sessions.stored;
    if (added >= LIMITS.sweepAdded || performance.now() - this.#sweptAt > LIMITS.sweepMs) {
      this.#sweepSome(now);
    }
    this.#keys.save();
  }

  #sweepSome(now: number): void {
    this.#sweptAt = performance.now();
    for (const each of [this.#sessions, this.#keys]) {
      // Twice as many are looked at as were added: else those that are too old might come faster than they go.
      const limit = Math.max(LIMITS.sweepRows, 2 * each.stored);
      each.stored = 0;
      if (each.dueAt > now) continue;
      this.#isSweeping = true;
      each.sweep(now, { limit, until: performance.now() + LIMITS.groupMs });
    }
  }

  /** Whether there may be something to forget, for all that is known without a look into the file. */
  get isSweepDue(): boolean {
    const now = nowInSeconds();
    return this.#sessions.hasLeft || this.#sessions.dueAt <= now || this.#keys.dueAt <= now;
  }

  /** Looks for what is to be forgotten, for some milliseconds; in no transaction. */
  findOld(): boolean {
    const now = nowInSeconds();
    const until = performance.now() + LIMITS.sweepHoldMs;
    if (this.#sessions.hasLeft || this.#keys.findOld(now)) return true;
    while (this.#sessions.dueAt <= now && performance.now() < until) {
      if (this.#sessions.findOld(now, { limit: LIMITS.sweepRows, until })) return true;
    }
    return false;
  }

  /** Forgets what is too old in the transaction that is open, for some milliseconds. */
  sweep(): void {
    const now = nowInSeconds();
    const until = performance.now() + LIMITS.sweepHoldMs;
    this.#isSweeping = true;
    this.#sweptAt = performance.now();
    for (let isDue = true; isDue && performance.now() < until;) {
      isDue = false;
      for (const each of [this.#sessions, this.#keys]) {
        if (each.dueAt > now) continue;
        isDue = true;
        each.sweep(now, { limit: LIMITS.sweepRows, until });
      }
    }
  }

  /** The transaction was committed. */
  committed(): void {
    this.#isSweeping = false;
    this.#sessions.committed();
    this.#keys.committed();
  }

  /** A client sends no more. */
  leave(client: string): void {
    this.#sessions.leave(client);
  }

  /** Releases the statements, so that the connection can be closed. */
  finalize(): void {
    this.#sessions.finalize();
    this.#keys.finalize();
  }
}

/** Since 1970. Whole seconds fit 32 bits, which FFI passes faster than 64. */
function nowInSeconds(): number {
  return Math.floor(Date.now() / 1000);
}
