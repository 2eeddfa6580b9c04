import assert from "node:assert/strict";
import { BUSY, WriteQueue, type WriteQueueOptions } from "../../daemon/database/write_queue.ts";
import { LIMITS } from "../../daemon/process/limits.ts";

interface Item {
  readonly name: string;
  readonly deadline: number;
  readonly source: unknown;
  readonly alone: boolean;
}

function item(name: string, deadlineMs = 10_000): Item {
  return { name, deadline: performance.now() + deadlineMs, source: "one", alone: false };
}

/** A queue whose commits are noted; `commit` decides how many are settled. */
function queueOf(options: Partial<WriteQueueOptions<Item>> = {}) {
  const groups: string[][] = [];
  const expired: string[] = [];
  let maintained = 0;
  const queue: WriteQueue<Item> = new WriteQueue<Item>({
    commit: (items) => {
      groups.push(items.map(({ name }) => name));
      return items.length;
    },
    expire: ({ name }) => expired.push(name),
    maintain: () => {
      maintained++;
    },
    othersMaySend: () => false,
    ...options,
  });
  return { queue, groups, expired, maintained: () => maintained };
}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

Deno.test("WriteQueue commits together what was pushed in the same turn", async () => {
  const { queue, groups, maintained } = queueOf();
  for (const name of ["a", "b", "c"]) queue.push(item(name));
  assert.equal(queue.length, 3);
  await queue.idle();
  assert.deepEqual(groups, [["a", "b", "c"]]);
  assert.equal(queue.length, 0);
  assert.equal(maintained(), 1);
});

Deno.test("WriteQueue gathers the next group while one commits", async () => {
  const groups: string[][] = [];
  const begun = Promise.withResolvers<void>();
  const others = Promise.withResolvers<void>();
  const { queue } = queueOf({
    commit: async (items) => {
      groups.push(items.map(({ name }) => name));
      begun.resolve();
      await others.promise;
      return items.length;
    },
  });
  queue.push(item("a"));
  await begun.promise;
  for (const name of ["b", "c", "d"]) {
    queue.push(item(name));
    await sleep(1);
  }
  others.resolve();
  await queue.idle();
  assert.deepEqual(groups, [["a"], ["b", "c", "d"]]);
});

Deno.test("WriteQueue hands over again what a commit did not settle, in order", async () => {
  const groups: string[][] = [];
  const { queue } = queueOf({
    commit: (items) => {
      groups.push(items.map(({ name }) => name));
      return Math.min(2, items.length);
    },
  });
  for (const name of ["a", "b", "c", "d", "e"]) queue.push(item(name));
  await queue.idle();
  assert.deepEqual(groups, [["a", "b", "c", "d", "e"], ["c", "d", "e"], ["e"]]);
});

Deno.test("WriteQueue hands over no more than a group may hold", async () => {
  const { queue, groups } = queueOf();
  for (let i = 0; i < LIMITS.groupRequestsMax + 1; i++) queue.push(item(String(i)));
  await queue.idle();
  assert.deepEqual(groups.map(({ length }) => length), [LIMITS.groupRequestsMax, 1]);
});

Deno.test("WriteQueue waits a few turns for others, as long as they bring requests", async () => {
  const { queue, groups } = queueOf({ othersMaySend: () => true });
  queue.push(item("a"));
  for (let i = 1; i <= 3; i++) {
    await new Promise(setImmediate);
    queue.push(item(`later ${i}`));
  }
  await queue.idle();
  assert.deepEqual(groups[0]?.slice(0, 2), ["a", "later 1"]);
  assert.equal(groups.flat().length, 4);
});

Deno.test("WriteQueue tries again while the lock is held, and expires each at its deadline", async () => {
  let busy = true;
  const committed: string[] = [];
  const { queue, expired } = queueOf({
    commit: (items) => {
      if (busy) return BUSY;
      committed.push(...items.map(({ name }) => name));
      return items.length;
    },
  });
  queue.push(item("late", 10_000));
  queue.push(item("soon", 60));
  await sleep(150);
  assert.deepEqual(expired, ["soon"]);
  busy = false;
  await queue.idle();
  assert.deepEqual(committed, ["late"]);
});

Deno.test("WriteQueue expires what waits behind a long commit, never what is being committed", async () => {
  const { queue, expired, groups } = queueOf({
    commit: async (items) => {
      groups.push(items.map(({ name }) => name));
      await sleep(150);
      return 1;
    },
  });
  queue.push(item("running", 50));
  await sleep(5);
  queue.push(item("behind", 50));
  await sleep(120);
  assert.deepEqual(expired, ["behind"]);
  await queue.idle();
  assert.deepEqual(groups, [["running"]]);
});

Deno.test("WriteQueue expires what came together with a lone item while that is committed", async () => {
  const { queue, expired } = queueOf({ commit: () => sleep(150).then(() => 1) });
  queue.push({ ...item("running"), alone: true });
  queue.push(item("behind", 50));
  await sleep(120);
  assert.deepEqual(expired, ["behind"]);
  await queue.idle();
});

Deno.test("WriteQueue.idle() settles at once when nothing waits", async () => {
  const { queue } = queueOf();
  await queue.idle();
  queue.push(item("a"));
  await queue.idle();
  await queue.idle();
});

