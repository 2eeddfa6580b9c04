import assert from "node:assert/strict";
import { FrameDecoder } from "../../client/frame.ts";
import { Blocks } from "../../daemon/process/blocks.ts";
import { LIMITS } from "../../daemon/process/limits.ts";
import { AnswerTimes } from "../../daemon/server/answer_times.ts";
import { Outbox } from "../../daemon/server/outbox.ts";
import { Traffic } from "../../daemon/server/traffic.ts";

/** An outbox whose writes end when the test says so. */
class HeldOutbox {
  /** What was written. */
  readonly pieces: Uint8Array[] = [];
  readonly failures: unknown[] = [];
  readonly outbox: Outbox;
  #end: PromiseWithResolvers<void> | undefined;
  sent = 0;

  constructor() {
    this.outbox = new Outbox({
      channel: {
        takenBytes: 0,
        write: (bytes) => {
          assert.equal(this.#end, undefined, "one write at a time");
          this.pieces.push(bytes.slice());
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

  /** The texts of each write, of which each is whole frames. */
  get writes(): string[][] {
    return this.pieces.map(textsOf);
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

/** All that was written, as texts. */
function allTexts({ pieces }: HeldOutbox): string[] {
  const bytes = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return textsOf(bytes);
}

function inBlocks(text: string): Blocks {
  const blocks = new Blocks();
  blocks.add(text);
  return blocks;
}

Deno.test("Outbox sends long answers a block at a time, in their order", async () => {
  const held = new HeldOutbox();
  const { bytes } = LIMITS.blocks;
  const [long, longer] = ["x".repeat(2 * bytes), "y".repeat(3 * bytes)];
  held.outbox.push("a");
  held.outbox.push(inBlocks(long));
  held.outbox.push("b");
  held.outbox.push(inBlocks(longer));
  await held.turn();
  held.outbox.push("c");
  assert.equal(held.outbox.unsent, 5 * bytes + 2 + 4 * 4 + 1);
  assert.equal(held.outbox.memory, Blocks.held);
  while (held.outbox.unsent > 0) await held.endWrite();
  assert.deepEqual(allTexts(held), ["a", long, "b", longer, "c"]);
  assert.ok(held.pieces.every(({ length }) => length <= bytes));
  assert.deepEqual([held.outbox.memory, Blocks.held], [0, 0]);
});

Deno.test("Outbox puts many short answers into blocks", async () => {
  const held = new HeldOutbox();
  const texts = Array.from({ length: 3_000 }, (_, i) => `${i} é`.repeat(20));
  held.outbox.push(texts[0]);
  await held.turn();
  for (const text of texts.slice(1)) held.outbox.push(text);
  assert.ok(held.outbox.memory >= held.outbox.unsent - LIMITS.shortUnitsMax);
  await held.turn();
  while (held.outbox.unsent > 0) await held.endWrite();
  assert.deepEqual(allTexts(held), texts);
  assert.equal(Blocks.held, 0);
});

Deno.test("Outbox lets go of blocks that are cleared, also of the one that is being written", async () => {
  const held = new HeldOutbox();
  held.outbox.push(inBlocks("x".repeat(3 * LIMITS.blocks.bytes)));
  await held.turn();
  await held.endWrite();
  held.outbox.clear();
  assert.deepEqual([held.outbox.memory, Blocks.held], [0, 0]);
  await held.endWrite();
  assert.deepEqual([held.pieces.length, Blocks.held], [2, 0]);
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
