import assert from "node:assert/strict";
import fc from "fast-check";
import { SkylineError } from "../../client/errors.ts";
import { encodeFrame, FrameDecoder } from "../../client/frame.ts";
import { WIRE_LIMITS } from "../../client/limits.ts";

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

function framesOf(chunks: Iterable<Uint8Array>): string[] {
  const frames = new FrameDecoder();
  const texts: string[] = [];
  for (const chunk of chunks) {
    frames.push(chunk);
    for (let body = frames.take(); body !== null; body = frames.take()) {
      texts.push(decoder.decode(body));
    }
  }
  assert.equal(frames.bufferedBytes, 0);
  return texts;
}

function prefixOf(length: number): Uint8Array {
  const prefix = new Uint8Array(4);
  new DataView(prefix.buffer).setUint32(0, length, true);
  return prefix;
}

function isTooLarge(error: unknown): boolean {
  return error instanceof SkylineError && error.code === "FRAME_TOO_LARGE";
}

Deno.test("encodeFrame() writes the length in bytes, little-endian", () => {
  assert.deepEqual([...encodeFrame("aé")], [3, 0, 0, 0, 0x61, 0xc3, 0xa9]);
});

Deno.test("encodeFrame() takes 10 MiB and refuses one byte more", () => {
  const text = "x".repeat(WIRE_LIMITS.frameBytesMax);
  assert.equal(encodeFrame(text).length, 4 + WIRE_LIMITS.frameBytesMax);
  assert.throws(() => encodeFrame(text + "x"), isTooLarge);
});

Deno.test("FrameDecoder gives the same frames however the bytes are cut", () => {
  const texts = fc.array(fc.string({ unit: "binary", maxLength: 40 }), { maxLength: 8 });
  const cuts = fc.infiniteStream(fc.integer({ min: 1, max: 30 }));
  fc.assert(fc.property(texts, cuts, (texts, cuts) => {
    const bytes = Uint8Array.from(texts.flatMap((text) => [...encodeFrame(text)]));
    const chunks: Uint8Array[] = [];
    for (let at = 0; at < bytes.length;) {
      const next = Math.min(bytes.length, at + cuts.next().value!);
      chunks.push(bytes.subarray(at, next));
      at = next;
    }
    assert.deepEqual(framesOf(chunks), texts);
  }));
});

Deno.test("FrameDecoder gives the same frames when single bytes and empty chunks arrive", () => {
  const bytes = [...encodeFrame("{}"), ...encodeFrame(""), ...encodeFrame('{"a":1}')];
  const chunks = bytes.flatMap((byte) => [Uint8Array.of(byte), new Uint8Array(0)]);
  assert.deepEqual(framesOf(chunks), ["{}", "", '{"a":1}']);
});

Deno.test("FrameDecoder gives an empty body when a frame of length 0 arrives", () => {
  assert.deepEqual(framesOf([prefixOf(0)]), [""]);
});

Deno.test("FrameDecoder takes a length of 10 MiB and refuses any longer one before its body", () => {
  for (const length of [WIRE_LIMITS.frameBytesMax + 1, 2 ** 31, 2 ** 32 - 1]) {
    const frames = new FrameDecoder();
    frames.push(prefixOf(length));
    assert.throws(() => frames.take(), isTooLarge);
    const split = new FrameDecoder();
    for (const byte of prefixOf(length)) split.push(Uint8Array.of(byte));
    assert.throws(() => split.take(), isTooLarge);
  }
  const frames = new FrameDecoder();
  frames.push(prefixOf(WIRE_LIMITS.frameBytesMax));
  assert.equal(frames.take(), null);
  assert.equal(frames.bufferedBytes, 4);
});

Deno.test("FrameDecoder puts together a frame of 10 MiB that arrives in pieces of 4 KiB", () => {
  const text = "y".repeat(WIRE_LIMITS.frameBytesMax);
  const bytes = encodeFrame(text);
  const pieces = Array.from(
    { length: Math.ceil(bytes.length / 4096) },
    (_, i) => bytes.subarray(4096 * i, 4096 * (i + 1)),
  );
  assert.equal(framesOf(pieces)[0], text);
});

Deno.test("FrameDecoder holds what was pushed last at most, so that the buffer is read into again", () => {
  for (const length of [1, 3, 700, 5_000]) {
    const frames = new FrameDecoder();
    const body = Uint8Array.from({ length: 200_000 }, (_, i) => i);
    const bytes = new Uint8Array(4 + body.length);
    bytes.set(prefixOf(body.length));
    bytes.set(body, 4);
    let buffer = new Uint8Array(8 * 1024);
    let buffers = 1;
    for (let at = 0; at < bytes.length; at += length) {
      assert.equal(frames.take(), null);
      if (frames.holdsPushed) {
        buffer = new Uint8Array(8 * 1024);
        buffers++;
      }
      const piece = bytes.subarray(at, at + length);
      buffer.set(piece);
      frames.push(buffer.subarray(0, piece.length));
    }
    assert.deepEqual(frames.take(), body);
    assert.deepEqual([frames.bufferedBytes, frames.holdsPushed, buffers], [0, false, 2]);
  }
});

Deno.test("FrameDecoder lets go of what it holds, and takes frames again", () => {
  const decoder = new FrameDecoder();
  const frame = encodeFrame("x".repeat(300_000));
  for (const pieces of [1, 3]) {
    for (let i = 0; i < pieces; i++) decoder.push(frame.slice(0, 100_000));
    assert.ok(decoder.bufferedBytes > 0);
    decoder.clear();
    assert.deepEqual([decoder.bufferedBytes, decoder.wholeBytes, decoder.take()], [0, 0, null]);
  }
  decoder.push(frame.slice(0, 200_000));
  assert.equal(decoder.wholeBytes, 0);
  decoder.push(frame.slice(200_000));
  assert.equal(decoder.wholeBytes, 300_000);
  assert.equal(decoder.take()!.length, 300_000);
});
