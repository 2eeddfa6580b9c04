import assert from "node:assert/strict";
import { Blocks } from "../../daemon/process/blocks.ts";
import { LIMITS } from "../../daemon/process/limits.ts";
import { AnswerOrder } from "../../daemon/server/answer_order.ts";
import type { Answer } from "../../daemon/server/answers.ts";

function start() {
  const sent: Answer[] = [];
  return { sent, order: new AnswerOrder((answer) => sent.push(answer)) };
}

function inBlocks(): Blocks {
  const blocks = new Blocks();
  blocks.add("x");
  return blocks;
}

Deno.test("AnswerOrder sends answers in the order of their places", () => {
  const { sent, order } = start();
  order.add("at once");
  const [first, second] = [order.take(), order.take()];
  order.add("third");
  order.fill(second, "second");
  assert.deepEqual([sent, order.count], [["at once"], 3]);
  assert.equal(order.memory, "second".length + "third".length);
  order.fill(first, "first");
  assert.deepEqual(sent, ["at once", "first", "second", "third"]);
  assert.deepEqual([order.count, order.memory], [0, 0]);
});

Deno.test("AnswerOrder lets go of answers that nobody gets any more", () => {
  const { sent, order } = start();
  const [first, second] = [order.take(), order.take()];
  order.fill(second, inBlocks());
  assert.equal(order.memory, LIMITS.blocks.bytes);
  order.close();
  order.fill(first, inBlocks());
  assert.deepEqual([sent, order.memory, Blocks.held], [[], 0, 0]);
});
