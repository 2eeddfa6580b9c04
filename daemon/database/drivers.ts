/**
 * Driving an execution: inline, where the loop waits for it, or beside the loop, where it goes on meanwhile.
 *
 * @module
 */
import { LIMITS } from "../process/limits.ts";
import type { Connection } from "../sqlite/connection.ts";
import { RESULT, SqliteError } from "../sqlite/errors.ts";
import type { Statement } from "../sqlite/statement.ts";
import type { CostlyStatements } from "./costly_statements.ts";
import { type Execution, standsAlone } from "./execution.ts";
import { gone, timeout } from "./failures.ts";
import type { Semaphore } from "./semaphore.ts";
import { WRITE_SLOTS } from "./slow_steps.ts";
import { rest } from "./turn.ts";

/** Thrown where an execution cannot be done inline; it is to be run again beside the loop. */
export class NotInline extends Error {}

/** What a driver needs to know of an execution beside itself. */
export interface Drive {
  readonly connection: Connection;
  readonly costly: CostlyStatements;
  /** When it is given up, on the clock of `performance.now()`. */
  readonly deadline: number;
  /** Whether nobody waits for it any more. */
  readonly signal?: AbortSignal;
  /** Bounds the steps off the loop; those of writes by default. */
  readonly slots?: Semaphore;
}

/** The time as it was when somebody last asked: to ask costs as much as four calls of SQLite. */
export class Clock {
  /** On the clock of `performance.now()`. */
  now = performance.now();
}

/**
 * Drives an execution to its end without giving the loop a turn; the clock is set after every step.
 *
 * @throws {NotInline} when a step or the whole takes too long, or a statement is known to; a transaction may have been
 * undone then.
 */
export function driveInline<T>(
  execution: Execution<T>,
  drive: Drive,
  clock: Clock,
  untilMs: number,
): T {
  let next = execution.next();
  let current: Statement | undefined;
  let since = 0;
  while (!next.done) {
    const statement = next.value;
    if (statement !== current) since = clock.now;
    current = statement;
    let row: boolean;
    try {
      if (clock.now > untilMs) {
        // Many rows, each of them cheap.
        if (clock.now - since > LIMITS.stepInlineMs) drive.costly.mark(statement.sql);
        throw new NotInline();
      }
      if (drive.costly.steppingOf(statement.sql) !== "inline") throw new NotInline();
      const started = clock.now;
      try {
        row = stepUntil(statement, drive, started + LIMITS.stepInlineMs);
      } finally {
        clock.now = noteTime(statement, drive, started);
      }
    } catch (error) {
      next = execution.throw(error);
      continue;
    }
    if (!row) current = undefined;
    next = execution.next(row);
  }
  return next.value;
}

function stepUntil(
  statement: Statement,
  { connection, costly }: Drive,
  untilMs: number,
): boolean {
  const { quickUpTo } = statement;
  connection.inlineUntil = untilMs;
  try {
    return quickUpTo < Infinity
      ? connection.warily(quickUpTo, () => statement.step())
      : statement.step();
  } catch (error) {
    const isTooBig = error instanceof SqliteError && error.primary === RESULT.TOOBIG;
    if (isTooBig && quickUpTo < Infinity) costly.mark(statement.sql, "offLoop");
    else if (!isInterrupt(error)) throw error;
    throw new NotInline();
  } finally {
    connection.inlineUntil = Infinity;
  }
}

/** Remembers one that took too long, even if it hardly looked at the clock: an FTS5 rebuild is 11 operations. */
function noteTime(statement: Statement, { costly }: Drive, started: number): number {
  const now = performance.now();
  if (now - started > LIMITS.stepInlineMs) costly.mark(statement.sql);
  return now;
}

function isInterrupt(error: unknown): boolean {
  return error instanceof SqliteError && error.primary === RESULT.INTERRUPT;
}

/**
 * Drives an execution to its end beside the loop: costly steps on another thread, cheap ones inline with turns of the
 * loop in between.
 *
 * @throws {NotInline} when a step inline took too long after all: run the execution again.
 * @throws {SkylineError} `TIMEOUT` at the deadline.
 */
