import assert from "node:assert/strict";
import { Room, Semaphore } from "../../daemon/database/semaphore.ts";

Deno.test("Semaphore lets so many in at once and the others in the order in which they came", async () => {
  const semaphore = new Semaphore(2);
  const entered: string[] = [];
  const enter = async (name: string) => {
    await semaphore.acquire({ deadline: performance.now() + 10_000 });
    entered.push(name);
  };
  for (const name of ["a", "b", "c", "d"]) enter(name);
  await Promise.resolve();
  await Promise.resolve();
  assert.deepEqual(entered, ["a", "b"]);
  assert.equal(semaphore.tryAcquire(), false);
  semaphore.release();
  semaphore.release();
  await Promise.resolve();
  await Promise.resolve();
  assert.deepEqual(entered, ["a", "b", "c", "d"]);
  assert.equal(semaphore.tryAcquire(), false, "a place that was handed over is taken");
  semaphore.release();
  assert.equal(semaphore.tryAcquire(), true);
});

Deno.test("Semaphore.acquire() ends at the deadline and when nobody waits, and takes no place then", async () => {
  const semaphore = new Semaphore(1);
  assert.ok(semaphore.tryAcquire());
  await assert.rejects(semaphore.acquire({ deadline: performance.now() + 1 }), { code: "TIMEOUT" });
  const leaving = new AbortController();
  const waiting = semaphore.acquire({
    deadline: performance.now() + 10_000,
    signal: leaving.signal,
  });
  leaving.abort();
  await assert.rejects(waiting, { code: "TIMEOUT" });
  await assert.rejects(
    semaphore.acquire({ deadline: performance.now() + 10_000, signal: leaving.signal }),
  );
  semaphore.release();
  assert.ok(semaphore.tryAcquire());
});

Deno.test("Room leaves its reserved places to semaphores that have nobody in", async () => {
  const room = new Room(4, 2);
  const [greedy, modest] = [new Semaphore(4, room), new Semaphore(4, room)];
  assert.ok(greedy.tryAcquire());
  assert.ok(greedy.tryAcquire());
  assert.ok(!greedy.tryAcquire());
  assert.ok(modest.tryAcquire());
  assert.ok(!modest.tryAcquire());
  let isIn = false;
  const entered = greedy.acquire({ deadline: performance.now() + 10_000 }).then(() => isIn = true);
  modest.release();
  assert.ok(!isIn && modest.tryAcquire(), "what is reserved stays so");
  modest.release();
  greedy.release();
  await entered;
});
