/**
 * Long values as JSON in blocks. Byte by byte, so that no strings are made: those of megabytes lie in V8's heap for long.
 *
 * @module
 */
import type { Blocks } from "../process/blocks.ts";

const QUOTE = 0x22, BACKSLASH = 0x5c, LETTER_U = 0x75, DIGIT_0 = 0x30, SPACE = 0x20, EQUALS = 0x3d;
/** The longest escape. */
const ESCAPE_BYTES_MAX = 6;

/** What follows the backslash of each byte that has to be escaped; 0 for all others. */
const escapes = new Uint8Array(256);
escapes.fill(LETTER_U, 0, SPACE);
for (const [letter, byte] of Object.entries({ b: 8, t: 9, n: 10, f: 12, r: 13 })) {
  escapes[byte] = letter.charCodeAt(0);
}
escapes[QUOTE] = QUOTE;
escapes[BACKSLASH] = BACKSLASH;

/** After so many bytes that need no escape, those that follow are looked at four at a time, and copied together. */
const PLAIN_BYTES = 32;

/** Adds a text, which is well-formed UTF-8, as `JSON.stringify` writes it. */
export function addText(blocks: Blocks, text: Uint8Array): void {
  // What SQLite gives stands at the beginning of its buffer.
  const bytes = text.byteOffset % 4 === 0 ? text : new Uint8Array(text);
  const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
  blocks.add('"');
  for (let at = 0; at < bytes.length;) {
    const room = blocks.room(ESCAPE_BYTES_MAX);
    const last = room.length - ESCAPE_BYTES_MAX;
    let used = 0, plain = 0;
    while (used <= last && at < bytes.length) {
      const byte = bytes[at++];
      const escape = escapes[byte];
      if (escape !== 0) {
        plain = 0;
        room[used++] = BACKSLASH;
        room[used++] = escape;
        if (escape === LETTER_U) used = writeUnit(room, used, byte);
        continue;
      }
      room[used++] = byte;
      if (++plain < PLAIN_BYTES) continue;
      plain = 0;
      const end = plainEnd(bytes, words, at, Math.min(bytes.length, at + room.length - used));
      room.set(bytes.subarray(at, end), used);
      used += end - at;
      at = end;
    }
    blocks.use(used);
  }
  blocks.add('"');
}

/** Where between these places the first byte is that has to be escaped. */
function plainEnd(bytes: Uint8Array, words: Int32Array, start: number, end: number): number {
  let at = start;
  for (; at < end && at % 4 !== 0; at++) if (escapes[bytes[at]] !== 0) return at;
  for (; at + 4 <= end; at += 4) if (holdsEscape(words[at >> 2])) break;
  while (at < end && escapes[bytes[at]] === 0) at++;
  return at;
}

/** Whether one of four bytes has to be escaped: it is below a space, or a quote or a backslash, which are 0 where the same is taken away. */
function holdsEscape(four: number): boolean {
  const quote = four ^ 0x22222222, backslash = four ^ 0x5c5c5c5c;
  // The highest bit of a byte is set where it borrowed.
  const below = (four - 0x20202020) & ~four;
  const zero = (quote - 0x01010101) & ~quote | (backslash - 0x01010101) & ~backslash;
  return ((below | zero) & 0x80808080) !== 0;
}

/** Writes a control character's four digits; gives where they end. */
function writeUnit(room: Uint8Array, at: number, byte: number): number {
  room[at] = room[at + 1] = DIGIT_0;
  room[at + 2] = DIGIT_0 + (byte >> 4);
  const digit = byte & 15;
  room[at + 3] = digit < 10 ? DIGIT_0 + digit : 0x61 - 10 + digit;
  return at + 4;
}

const digits = Uint8Array.from(
  "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
  (letter) => letter.charCodeAt(0),
);

/** Adds bytes as base64 with padding. */
export function addBase64(blocks: Blocks, bytes: Uint8Array): void {
  const whole = bytes.length - bytes.length % 3;
  for (let at = 0; at < whole;) {
    const room = blocks.room(4);
    const end = Math.min(whole, at + 3 * (room.length >> 2));
    let used = 0;
    for (; at < end; at += 3) {
      const three = bytes[at] << 16 | bytes[at + 1] << 8 | bytes[at + 2];
      room[used++] = digits[three >> 18];
      room[used++] = digits[three >> 12 & 63];
      room[used++] = digits[three >> 6 & 63];
      room[used++] = digits[three & 63];
    }
    blocks.use(used);
  }
  if (whole < bytes.length) addRest(blocks, bytes.subarray(whole));
}

/** Adds the last one or two bytes. */
function addRest(blocks: Blocks, bytes: Uint8Array): void {
  const two = bytes[0] << 8 | bytes[1];
  const room = blocks.room(4);
  room[0] = digits[two >> 10];
  room[1] = digits[two >> 4 & 63];
  room[2] = bytes.length === 1 ? EQUALS : digits[two << 2 & 63];
  room[3] = EQUALS;
  blocks.use(4);
}
