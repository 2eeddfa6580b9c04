import assert from "node:assert/strict";
import { SkylineError } from "../../client/errors.ts";
import { LIMITS } from "../../daemon/process/limits.ts";
import { ConnectionMemory, type UnreadHolder } from "../../daemon/server/connection_memory.ts";
import { sleep } from "../e2e/daemon_case.ts";

const MiB = 2 ** 20;

/** A connection as far as its unread answers go. */
class Holder implements UnreadHolder {
  unread = 0;
  fetched = 0;
  isCut = false;

  constructor(readonly memory: ConnectionMemory) {}

  add(bytes: number): void {
    this.unread += bytes;
    this.memory.add(this, bytes);
  }

  cut(): void {
    this.isCut = true;
    this.add(-this.unread);
  }
}

function holders(count: number): [ConnectionMemory, ...Holder[]] {
  const memory = new ConnectionMemory();
  return [memory, ...Array.from({ length: count }, () => new Holder(memory))];
}

async function looked(): Promise<void> {
  await sleep((LIMITS.unread.looks + 2) * LIMITS.unread.lookMs);
}

Deno.test("ConnectionMemory cuts who fetches nothing past the bound, who has most first", async () => {
  const [memory, small, large, reading] = holders(3);
  small.add(10 * MiB);
  large.add(14 * MiB);
  await looked();
  assert.deepEqual([memory.isShort, large.isCut], [false, false], "it is within the bound");
  reading.add(15 * MiB);
  assert.ok(memory.isShort);
  const timer = setInterval(() => reading.fetched++, 50);
  await looked();
  clearInterval(timer);
  assert.deepEqual([small, large, reading].map(({ isCut }) => isCut), [false, true, false]);
  assert.equal(memory.isShort, false, "no more than has to be");
});

Deno.test("ConnectionMemory cuts who has most at once where there is no time to look", () => {
  const [, first, second, third] = holders(3);
  first.add(40 * MiB);
  second.add(60 * MiB);
  third.add(20 * MiB);
  assert.equal(second.isCut, false);
  third.add(10 * MiB);
  assert.deepEqual([first, second, third].map(({ isCut }) => isCut), [false, true, false]);
});

Deno.test("ConnectionMemory cuts sooner who is in the way of others' queries", async () => {
  const [memory, stuck] = holders(1);
  stuck.add(LIMITS.unread.waitBytes + 1);
  const begun = memory.wait(() => memory.hasRoom);
  const since = performance.now();
  await begun;
  assert.ok(stuck.isCut);
  const looks = (performance.now() - since) / LIMITS.unread.lookMs;
  assert.ok(looks > 1, "it was looked at twice");
});

Deno.test("ConnectionMemory lets a query begin where its connection and all together have fetched enough", async () => {
  const [memory, idle, some, much] = holders(3);
  const found = () => [
    ...[idle, some, much].map((holder) => memory.hasFetched(holder)),
    memory.hasRoom,
  ];
  some.add(1);
  assert.deepEqual(found(), [true, true, true, true]);
  much.add(LIMITS.connectionBytesMax);
  assert.deepEqual(found(), [true, true, false, true], "its own are enough");
  much.add(LIMITS.unread.bytes);
  assert.deepEqual(found(), [true, false, false, true], "who has some waits");
  much.add(LIMITS.unread.waitBytes);
  assert.deepEqual(found(), [true, false, false, false]);
  const begun: string[] = [];
  const waiting = [
    memory.wait(() => memory.hasRoom).then(() => begun.push("room")),
    memory.wait(() => memory.hasFetched(some)).then(() => begun.push("some")),
  ];
  much.add(-LIMITS.unread.waitBytes);
  await Promise.race(waiting);
  assert.deepEqual(begun, ["room"]);
  much.add(-much.unread);
  await Promise.all(waiting);
  assert.deepEqual(begun, ["room", "some"]);
});

Deno.test("ConnectionMemory refuses long requests where those that wait hold too much", () => {
  const memory = new ConnectionMemory();
  const { bytes, longBytes, requests } = LIMITS.waitingMax;
  memory.checkWaiting(10 * MiB);
  memory.waitingBytes = bytes - longBytes;
  memory.checkWaiting(longBytes);
  assert.equal(memory.isCrowded, false);
  assert.throws(
    () => memory.checkWaiting(longBytes + 1),
    (error) => error instanceof SkylineError && error.code === "QUEUE_FULL",
  );
  memory.waitingBytes = bytes;
  memory.checkWaiting(longBytes);
  assert.ok(memory.isCrowded);
  memory.waitingBytes = 0;
  memory.waitingRequests = requests;
  assert.ok(memory.isCrowded);
});
