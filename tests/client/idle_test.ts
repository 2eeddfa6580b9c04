/** Connections that are closed when nothing is asked for a while. */
import assert from "node:assert/strict";
import { connect } from "../../mod.ts";
import { bounded } from "./bounded.ts";
import { FakeDaemon } from "./fake_daemon.ts";
import { FakeSessions } from "./fake_sessions.ts";
import { numbersOf, retryTest, sleep } from "./retry_case.ts";

const IDLE = { idleCloseMs: 100 };

/** Waits until the fake has so many connections, and gives after how many milliseconds. */
async function open({ sockets }: FakeDaemon, count: number): Promise<number> {
  const startedAt = performance.now();
  while (sockets.size !== count) await sleep(2);
  return performance.now() - startedAt;
}

retryTest("an idle connection is closed, and the next call goes on with the session", {}, async (
  { db, fake, sessions },
) => {
  for (const sql of ["a", "b", "c"]) {
    assert.equal((await db.run(sql)).replayed, false);
    assert.equal(fake.sockets.size, 1);
    const afterMs = await open(fake, 0);
    assert.ok(afterMs > 90 && afterMs < 5_000, `closed after ${afterMs} ms`);
  }
  assert.deepEqual(numbersOf(fake), ["a 1/0", "b 2/1", "c 3/2"]);
  assert.equal(new Set(fake.requests.map(({ client }) => client)).size, 1);
  assert.deepEqual([sessions.executed, sessions.left], [["a", "b", "c"], []]);
}, IDLE);

retryTest("an idle connection stays by default", {}, async ({ db, fake }) => {
  await db.run("a");
  await sleep(500);
  assert.equal(fake.sockets.size, 1);
});

for (const retry of [true, false]) {
  retryTest(
    `a connection is not idle while an answer is awaited, with retry ${retry}`,
    (request) => request.type === "Query" ? "late" : undefined,
    async ({ db, fake }) => {
      const [socket] = fake.sockets;
      await Promise.all(Array.from({ length: 10 }, () => db.values("q")));
      assert.deepEqual([...fake.sockets], [socket]);
    },
    { idleCloseMs: 10, retry },
  );
}

retryTest("a connection is not idle while calls are made now and then", {}, async (
  { db, fake },
) => {
  const [socket] = fake.sockets;
  for (let i = 0; i < 20; i++) {
    await db.values("q");
    await sleep(50);
    assert.deepEqual([...fake.sockets], [socket], `after ${i} calls`);
  }
}, { idleCloseMs: 500 });

retryTest("every call has its one effect when connections are closed all the time", {}, async (
  { db, fake, sessions },
) => {
  const sqls = Array.from({ length: 100 }, (_, i) => String(i));
  let closed = 0;
  for (const [i, sql] of sqls.entries()) {
    await db.run(sql);
    // Around the moment of closing.
    await sleep(i % 50);
    if (fake.sockets.size === 0) closed++;
  }
  assert.deepEqual(sessions.executed, sqls);
  assert.deepEqual(numbersOf(fake).at(-1), "99 100/99");
  assert.ok(closed > 0 && closed < sqls.length, `it was closed ${closed} times`);
}, { idleCloseMs: 20 });

retryTest("a connection that was lost is opened again and closed as idle", {
  b: ["cut after"],
}, async ({ db, fake, sessions }) => {
  await db.run("a");
  assert.equal((await db.run("b")).replayed, true);
  await open(fake, 0);
  await db.run("c");
  assert.deepEqual(sessions.executed, ["a", "b", "c"]);
}, IDLE);

retryTest("close() does not connect when the connection was closed as idle", {}, async (
  { db, fake, sessions },
) => {
  await db.run("a");
  await open(fake, 0);
  await db.close();
  assert.deepEqual([fake.sockets.size, sessions.left], [0, []]);
}, IDLE);

Deno.test(
  "connect() throws RangeError when idleCloseMs is no time",
  bounded(async () => {
    await using fake = await FakeDaemon.start(new FakeSessions(() => undefined).handler);
    for (const idleCloseMs of [-1, 1.5, NaN, Infinity, 86_400_001]) {
      await assert.rejects(connect({ pipe: fake.endpoint }, { idleCloseMs }), {
        name: "RangeError",
        message: /idleCloseMs/,
      });
    }
  }),
);
