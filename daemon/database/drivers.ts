/**
 * Driving an execution: inline, where the loop waits for it, or beside the loop, where it goes on meanwhile.
 *
 * @module
 */
import { LIMITS } from "../process/limits.ts";
import type { Connection } from "../sqlite/connection.ts";
import { RESULT, SqliteError } from "../sqlite/errors.ts";
import { Preparation } from "../sqlite/preparation.ts";
import type { Statement } from "../sqlite/statement.ts";
import { type Caution, type CostlyStatements, raised } from "./costly_statements.ts";
import { type Execution, standsAlone, type Step } from "./execution.ts";
import { checkWanted, interruptible, isInterrupt } from "./interruptible.ts";
import { DISK_WORK } from "./disk_work.ts";
import type { Semaphore } from "./semaphore.ts";
import { WRITE_PREPARATION_SLOTS, WRITE_SLOTS } from "./slow_steps.ts";
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
  /** Bounds what is prepared off the loop, which has one of `slots` as well; that of writes by default. */
  readonly preparationSlots?: Semaphore;
  /** How often it was begun anew beside the loop; by default it was not. */
  readonly attempt?: number;
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
  drive.costly.look(clock.now);
  let next = execution.next();
  let current: Statement | undefined;
  let since = 0;
  while (!next.done) {
    if (next.value instanceof Preparation) {
      next = prepareInline(next.value, execution, drive, clock);
      continue;
    }
    const statement = next.value;
    if (statement === null) {
      next = execution.next(true);
      continue;
    }
    if (statement !== current) since = clock.now;
    current = statement;
    let row: boolean;
    try {
      if (clock.now > untilMs) {
        // Many rows, each of them cheap.
        if (clock.now - since > LIMITS.stepInlineMs) drive.costly.mark(statement.sql);
        throw new NotInline();
      }
      if (cautionOf(statement, drive) > 0) throw new NotInline();
      const started = clock.now;
      try {
        row = stepUntil(statement, drive, started + LIMITS.stepInlineMs, false);
      } finally {
        clock.now = performance.now();
        // Even if it hardly looked at the clock: an FTS5 rebuild is 11 operations.
        if (clock.now - started > LIMITS.stepInlineMs) drive.costly.mark(statement.sql);
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

function cautionOf(statement: Statement, { costly, slots = WRITE_SLOTS }: Drive): Caution {
  return costly.cautionWith(statement, slots);
}

/** Gives what comes next. */
function prepareInline<T>(
  preparation: Preparation,
  execution: Execution<T>,
  drive: Drive,
  clock: Clock,
): IteratorResult<Step, T> {
  try {
    if (drive.costly.isExpensive(preparation.sql)) throw new NotInline();
    prepareUntil(preparation, drive, clock.now, LIMITS.stepInlineMs);
  } catch (error) {
    return execution.throw(error);
  } finally {
    clock.now = performance.now();
  }
  return execution.next(true);
}

function prepareUntil(
  preparation: Preparation,
  { connection, costly }: Drive,
  now: number,
  ms: number,
): void {
  connection.clock.until = now + ms;
  try {
    preparation.within(ms);
  } catch (error) {
    if (!isInterrupt(error)) throw error;
    costly.markExpensive(preparation.sql);
    throw new NotInline();
  } finally {
    connection.clock.until = Infinity;
  }
}

function stepUntil(
  statement: Statement,
  { connection, costly }: Drive,
  untilMs: number,
  looksOften: boolean,
): boolean {
  const { quickUpTo, isSteep } = statement;
  const { clock } = connection;
  clock.until = untilMs;
  clock.looksOften = looksOften || isSteep;
  connection.valueBytesMax = quickUpTo;
  try {
    return statement.stepWithin(LIMITS.stepInlineMs);
  } catch (error) {
    const isTooBig = error instanceof SqliteError && error.primary === RESULT.TOOBIG;
    if (isTooBig && quickUpTo < Infinity) costly.mark(statement.sql, Infinity);
    else if (!isInterrupt(error)) throw error;
    throw new NotInline();
  } finally {
    clock.until = Infinity;
  }
}

/**
 * Drives an execution to its end beside the loop: costly steps on another thread, cheap ones inline with turns of the
 * loop in between.
 *
 * @throws {NotInline} when a step inline took too long after all: run the execution again.
 * @throws {SkylineError} `TIMEOUT` at the deadline.
 */
export async function driveBeside<T>(execution: Execution<T>, drive: Drive): Promise<T> {
  const started = performance.now();
  drive.costly.look(started);
  let turnAt = started + LIMITS.stepInlineMs;
  const all = new Map<string, StatementSteps>();
  let current: StatementSteps | undefined;
  let next = execution.next();
  while (!next.done) {
    if (next.value === null) {
      await rest();
      next = execution.next(true);
      continue;
    }
    if (next.value instanceof Preparation) {
      next = await prepareBeside(next.value, execution, drive);
      continue;
    }
    if (current?.statement !== next.value) current = stepsOf(next.value, drive, all);
    let row: boolean;
    try {
      if (performance.now() > turnAt) {
        await rest();
        turnAt = performance.now() + LIMITS.stepInlineMs;
      }
      checkWanted(drive);
      row = await current.step();
    } catch (error) {
      next = execution.throw(error);
      continue;
    }
    if (!row) {
      current.endRun();
      current = undefined;
    }
    next = execution.next(row);
  }
  // Not before: were a mark dropped, another run of the same SQL would try inline, fail, and begin all anew.
  for (const steps of all.values()) steps.judge();
  return next.value;
}

/** Those of this SQL, which go on where it was run before. */
function stepsOf(
  statement: Statement,
  drive: Drive,
  all: Map<string, StatementSteps>,
): StatementSteps {
  const before = all.get(statement.sql);
  if (before) {
    before.statement = statement;
    return before;
  }
  const steps = new StatementSteps(statement, drive);
  all.set(statement.sql, steps);
  return steps;
}

/** Gives what comes next. Off the loop it goes where it turns out to take long. */
async function prepareBeside<T>(
  preparation: Preparation,
  execution: Execution<T>,
  drive: Drive,
): Promise<IteratorResult<Step, T>> {
  try {
    checkWanted(drive);
    const isPrepared = !drive.costly.isExpensive(preparation.sql) &&
      prepareInTime(preparation, drive);
    if (!isPrepared) await prepareOffLoop(preparation, drive);
  } catch (error) {
    return execution.throw(error);
  }
  return execution.next(true);
}

function prepareInTime(preparation: Preparation, drive: Drive): boolean {
  try {
    prepareUntil(preparation, drive, performance.now(), LIMITS.stepCheapMs);
    return true;
  } catch (error) {
    if (error instanceof NotInline) return false;
    throw error;
  }
}

async function prepareOffLoop(preparation: Preparation, drive: Drive): Promise<void> {
  const { slots = WRITE_SLOTS, preparationSlots = WRITE_PREPARATION_SLOTS } = drive;
  await slots.acquire(drive);
  try {
    await preparationSlots.acquire(drive);
    try {
      checkWanted(drive);
      await interruptible(drive, () => preparation.offLoop(), () => false);
      if (!preparation.statement?.isLarge) drive.costly.notePrepared(preparation.sql);
    } finally {
      preparationSlots.release();
    }
  } finally {
    slots.release();
  }
}

/** The steps of all runs of a statement in one drive beside the loop. */
class StatementSteps {
  /** As it was prepared last. */
  statement: Statement;
  readonly #drive: Drive;
  readonly #caution: Caution;
  /** Steps off the loop, up to the last one, that were cheap. */
  #cheapInARow = 0;
  #hasHeldLoop = false;
  #count = 0;
  #costlyCount = 0;
  #runs = 0;
  #runMs = 0;
  #allMs = 0;

  constructor(statement: Statement, drive: Drive) {
    this.statement = statement;
    this.#drive = drive;
    this.#caution = standsAlone(statement.sql)
      ? Infinity
      : Math.max(cautionOf(statement, drive), leastCaution(drive));
  }

  async step(): Promise<boolean> {
    this.#count++;
    return this.#cheapInARow >= this.#caution ? this.#stepInline() : await this.#stepOffLoop();
  }

  /** A run has come to its end. */
  endRun(): void {
    this.#runs++;
    this.#allMs += this.#runMs;
    this.#drive.costly.noteRun(this.statement, this.#runMs < LIMITS.stepInlineMs);
    this.#runMs = 0;
  }

  /** All runs have come to their ends: remembers how to do it the next time. */
  judge(): void {
    const { costly } = this.#drive;
    const { sql } = this.statement;
    if (this.#allMs < this.#runs * LIMITS.stepInlineMs) costly.unmark(this.statement);
    else if (this.#costlyCount * LIMITS.costlyShare <= this.#count) costly.ease(sql);
    else if (this.#hasHeldLoop) costly.mark(sql, raised(this.#caution));
  }

  #stepInline(): boolean {
    const { statement } = this;
    const { costly } = this.#drive;
    const started = performance.now();
    const untilMs = started + LIMITS.stepInlineMs;
    try {
      return stepUntil(statement, this.#drive, untilMs, this.#caution > 0);
    } catch (error) {
      if (error instanceof NotInline) costly.mark(statement.sql, raised(this.#caution));
      throw error;
    } finally {
      if (this.#noteTime(started) >= LIMITS.stepInlineMs) this.#hasHeldLoop = true;
    }
  }

  #noteTime(started: number): number {
    const tookMs = performance.now() - started;
    this.#runMs += tookMs;
    if (tookMs < LIMITS.stepInlineMs) return tookMs;
    this.#costlyCount++;
    this.#cheapInARow = 0;
    return tookMs;
  }

  async #stepOffLoop(): Promise<boolean> {
    const slots = this.#drive.slots ?? WRITE_SLOTS;
    await slots.acquire(this.#drive);
    const started = performance.now();
    try {
      checkWanted(this.#drive);
      const step = () =>
        interruptible(this.#drive, () => this.statement.stepOffLoop(), (row) => row);
      return await (slots === WRITE_SLOTS ? DISK_WORK.during(step) : step());
    } finally {
      slots.release();
      const isCheap = this.#noteTime(started) < LIMITS.stepCheapMs;
      this.#cheapInARow = isCheap ? this.#cheapInARow + 1 : 0;
    }
  }
}

/** Where steps on the loop were interrupted again and again, all statements are done with ever more caution: so it ends. */
function leastCaution({ attempt = 0 }: Drive): Caution {
  return attempt < 2 ? 0 : LIMITS.costlyShare ** (attempt - 2);
}
