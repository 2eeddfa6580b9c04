import assert from "node:assert/strict";
import { Semaphore } from "../../daemon/database/semaphore.ts";

Deno.test("Semaphore lets so many in at once and the others in the order in which they came", async () => {
  const semaphore = new Semaphore(2);
  const entered: string[] = [];
  const enter = async (name: string) => {
    await semaphore.acquire();
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
