import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import fc from "fast-check";
import { Blocks } from "../../daemon/process/blocks.ts";
import { LIMITS } from "../../daemon/process/limits.ts";
import { addBase64, addText } from "../../daemon/sqlite/long_values.ts";
import { textOf } from "../process/blocks_text.ts";

function added(add: (blocks: Blocks) => void): string {
  const blocks = new Blocks();
  add(blocks);
  return textOf(blocks);
}

Deno.test("addText() writes every character as JSON.stringify does, wherever blocks end", () => {
  const characters = Array.from({ length: 0x180 }, (_, i) => String.fromCharCode(i)).join("");
  const part = characters + '\u2028\ufeff\uffff😀\\"';
  for (const length of [0, 1, LIMITS.blocks.bytes - 3, 3 * LIMITS.blocks.bytes]) {
    const text = "x".repeat(length) + part + "\x01".repeat(length) + part;
    assert.equal(added((blocks) => addText(blocks, Buffer.from(text))), JSON.stringify(text));
  }
});

Deno.test("addText() finds what has to be escaped at any distance, and among any bytes", () => {
  const escaped = ['"', "\\", "\n", "\x00", "\x1f", '\x1f"'];
  const others = ["x", " ", "!", "#", "\x7f", "\x80", "é", "\u20ac", "😀", "[", "]", "\ud7ff"];
  let text = "";
  for (const other of others) {
    for (let distance = 0; distance < 60; distance++) {
      text += other.repeat(distance) + escaped[distance % escaped.length];
    }
  }
  for (let offset = 0; offset < 5; offset++) {
    const bytes = Buffer.from("y".repeat(offset) + text).subarray(offset);
    assert.equal(added((blocks) => addText(blocks, bytes)), JSON.stringify(text));
  }
});

Deno.test("addBase64() writes what Buffer does, for every length", () => {
  const bytes = Buffer.from(Array.from({ length: 400_000 }, (_, i) => i * 7 + (i >> 8)));
  const around = [0, 1, 2, 3, 4, 5].flatMap((i) => [i, 98_300 + i, 196_608 + i, 300_000 + i]);
  for (const length of around) {
    const part = bytes.subarray(0, length);
    // Behind something, so that a block has no room for a whole number of fours.
    const text = added((blocks) => {
      blocks.add("-");
      addBase64(blocks, part);
    });
    assert.equal(text, "-" + part.toString("base64"));
  }
});

Deno.test("addText() and addBase64() are right for any value", () => {
  fc.assert(fc.property(fc.string({ unit: "binary" }), fc.uint8Array(), (text, bytes) => {
    assert.equal(added((blocks) => addText(blocks, Buffer.from(text))), JSON.stringify(text));
    const expected = Buffer.from(bytes).toString("base64");
    assert.equal(added((blocks) => addBase64(blocks, bytes)), expected);
  }));
  assert.equal(Blocks.held, 0);
});