export async function driveBeside<T>(execution: Execution<T>, drive: Drive): Promise<T> {
  let turnAt = performance.now() + LIMITS.stepInlineMs;
  let current: StatementSteps | undefined;
  // Told at the end: were a mark dropped before, another run of the same SQL would try inline, fail, and begin all anew.
  const cheap = new Set<string>();
  let next = execution.next();
  while (!next.done) {
    if (current?.statement !== next.value) current = new StatementSteps(next.value, drive);
    let row: boolean;
    try {
      if (performance.now() > turnAt) {
        await rest();
        turnAt = performance.now() + LIMITS.stepInlineMs;
      }
      checkTime(drive);
      row = await current.step();
    } catch (error) {
      next = execution.throw(error);
      continue;
    }
    if (!row) {
      const { sql } = current.statement;
      if (current.wasCheap) cheap.add(sql);
      else cheap.delete(sql);
      current = undefined;
    }
    next = execution.next(row);
  }
  for (const sql of cheap) drive.costly.unmark(sql);
  return next.value;
}

function checkTime({ deadline, signal }: Drive): void {
  if (performance.now() >= deadline) throw timeout();
  if (signal?.aborted) throw gone(signal);
}

/** One run of a statement, beside the loop. */
class StatementSteps {
  readonly #stepping;
  #lastMs = Infinity;
  #tookMs = 0;

  constructor(readonly statement: Statement, readonly drive: Drive) {
    this.#stepping = standsAlone(statement.sql)
      ? "offLoop"
      : drive.costly.steppingOf(statement.sql);
  }

  async step(): Promise<boolean> {
    return this.#isInline() ? this.#stepInline() : await this.#stepOffLoop();
  }

  /** Whether it was done off the loop, and need not have been. */
  get wasCheap(): boolean {
    return this.#stepping !== "inline" && this.#tookMs < LIMITS.stepInlineMs;
  }

  #stepInline(): boolean {
    const started = performance.now();
    try {
      return stepUntil(this.statement, this.drive, started + LIMITS.stepInlineMs);
    } finally {
      this.#tookMs += noteTime(this.statement, this.drive, started) - started;
    }
  }

  #isInline(): boolean {
    return this.#stepping === "inline" ||
      this.#stepping === "mixed" && this.#lastMs < LIMITS.stepCheapMs;
  }

  async #stepOffLoop(): Promise<boolean> {
    const slots = this.drive.slots ?? WRITE_SLOTS;
    await slots.acquire(this.drive);
    const started = performance.now();
    try {
      checkTime(this.drive);
      return await this.#stepInterruptibly();
    } finally {
      slots.release();
      this.#lastMs = performance.now() - started;
      this.#tookMs += this.#lastMs;
    }
  }

  async #stepInterruptibly(): Promise<boolean> {
    const { connection, deadline, signal } = this.drive;
    let interrupted = false;
    let ended = false;
    const interrupt = () => {
      // On Deno 2.6 a timer that is due may run although it was cleared, and would interrupt whatever comes next, for ever.
      if (ended) return;
      interrupted = true;
      connection.interrupt();
      clearTimeout(timer); // the deadline's, if this came before it
      // Again, until the step ends: one that comes before the other thread has entered SQLite is lost.
      timer = setTimeout(interrupt, LIMITS.interruptAgainMs);
    };
    let timer = setTimeout(interrupt, Math.max(0, deadline - performance.now()));
    signal?.addEventListener("abort", interrupt);
    const givenUp = () => signal?.aborted ? gone(signal) : timeout();
    try {
      const row = await connection.offLoop(() => this.statement.stepOffLoop());
      // An interrupt that came after the step would end the statement's next one; the end of a statement clears it.
      if (row && interrupted) throw givenUp();
      return row;
    } catch (error) {
      throw interrupted && isInterrupt(error) ? givenUp() : error;
    } finally {
      // Before anything else runs on the connection: one that finds no step would end the next.
      ended = true;
      clearTimeout(timer);
      signal?.removeEventListener("abort", interrupt);
    }
  }
}
