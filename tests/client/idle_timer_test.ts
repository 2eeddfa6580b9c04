import assert from "node:assert/strict";
import { IdleTimer } from "../../client/idle_timer.ts";
import { bounded } from "./bounded.ts";
import { sleep } from "./retry_case.ts";

/** Waits until the count is so high; gives the milliseconds that it took. */
async function until(count: () => number, least: number): Promise<number> {
  const startedAt = performance.now();
  while (count() < least) await sleep(1);
  return performance.now() - startedAt;
}

Deno.test(
  "IdleTimer tells when nothing has happened for its time, and with each look from then on",
  bounded(async () => {
    let [activity, told] = [0, 0];
    const timer = new IdleTimer(100, () => activity, () => told++);
    timer.start();
    assert.ok(await until(() => told, 1) >= 95);
    await until(() => told, 3);
    activity++;
    await sleep(20);
    told = 0;
    assert.ok(await until(() => told, 1) >= 60, "what happened starts it anew");
    timer.stop();
    told = 0;
    await sleep(150);
    assert.equal(told, 0);
  }),
);

Deno.test(
  "IdleTimer does not tell while something is under way",
  bounded(async () => {
    let [busy, told] = [true, 0];
    const timer = new IdleTimer(50, () => busy ? null : 1, () => told++);
    timer.start();
    await sleep(200);
    assert.equal(told, 0);
    busy = false;
    assert.ok(await until(() => told, 1) >= 45);
    timer.stop();
  }),
);

Deno.test(
  "IdleTimer never tells when its time is 0",
  bounded(async () => {
    let told = 0;
    const timer = new IdleTimer(0, () => 1, () => told++);
    timer.start();
    await sleep(100);
    timer.stop();
    assert.equal(told, 0);
  }),
);
