import assert from "node:assert/strict";
import { FrameDecoder } from "../../client/frame.ts";
import { LIMITS } from "../../daemon/process/limits.ts";
import { AnswerTimes } from "../../daemon/server/answer_times.ts";
import { Outbox } from "../../daemon/server/outbox.ts";
import { Traffic } from "../../daemon/server/traffic.ts";

/** An outbox whose writes end when the test says so. */
class HeldOutbox {
  /** The texts of each write. */
  readonly writes: string[][] = [];
  readonly failures: unknown[] = [];
  readonly outbox: Outbox;
  #end: PromiseWithResolvers<void> | undefined;
  sent = 0;

  constructor() {
    this.outbox = new Outbox({
      channel: {
        write: (bytes) => {
          assert.equal(this.#end, undefined, "one write at a time");
          this.writes.push(textsOf(bytes));
          this.#end = Promise.withResolvers();
          return this.#end.promise;
        },
        read: () => Promise.reject(),
        end: () => Promise.reject(),
        destroy: () => {},
      },
      traffic: new Traffic(),
      answerTimes: new AnswerTimes(),
      sent: () => this.sent++,
      failed: (error) => this.failures.push(error),
    });
  }

  /** Lets the turn end, and with it what was begun. */
  async turn(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, 0));
  }

  async endWrite(error?: Error): Promise<void> {
    const end = this.#end!;
    this.#end = undefined;
    if (error) end.reject(error);
    else end.resolve();
    await this.turn();
  }
}

function textsOf(bytes: Uint8Array): string[] {
  const frames = new FrameDecoder();
  frames.push(bytes);
  const texts: string[] = [];
  for (let body = frames.take(); body !== null; body = frames.take()) {
    texts.push(new TextDecoder().decode(body));
  }
  return texts;
}

Deno.test("Outbox sends a turn's answers in one write, and what comes meanwhile in the next", async () => {
  const held = new HeldOutbox();
  for (const text of ["a", "b"]) held.outbox.push(text);
  assert.deepEqual(held.writes, []);
  await held.turn();
  for (const text of ["c", "ä"]) held.outbox.push(text);
  await held.turn();
  held.outbox.push("e");
  await held.turn();
  assert.deepEqual(held.writes, [["a", "b"]]);
  assert.equal(held.outbox.unsent, 10 + 3);
  await held.endWrite();
  assert.deepEqual(held.writes, [["a", "b"], ["c", "ä", "e"]]);
  await held.endWrite();
  assert.deepEqual([held.outbox.unsent, held.sent, held.writes.length], [0, 2, 2]);
  held.outbox.push("f");
  await held.turn();
  assert.deepEqual(held.writes.at(-1), ["f"]);
});

Deno.test("Outbox takes answers into a write up to its bound", async () => {
  const held = new HeldOutbox();
  const large = "x".repeat(LIMITS.writeUnitsMax - 1);
  for (const text of [large, "y", large, large]) held.outbox.push(text);
  await held.turn();
  await held.endWrite();
  await held.endWrite();
  assert.deepEqual(held.writes.map((texts) => texts.length), [2, 2]);
  assert.deepEqual(held.writes.flat().map((text) => text[0]), ["x", "y", "x", "x"]);
});

Deno.test("Outbox forgets what is cleared, and tells that a write failed", async () => {
  const held = new HeldOutbox();
  held.outbox.push("a");
  await held.turn();
  held.outbox.push("b");
  held.outbox.clear();
  await held.endWrite();
  assert.deepEqual([held.writes, held.sent], [[["a"]], 1]);
  held.outbox.push("c");
  await held.turn();
  const error = new Error("broken");
  await held.endWrite(error);
  assert.deepEqual([held.failures, held.sent], [[error], 1]);
});