Deno.test("WriteQueue.wake() has the maintenance done once, and commits what comes meanwhile", async () => {
  let maintained = 0;
  const pushed = Promise.withResolvers<void>();
  const { queue, groups } = queueOf({
    maintain: async () => {
      maintained++;
      await pushed.promise;
    },
  });
  queue.wake();
  queue.wake();
  await sleep(5);
  queue.push(item("a"));
  await sleep(5);
  pushed.resolve();
  assert.deepEqual(groups, [], "the connection is used by one at a time");
  await queue.idle();
  assert.deepEqual([groups, maintained], [[["a"]], 2]);
});

/** A queue whose lone commits take 30 ms; gives the names in the order in which they were committed. */
function queueWithLone() {
  const committed: string[] = [];
  const { queue, expired } = queueOf({
    commit: (items) => {
      const alone = items.findIndex((item) => item.alone);
      if (alone === 0) return sleep(30).then(() => committed.push(items[0].name)).then(() => 1);
      const group = alone < 0 ? items : items.slice(0, alone);
      committed.push(...group.map(({ name }) => name));
      return group.length;
    },
  });
  const push = (source: string, name: string, more: Partial<Item> = {}) =>
    queue.push({ ...item(source + name), source, ...more });
  return { queue, committed, expired, push };
}

const alone = { alone: true };

Deno.test("WriteQueue lets others go first after a lone item, and keeps the order of each source", async () => {
  const { queue, committed, push } = queueWithLone();
  for (const name of ["1", "2"]) push("slow ", name, alone);
  push("slow ", "3");
  push("other ", "1");
  push("late ", "1", alone);
  push("other ", "2");
  push("late ", "2");
  await queue.idle();
  assert.deepEqual(committed.slice(0, 3), ["slow 1", "other 1", "other 2"]);
  for (const source of ["slow", "late"]) {
    const own = committed.filter((name) => name.startsWith(source));
    assert.deepEqual(own, own.toSorted());
  }
  assert.equal(committed.length, 7);
});

Deno.test("WriteQueue puts an item off that turns out to be alone only when it is committed", async () => {
  const { queue, committed, push } = queueWithLone();
  push("slow ", "1", alone);
  const found = { ...item("slow 2"), source: "slow ", alone: false };
  Object.defineProperty(found, "alone", { get: () => committed.length > 0 });
  queue.push(found);
  push("slow ", "3");
  push("other ", "1");
  await queue.idle();
  assert.deepEqual(committed, ["slow 1", "other 1", "slow 2", "slow 3"]);
});

Deno.test("WriteQueue gives others that go on writing most of the time beside lone items without end", async () => {
  const { queue, committed, push } = queueWithLone();
  const until = performance.now() + 600;
  while (performance.now() < until) {
    if (!committed.includes("slow") || queue.length < 3) push("slow", "", alone);
    push("other", "");
    await sleep(1);
  }
  const slow = committed.filter((name) => name === "slow").length;
  assert.ok(slow >= 2 && slow <= 7, `${slow} of 20 possible`);
  await queue.idle();
});

Deno.test("WriteQueue does not put a lone item off for ever although others never pause", async () => {
  let slow = 0;
  const until = performance.now() + 3_000;
  const { queue } = queueOf({
    commit: async (items) => {
      await sleep(items[0].alone ? 20 : 1);
      if (items[0].alone) slow++;
      else if (slow < 3 && performance.now() < until) queue.push({ ...item(""), source: "other" });
      return 1;
    },
  });
  for (let i = 0; i < 3; i++) queue.push({ ...item("slow"), alone: true });
  queue.push({ ...item(""), source: "other" });
  await queue.idle();
  assert.ok(performance.now() < until);
});

Deno.test("WriteQueue does not wait between lone items while nobody else writes", async () => {
  let heldMs = 0;
  const { queue } = queueOf({
    commit: async (items) => {
      const started = performance.now();
      if (items[0].alone) await sleep(2);
      heldMs += performance.now() - started;
      return 1;
    },
  });
  const started = performance.now();
  for (let i = 0; i < 100; i++) queue.push({ ...item(String(i)), alone: i % 2 === 0 });
  await queue.idle();
  const tookMs = performance.now() - started;
  assert.ok(tookMs < 2 * heldMs, `${tookMs} ms, ${heldMs} of them for commits`);
});

Deno.test("WriteQueue expires what is put off at its deadline", async () => {
  const committed: string[] = [];
  const other = { ...item("other"), source: "other" };
  const { queue, expired } = queueOf({
    commit: async ([{ name, alone }]) => {
      await sleep(alone ? 30 : 1);
      committed.push(name);
      const isWaiting = !expired.includes("slow 2") && !committed.includes("slow 2");
      // At once: were there a pause, what is put off would come first.
      if (!alone && isWaiting) queue.push(other);
      return 1;
    },
  });
  queue.push({ ...item("slow 1"), alone: true });
  queue.push({ ...item("slow 2"), alone: true, deadline: performance.now() + 60 });
  queue.push(other);
  await queue.idle();
  assert.deepEqual(expired, ["slow 2"]);
  assert.ok(!committed.includes("slow 2"));
});
