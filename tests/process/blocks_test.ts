import assert from "node:assert/strict";
import { FrameDecoder } from "../../client/frame.ts";
import { Blocks, TooLongError } from "../../daemon/process/blocks.ts";
import { LIMITS } from "../../daemon/process/limits.ts";
import { bytesOf, textOf } from "./blocks_text.ts";

const BLOCK = LIMITS.blocks.bytes;

Deno.test("Blocks hold a text of any length and of any characters, wherever its blocks end", () => {
  const texts = [
    "",
    "x",
    "x".repeat(BLOCK - 1) + "😀".repeat(BLOCK),
    "é".repeat(BLOCK) + "\u20ac".repeat(BLOCK),
  ];
  for (let shift = 0; shift < 4; shift++) {
    const blocks = new Blocks();
    const before = "a".repeat(shift);
    blocks.add(before);
    for (const text of texts) blocks.add(text);
    blocks.prepend("[");
    assert.equal(textOf(blocks), "[" + before + texts.join(""));
    assert.deepEqual([blocks.bytes, blocks.memory, Blocks.held], [0, 0, 0]);
  }
});

Deno.test("Blocks are frames, one after the other", () => {
  const texts = ["{}", "x".repeat(BLOCK - 3), "é😀", "x".repeat(3 * BLOCK)];
  const all = new Blocks();
  for (const text of texts) {
    const one = new Blocks();
    one.add(text);
    one.prepend("<");
    one.makeFrame();
    all.append(one);
    assert.deepEqual([one.bytes, one.memory], [0, 0], "it was moved");
    all.addFrame(text);
  }
  const decoder = new FrameDecoder();
  decoder.push(bytesOf(all));
  for (const text of texts) {
    assert.equal(new TextDecoder().decode(decoder.take()!), "<" + text);
    assert.equal(new TextDecoder().decode(decoder.take()!), text);
  }
  assert.equal(Blocks.held, 0);
});

Deno.test("Blocks do not write into a piece that was taken", () => {
  const blocks = new Blocks();
  blocks.add("before");
  const piece = blocks.take()!;
  blocks.add("after");
  assert.equal(new TextDecoder().decode(piece), "before");
  Blocks.giveBack(piece);
  assert.equal(textOf(blocks), "after");
});

Deno.test("Blocks count the memory that is held, and use it again", () => {
  const blocks = new Blocks();
  blocks.add("x".repeat(10 * BLOCK));
  assert.deepEqual([Blocks.held, blocks.memory], [10 * BLOCK, 10 * BLOCK]);
  const { buffer } = blocks.take()!;
  Blocks.giveBack(new Uint8Array(buffer));
  assert.equal(Blocks.held, 9 * BLOCK);
  const other = new Blocks();
  other.add("y");
  const piece = other.take()!;
  assert.equal(piece.buffer, buffer, "the one that was given back");
  Blocks.giveBack(piece, true);
  blocks.release();
  assert.equal(Blocks.held, 0);
  const third = new Blocks();
  for (let i = 0; i < 20; i++) third.add("x".repeat(BLOCK));
  for (let each = third.take(); each; each = third.take()) {
    assert.notEqual(each.buffer, buffer, "not one that the system may still read");
    Blocks.giveBack(each);
  }
});

Deno.test("Blocks count what comes first also where it is as long as a block", () => {
  const blocks = new Blocks();
  blocks.add("y");
  blocks.prepend("x".repeat(BLOCK));
  assert.deepEqual([Blocks.held, blocks.memory], [2 * BLOCK, 2 * BLOCK]);
  Blocks.giveBack(blocks.take()!);
  assert.deepEqual([Blocks.held, blocks.memory], [BLOCK, BLOCK]);
  blocks.release();
  assert.equal(Blocks.held, 0);
});

Deno.test("Blocks end where they are longer than they may be", () => {
  const blocks = new Blocks(2 * BLOCK);
  assert.throws(() => blocks.add("x".repeat(20 * BLOCK)), TooLongError);
  assert.ok(blocks.memory <= 4 * BLOCK);
  blocks.release();
  assert.equal(Blocks.held, 0);
});
