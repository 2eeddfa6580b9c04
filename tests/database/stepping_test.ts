import assert from "node:assert/strict";
import { CostlyStatements } from "../../daemon/database/costly_statements.ts";
import { Clock, driveBeside, driveInline, NotInline } from "../../daemon/database/drivers.ts";
import { executeWrite } from "../../daemon/database/execution.ts";
import { LIMITS } from "../../daemon/process/limits.ts";
import { RESULT, SqliteError } from "../../daemon/sqlite/errors.ts";
import { Statement } from "../../daemon/sqlite/statement.ts";
import { TemporaryConnection } from "../sqlite/temporary_connection.ts";

const ROWS = 2_000;
const MANY = `with recursive n(i) as (select 1 union all select i + 1 from n where i < ${ROWS}) ` +
  "select i from n";

/** What becomes of a step, for the machine is busy or there is much to do. */
type Fate = "long" | "interrupted" | void;

/** A connection whose clock goes on by 10 µs with every look at it, and with the steps that are fated to be long. */
class SteppedConnection implements Disposable {
  readonly #temporary = new TemporaryConnection();
  readonly connection = this.#temporary.connection;
  costly = new CostlyStatements();
  /** What becomes of each step, counted from 1 in each attempt, the others inline. */
  fate: (count: number, isInline: boolean, sql: string) => Fate = () => {};
  /** Steps of the last request. */
  inline = 0;
  offLoop = 0;
  #count = 0;
  #time = performance.now();
  readonly #now = performance.now;
  readonly #step = Statement.prototype.stepWithin;

  constructor() {
    this.connection.exec("create table t(v)");
    performance.now = () => this.#time += 0.01;
    const realStep = this.#step;
    const stepped = (statement: Statement, ms: number) =>
      this.#stepInline(statement, () => realStep.call(statement, ms));
    Statement.prototype.stepWithin = function (ms) {
      return stepped(this, ms);
    };
    const { connection } = this;
    const offLoop = connection.offLoop.bind(connection);
    connection.offLoop = async (work) => {
      this.offLoop++;
      const done = await offLoop(work);
      if (this.fate(++this.#count, false, "") !== undefined) this.#time += 6;
      return done;
    };
  }

  #stepInline(statement: Statement, realStep: () => boolean): boolean {
    this.inline++;
    const fate = this.fate(++this.#count, true, statement.sql);
    if (fate === "interrupted") {
      this.#time += 6;
      throw new SqliteError(RESULT.INTERRUPT, "interrupted");
    }
    const row = realStep();
    if (fate === "long") this.#time += 6;
    return row;
  }

  write(...sql: string[]) {
    const deadline = performance.now() + 3_600_000;
    const statements = sql.map((each) => ({ sql: each, params: [] }));
    const write = { statements, atomic: true, results: false, deadline, units: 100 };
    const { connection, costly } = this;
    return { execution: executeWrite(connection, write), drive: { connection, costly, deadline } };
  }

  /** Drives as a lone write does; gives how often it was begun. */
  async beside(...sql: string[]): Promise<number> {
    this.inline = this.offLoop = 0;
    for (let attempt = 0;; attempt++) {
      this.#count = 0;
      const { execution, drive } = this.write(...sql);
      try {
        await driveBeside(execution, { ...drive, attempt });
        return attempt + 1;
      } catch (error) {
        if (!(error instanceof NotInline)) throw error;
      }
    }
  }

  isInline(sql: string): boolean {
    const { execution, drive } = this.write(sql);
    const clock = new Clock();
    try {
      driveInline(execution, drive, clock, clock.now + 20);
      return true;
    } catch (error) {
      if (!(error instanceof NotInline)) throw error;
      return false;
    }
  }

  [Symbol.dispose](): void {
    performance.now = this.#now;
    Statement.prototype.stepWithin = this.#step;
    this.#temporary[Symbol.dispose]();
  }
}

Deno.test("driveBeside() goes on inline after a step for which the machine was busy", async () => {
  using it = new SteppedConnection();
  it.costly.mark(MANY);
  it.fate = (count) => count === 1_000 ? "long" : undefined;
  assert.equal(await it.beside(MANY), 1);
  assert.equal(it.offLoop, 2, "the first, and one after the long one");
  it.fate = () => {};
  assert.equal(await it.beside(MANY), 1);
  assert.equal(it.offLoop, 1, "and the next time the first");
});

Deno.test("driveBeside() finds the way back after a step that was interrupted", async () => {
  using it = new SteppedConnection();
  it.costly.mark(MANY);
  let left = 1;
  it.fate = (count) => count === 1_000 && left-- > 0 ? "interrupted" : undefined;
  assert.equal(await it.beside(MANY), 2);
  assert.equal(it.offLoop, 1 + LIMITS.costlyShare);
  it.fate = () => {};
  assert.equal(await it.beside(MANY), 1);
  assert.equal(it.offLoop, 1);
});

Deno.test("driveBeside() keeps a statement off the loop every third of whose steps is long", async () => {
  using it = new SteppedConnection();
  it.costly.mark(MANY);
  it.fate = (count) => count % 3 === 0 ? "long" : undefined;
  await it.beside(MANY);
  for (let i = 0; i < 3; i++) {
    await it.beside(MANY);
    assert.equal(it.inline, 0);
  }
});

Deno.test("driveBeside() steps a statement off the loop that others of its request were", async () => {
  using it = new SteppedConnection();
  const sql = "insert into t values (1)";
  it.costly.mark(sql);
  assert.equal(await it.beside(...Array.from({ length: 1_000 }, () => sql)), 1);
  assert.equal(it.offLoop, 1);
  assert.ok(it.isInline(sql));
});

Deno.test("driveBeside() begins anew a few times where each statement is another that is long", async () => {
  using it = new SteppedConnection();
  it.fate = (_, isInline, sql) => isInline && sql.startsWith("insert") ? "interrupted" : undefined;
  const sql = Array.from({ length: 100 }, (_, i) => `insert into t values (${i})`);
  assert.equal(await it.beside(...sql), 3);
});

Deno.test("driveInline() leaves what is new to a large file to driveBeside(), the first of its shape", async () => {
  using it = new SteppedConnection();
  it.costly = new CostlyStatements(() => LIMITS.largeFile.bytes);
  assert.ok(!it.isInline("insert into t values (1)"));
  assert.equal(await it.beside("insert into t values (1)"), 1);
  assert.equal(it.offLoop, 1);
  assert.ok(it.isInline("insert into t values (1)"));
  assert.ok(it.isInline("insert into t values (2), (3)"));
  assert.ok(!it.isInline("update t set v = 2 where v = 1"));
  await it.beside(...Array.from({ length: 100 }, (_, i) => `delete from t where v = ${i}`));
  assert.equal(it.offLoop, 1, "once in a request as well");
  await it.beside("delete from t");
  assert.ok(!it.isInline("delete from t"), "it is long by its nature");
});
