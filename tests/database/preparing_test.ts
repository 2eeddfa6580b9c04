import assert from "node:assert/strict";
import { CostlyStatements } from "../../daemon/database/costly_statements.ts";
import { Clock, driveBeside, driveInline, NotInline } from "../../daemon/database/drivers.ts";
import { executeWrite } from "../../daemon/database/execution.ts";
import { LIMITS } from "../../daemon/process/limits.ts";
import { sqlite } from "../../daemon/sqlite/ffi.ts";
import type { Script } from "../../daemon/sqlite/script.ts";
import { TemporaryConnection } from "../sqlite/temporary_connection.ts";

/** Another library than the one that is built does not end what takes long. */
const ignore = sqlite().skylinedb_prepare === null;

function doubled(times: number): string {
  const parts = Array.from(
    { length: times },
    (_, i) => `c${i + 1} as (select * from c${i} union all select * from c${i})`,
  );
  return `with c0 as (select v from t), ${parts.join(", ")} select count(*) from c${times}`;
}

/** Takes more memory to prepare than there is for it. */
const DOUBLED = doubled(19);

/** Takes some 50 ms to prepare, and 0.6 MB. */
const EXPENSIVE = doubled(11);

/** Counts what is prepared for a client on the loop, and off it. */
class CountedConnection implements Disposable {
  readonly #temporary = new TemporaryConnection();
  readonly connection = this.#temporary.connection;
  readonly costly = new CostlyStatements();
  inline = 0;
  offLoop = 0;

  constructor() {
    const { connection } = this;
    connection.exec("create table t(v)");
    const inline = connection.prepareNext.bind(connection);
    const offLoop = connection.prepareNextOffLoop.bind(connection);
    connection.prepareNext = (script: Script, options = {}) => {
      // The connection prepares some of its own.
      if (connection.principal === "client") this.inline++;
      return inline(script, options);
    };
    connection.prepareNextOffLoop = (script: Script) => {
      this.offLoop++;
      return offLoop(script);
    };
  }

  #start(sql: string) {
    const { connection, costly } = this;
    this.inline = this.offLoop = 0;
    const deadline = performance.now() + 60_000;
    const statements = [{ sql, params: [] }];
    const write = { statements, atomic: true, results: false, deadline, units: 100 };
    return {
      execution: executeWrite(connection, write),
      drive: { connection, costly, deadline },
    };
  }

  runInline(sql: string): void {
    const { execution, drive } = this.#start(sql);
    const clock = new Clock();
    driveInline(execution, drive, clock, clock.now + 60_000);
  }

  async runBeside(sql: string): Promise<void> {
    const { execution, drive } = this.#start(sql);
    await driveBeside(execution, drive);
  }

  [Symbol.dispose](): void {
    this.#temporary[Symbol.dispose]();
  }
}

Deno.test("driveInline() tries once to prepare what takes long", { ignore }, async () => {
  using it = new CountedConnection();
  for (const tries of [1, 0, 0]) {
    assert.throws(() => it.runInline(DOUBLED), NotInline);
    assert.equal(it.inline, tries);
  }
  await assert.rejects(it.runBeside(DOUBLED), /over 32 MiB/);
  assert.deepEqual([it.inline, it.offLoop], [0, 1]);
  assert.throws(() => it.runInline(DOUBLED), NotInline);
  assert.equal(it.inline, 0, "as long as it is not prepared");
});

Deno.test("driveBeside() prepares off the loop what takes long, once", { ignore }, async () => {
  using it = new CountedConnection();
  await it.runBeside(EXPENSIVE);
  assert.deepEqual([it.inline, it.offLoop], [1, 1]);
  assert.equal(it.costly.isExpensive(EXPENSIVE), false);
  // Not inline: on a busy machine its step takes too long for that.
  await it.runBeside(EXPENSIVE);
  assert.deepEqual([it.inline, it.offLoop], [0, 0], "it is kept prepared");
  for (const unkept of [EXPENSIVE + " ".repeat(LIMITS.cachedSqlLengthMax), doubled(12)]) {
    await it.runBeside(unkept);
    await it.runBeside(unkept);
    assert.deepEqual([it.inline, it.offLoop], [0, 1], "it is too long or too large to be kept");
  }
});

Deno.test("driveBeside() prepares what is cheap on the loop", async () => {
  using it = new CountedConnection();
  await it.runBeside("insert into t values (1); insert into t values (2)");
  assert.deepEqual([it.inline, it.offLoop], [2, 0]);
  await assert.rejects(it.runBeside("insert into nowhere values (1)"), /no such table/);
});

Deno.test("CostlyStatements.holds() knows SQL that is expensive to prepare", () => {
  const costly = new CostlyStatements();
  const write = (sql: string) => ({ statements: [{ sql, params: [] }] }) as never;
  costly.markExpensive("a");
  assert.ok(costly.holds(write("a")));
  assert.ok(!costly.holds(write("b")));
  costly.notePrepared("a");
  assert.ok(!costly.holds(write("a")));
  for (let i = 0; i <= LIMITS.costlyStatementsMax; i++) costly.markExpensive(`${i}`);
  assert.ok(!costly.isExpensive("0"));
  assert.ok(costly.isExpensive("1"));
});
