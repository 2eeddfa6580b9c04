import assert from "node:assert/strict";
import { IdleMemory, type IdleMemoryOptions } from "../../daemon/server/idle_memory.ts";
import { sleep } from "../e2e/daemon_case.ts";

const QUIET_MS = 100;

/** An {@link IdleMemory} that tells when it did what; by default one note is enough. */
function start(
  options: Partial<IdleMemoryOptions> & { notesMin?: number; pauseMs?: number; steps?: number } =
    {},
) {
  const { notesMin = 1, pauseMs = 0, steps = 2, ...rest } = options;
  const done: { what: string; at: number }[] = [];
  const tell = (what: string) => done.push({ what, at: performance.now() });
  const memory = new IdleMemory({
    isBusy: () => false,
    release: () => tell("release"),
    onGivenBack: () => tell("given back"),
    *giveBack() {
      for (let i = 0; i < steps; i++) {
        tell("step");
        yield;
      }
    },
    limits: { quietMs: QUIET_MS, notesMin, pauseMs },
    ...rest,
  });
  return { memory, done, what: () => done.map(({ what }) => what).join(", ") };
}

const ALL = "release, step, step, given back";

Deno.test("IdleMemory gives back once after a burst, and not before it is quiet", async () => {
  const { memory, done, what } = start();
  for (let i = 0; i < 8; i++) {
    memory.note();
    await sleep(QUIET_MS / 3);
  }
  assert.equal(what(), "", "nothing within the burst");
  memory.note();
  const lastAt = performance.now();
  await sleep(5 * QUIET_MS);
  assert.equal(what(), ALL);
  assert.ok(done[0].at - lastAt >= QUIET_MS - 1, `${done[0].at - lastAt} ms after the last note`);
  await sleep(3 * QUIET_MS);
  assert.equal(what(), ALL, "not again while nothing happens");
  memory.note();
  await sleep(5 * QUIET_MS);
  assert.equal(what(), `${ALL}, ${ALL}`, "but after the next burst");
});

Deno.test("IdleMemory waits while requests do", async () => {
  let busy = true;
  const { memory, what } = start({ isBusy: () => busy });
  memory.note();
  await sleep(6 * QUIET_MS);
  assert.equal(what(), "");
  busy = false;
  await sleep(4 * QUIET_MS);
  assert.equal(what(), ALL);
});

Deno.test("IdleMemory leaves it at that when something comes between the steps", async () => {
  let comes = 1;
  const { memory, what } = start({
    *giveBack() {
      for (let step = 0; step < 2; step++) {
        if (comes-- > 0) memory.note();
        yield;
      }
    },
  });
  memory.note();
  await sleep(2.9 * QUIET_MS);
  assert.equal(what(), "release", "the second step was not done");
  await sleep(4 * QUIET_MS);
  assert.equal(what(), "release, release, given back", "it is done when that is over");
});

Deno.test("IdleMemory passes over a little traffic until a while has passed", async () => {
  const { memory, what } = start({ notesMin: 3, pauseMs: 10 * QUIET_MS });
  memory.note();
  await sleep(4 * QUIET_MS);
  assert.equal(what(), ALL, "the first time at once");
  memory.note();
  memory.note();
  await sleep(4 * QUIET_MS);
  assert.equal(what(), ALL, "two notes are too few");
  memory.note();
  await sleep(4 * QUIET_MS);
  assert.equal(what(), `${ALL}, ${ALL}`, "three are enough");
  memory.note();
  await sleep(15 * QUIET_MS);
  assert.equal(what(), `${ALL}, ${ALL}, ${ALL}`, "and one, in time");
});
