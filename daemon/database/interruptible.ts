/**
 * Work of SQLite on another thread that can be interrupted.
 *
 * @module
 */
import { LIMITS } from "../process/limits.ts";
import type { Connection } from "../sqlite/connection.ts";
import { RESULT, SqliteError } from "../sqlite/errors.ts";
import { gone, timeout } from "./failures.ts";

/** What is worked for. */
export interface Wanted {
  readonly connection: Connection;
  /** When it is given up, on the clock of `performance.now()`. */
  readonly deadline: number;
  /** Whether nobody waits for it any more. */
  readonly signal?: AbortSignal;
}

/** @throws {SkylineError} once it is given up. */
export function checkWanted({ deadline, signal }: Wanted): void {
  if (performance.now() >= deadline) throw timeout();
  if (signal?.aborted) throw gone(signal);
}

/** Whether SQLite was interrupted, by whatever. */
export function isInterrupt(error: unknown): boolean {
  return error instanceof SqliteError && error.primary === RESULT.INTERRUPT;
}

/**
 * Does `work` on another thread, and interrupts it once it is given up. `isToGoOn` says of its result whether an interrupt
 * that came after it would end what goes on.
 *
 * @throws {SkylineError} when it was given up.
 */
export async function interruptible<T>(
  { connection, deadline, signal }: Wanted,
  work: () => Promise<T>,
  isToGoOn: (result: T) => boolean,
): Promise<T> {
  let interrupted = false;
  let ended = false;
  const interrupt = () => {
    // On Deno 2.6 a timer that is due may run although it was cleared, and would interrupt whatever comes next, for ever.
    if (ended) return;
    interrupted = true;
    connection.interrupt();
    clearTimeout(timer); // the deadline's, if this came before it
    // Again, until the work ends: one that comes before the other thread has entered SQLite is lost.
    timer = setTimeout(interrupt, LIMITS.interruptAgainMs);
  };
  let timer = setTimeout(interrupt, Math.max(0, deadline - performance.now()));
  signal?.addEventListener("abort", interrupt);
  const givenUp = () => signal?.aborted ? gone(signal) : timeout();
  try {
    const result = await connection.offLoop(work);
    // An interrupt that came after a step would end the statement's next one; the end of a statement clears it.
    if (interrupted && isToGoOn(result)) throw givenUp();
    return result;
  } catch (error) {
    throw interrupted && isInterrupt(error) ? givenUp() : error;
  } finally {
    // Before anything else runs on the connection: one that finds no step would end the next.
    ended = true;
    clearTimeout(timer);
    signal?.removeEventListener("abort", interrupt);
  }
}
