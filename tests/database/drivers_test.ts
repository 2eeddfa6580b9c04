import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { CostlyStatements } from "../../daemon/database/costly_statements.ts";
import { Clock, driveBeside, driveInline, NotInline } from "../../daemon/database/drivers.ts";
import { executeWrite } from "../../daemon/database/execution.ts";
import { TemporaryConnection } from "../sqlite/temporary_connection.ts";

/** What a look at the clock takes while {@link withClock} lasts, in milliseconds. */
const LOOK_MS = 0.02;

/**
 * Runs `body` on a clock that goes on with every look at it, and not otherwise: a step takes as long as it asks for the
 * time, however busy the machine is.
 */
async function withClock<T>(body: () => T): Promise<Awaited<T>> {
  const now = performance.now;
  let time = now.call(performance);
  performance.now = () => time += LOOK_MS;
  try {
    return await body();
  } finally {
    performance.now = now;
  }
}

/** Whether SQL is known as costly. */
function holds(costly: CostlyStatements, sql: string): boolean {
  const statements = [{ sql, params: [] }];
  return costly.holds({ statements, atomic: true, results: false, deadline: 0, units: 0 });
}

/** Whether SQL that is known as costly is not any more after a run beside the loop. */
async function isForgotten(sql: string): Promise<boolean> {
  using temporary = new TemporaryConnection();
  const { connection } = temporary;
  connection.exec("create table t(v)");
  connection.exec("insert into t values (1), (2), (3)");
  const costly = new CostlyStatements();
  costly.mark(sql);
  const deadline = performance.now() + 10_000;
  const write = { statements: [{ sql, params: [] }], atomic: true, results: true, deadline };
  await driveBeside(executeWrite(connection, { ...write, units: 100 }), {
    connection,
    costly,
    deadline,
  });
  return !holds(costly, sql);
}

for (const sql of ["update t set v = v + 1", "update t set v = v + 1 returning v"]) {
  Deno.test(`driveBeside() forgets that a statement was costly when it is cheap: ${sql}`, async () => {
    assert.ok(await withClock(() => isForgotten(sql)));
  });
}

Deno.test("driveBeside() remembers a statement as costly when its steps take long in all", async () => {
  const sql = `
    with recursive
      n(i) as (select 1 union all select i + 1 from n where i < 300),
      m(j) as (select 1 union all select j + 1 from m where j < 300)
    select i, (select sum(j * i) from m) from n`;
  assert.ok(!await withClock(() => isForgotten(sql)));
});

Deno.test("driveBeside() ends at the deadline when the interrupt comes after a step", async () => {
  using temporary = new TemporaryConnection();
  const { connection } = temporary;
  const sql = "with recursive n(i) as (select 1 union all select i + 1 from n) select i from n";
  const costly = new CostlyStatements();
  costly.mark(sql, Infinity);
  const now = performance.now.bind(performance);
  const deadline = now() + 20;
  const interrupted = Promise.withResolvers<void>();
  const interrupt = connection.interrupt.bind(connection);
  connection.interrupt = () => {
    interrupt();
    interrupted.resolve();
  };
  const offLoop = connection.offLoop.bind(connection);
  connection.offLoop = (work) =>
    offLoop(async () => {
      const row = await work();
      await interrupted.promise;
      return row;
    });
  // Timers may be up to a millisecond early: the deadline is then still to come.
  performance.now = () => Math.min(now(), deadline - 0.5);
  try {
    const write = { statements: [{ sql, params: [] }], atomic: true, results: false, deadline };
    const execution = executeWrite(connection, { ...write, units: 100 });
    await assert.rejects(driveBeside(execution, { connection, costly, deadline }), {
      code: "TIMEOUT",
    });
  } finally {
    performance.now = now;
  }
});

/** Whether the first statement of a write is known to be costly after the write took over 20 ms inline. */
function isCostlyAfter(sql: string, times: number): boolean {
  using temporary = new TemporaryConnection();
  const { connection } = temporary;
  connection.exec("create table t(v); begin");
  const costly = new CostlyStatements();
  const deadline = performance.now() + 10_000;
  const statements = Array.from({ length: times }, () => ({ sql, params: [] }));
  const write = { statements, atomic: true, results: false, deadline, units: 100 };
  const execution = executeWrite(connection, write);
  const clock = new Clock();
  assert.throws(
    () => driveInline(execution, { connection, costly, deadline }, clock, clock.now + 20),
    NotInline,
  );
  return holds(costly, sql);
}

Deno.test("driveInline() remembers a statement as costly that returns rows without end", async () => {
  const endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select i from n";
  assert.ok(await withClock(() => isCostlyAfter(endless, 1)));
});

Deno.test("driveInline() does not remember a statement as costly that is one of very many", async () => {
  assert.ok(!await withClock(() => isCostlyAfter("insert into t values (1)", 200_000)));
});

Deno.test("driveBeside() drops no mark while the same SQL is still to run", async () => {
  using temporary = new TemporaryConnection();
  const { connection } = temporary;
  connection.exec("create table t(v)");
  const sql = "insert into t values (trim(?, ?))";
  const costly = new CostlyStatements();
  costly.mark(sql, Infinity);
  const deadline = performance.now() + 10_000;
  // The second is too large for an inline call: inline, the whole would have to begin anew, for ever.
  const statements = ["x", "x".repeat(5_000)].map((text) => ({ sql, params: [text, "y"] }));
  const write = { statements, atomic: true, results: false, deadline, units: 6_000 };
  await driveBeside(executeWrite(connection, write), { connection, costly, deadline });
  assert.deepEqual(connection.get("select count(*) from t"), [2]);
});

/** Goes to and fro between two sockets of this process, and counts. */
async function roundTrips(during: () => Promise<unknown>): Promise<number> {
  const server = createServer((socket) => {
    socket.on("data", (data) => socket.write(data)).on("error", () => {});
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
  await once(socket, "connect");
  let count = 0;
  socket.on("data", () => {
    count++;
    socket.write("x");
  });
  socket.write("x");
  await once(socket, "data");
  count = 0;
  await during();
  const counted = count;
  socket.on("error", () => {}).destroy();
  server.close();
  await once(server, "close");
  return counted;
}

Deno.test("driveBeside() has the sockets read between steps that are cheap", async () => {
  using temporary = new TemporaryConnection();
  const { connection } = temporary;
  connection.exec("create table t(v)");
  const sql = "insert into t values (1)";
  const statements = Array.from({ length: 20_000 }, () => ({ sql, params: [] }));
  const deadline = performance.now() + 3_600_000;
  const write = { statements, atomic: true, results: false, deadline, units: 1_000 };
  const costly = new CostlyStatements();
  const count = await withClock(() =>
    roundTrips(() => driveBeside(executeWrite(connection, write), { connection, costly, deadline }))
  );
  // Seen: 16,000 times; with visits to another thread 170 to 470 times; with turns of the loop twice.
  assert.ok(count >= 1_000, `${count} times`);
});
