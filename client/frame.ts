/**
 * Framing: a `u32` little-endian length, then that many bytes. Pure: bytes in, frames out.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { SkylineError } from "./errors.ts";
import { WIRE_LIMITS } from "./limits.ts";

const PREFIX_BYTES = 4;
/** Up to so many UTF-16 units a text is given the room that its UTF-8 can need at most: to count it takes longer. */
const UNCOUNTED_UNITS_MAX = 1_024;
const encoder = new TextEncoder();
const EMPTY = new Uint8Array(0);
const NO_PIECES: Uint8Array[] = [];

/**
 * Bytes to reserve for a text's frame.
 *
 * @throws {SkylineError} `FRAME_TOO_LARGE` when the text is over 10 MiB of UTF-8.
 */
export function frameRoom(text: string): number {
  const isShort = text.length <= UNCOUNTED_UNITS_MAX;
  const bytes = isShort ? 3 * text.length : Buffer.byteLength(text);
  if (bytes > WIRE_LIMITS.frameBytesMax) {
    throw new SkylineError(
      "FRAME_TOO_LARGE",
      `A frame of ${bytes} bytes is over ${WIRE_LIMITS.frameBytesMax}`,
    );
  }
  return PREFIX_BYTES + bytes;
}

/** Puts texts into frames, one after the other; `room` is the sum of their {@link frameRoom}. */
export function encodeFrames(texts: readonly string[], room: number): Uint8Array {
  const bytes = new Uint8Array(room);
  const view = new DataView(bytes.buffer);
  let end = 0;
  for (const text of texts) {
    const start = end + PREFIX_BYTES;
    const { written } = encoder.encodeInto(text, bytes.subarray(start));
    view.setUint32(end, written, true);
    end = start + written;
  }
  return bytes.subarray(0, end);
}

/**
 * Puts a text into a frame.
 *
 * @throws {SkylineError} `FRAME_TOO_LARGE` when the text is over 10 MiB of UTF-8.
 */
export function encodeFrame(text: string): Uint8Array {
  return encodeFrames([text], frameRoom(text));
}

/** Blocks that pieces are copied into: as large as what is held, within these bounds. */
const BLOCK_BYTES = { min: 512, max: 64 * 1024 };

/**
 * Cuts a stream of bytes into frames. Bytes are pushed as they arrive and frames are taken one by one, so that a
 * reader that has enough to do may leave the rest untouched.
 *
 * A declared length allocates nothing, and what is held takes the memory of its bytes, and a block at most, however small the
 * pieces are: a piece may be a few bytes of a large buffer.
 */
export class FrameDecoder {
  /** Pieces in their order: one that was pushed, or blocks of our own. */
  #chunks: Uint8Array[] = [];
  #offset = 0;
  #bytes = 0;
  /** Room that is left in the last block. */
  #room: Uint8Array = EMPTY;
  /** Whether the only piece is one that was pushed. */
  #isBorrowed = false;

  /** Bytes that are held, received but not yet taken. */
  get bufferedBytes(): number {
    return this.#bytes;
  }

  /** Whether the bytes that were pushed last are held by reference, and must not be changed yet. */
  get holdsPushed(): boolean {
    return this.#isBorrowed && this.#bytes > 0;
  }

  /** Adds received bytes. While {@link FrameDecoder.holdsPushed} they are held by reference. */
  push(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    if (this.#bytes === 0) {
      this.#chunks = [chunk];
      this.#offset = 0;
      this.#bytes = chunk.length;
      this.#room = EMPTY;
      this.#isBorrowed = true;
      return;
    }
    if (this.#isBorrowed) {
      const [rest] = this.#chunks.splice(0);
      const offset = this.#offset;
      this.#offset = this.#bytes = 0;
      this.#isBorrowed = false;
      this.#copy(rest.subarray(offset));
    }
    this.#copy(chunk);
  }

  /** Copies bytes behind those that are held. */
  #copy(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) {
      const left = bytes.length - at;
      if (this.#room.length === 0) this.#addBlock(left);
      const count = Math.min(left, this.#room.length);
      this.#room.set(bytes.subarray(at, at + count));
      // The last piece ends where the room begins.
      const { buffer, byteOffset } = this.#room;
      this.#chunks[this.#chunks.length - 1] = new Uint8Array(buffer, 0, byteOffset + count);
      this.#room = this.#room.subarray(count);
      this.#bytes += count;
      at += count;
    }
  }

  #addBlock(bytes: number): void {
    const length = Math.min(Math.max(this.#bytes + bytes, BLOCK_BYTES.min), BLOCK_BYTES.max);
    this.#room = new Uint8Array(length);
    this.#chunks.push(this.#room);
  }

  /** Length of the next frame's body if it has arrived whole, in bytes; else 0. */
  get wholeBytes(): number {
    if (this.#bytes < PREFIX_BYTES) return 0;
    const length = this.#peekLength();
    return this.#bytes < PREFIX_BYTES + length ? 0 : length;
  }

  /** Lets go of all that is held. */
  clear(): void {
    if (!this.#isBorrowed) this.#chunks.forEach(letGo);
    this.#chunks = [];
    this.#offset = this.#bytes = 0;
    this.#room = EMPTY;
    this.#isBorrowed = false;
  }

  /**
   * The next whole frame's body, or `null` until one has arrived whole.
   *
   * @throws {SkylineError} `FRAME_TOO_LARGE`: what follows in this stream has no meaning any more.
   */
  take(): Uint8Array | null {
    if (this.#bytes < PREFIX_BYTES) return null;
    const length = this.#peekLength();
    if (length > WIRE_LIMITS.frameBytesMax) {
      throw new SkylineError(
        "FRAME_TOO_LARGE",
        `A frame of ${length} bytes is over ${WIRE_LIMITS.frameBytesMax}`,
      );
    }
    if (this.#bytes < PREFIX_BYTES + length) return null;
    this.#skip(PREFIX_BYTES);
    return this.#read(length);
  }

  #peekLength(): number {
    const first = this.#chunks[0];
    const at = this.#offset;
    if (first.length - at >= PREFIX_BYTES) {
      return (first[at] | first[at + 1] << 8 | first[at + 2] << 16 | first[at + 3] << 24) >>> 0;
    }
    let length = 0;
    for (let i = 0, chunk = 0, offset = at; i < PREFIX_BYTES; i++, offset++) {
      while (offset === this.#chunks[chunk].length) {
        chunk++;
        offset = 0;
      }
      length += this.#chunks[chunk][offset] * 2 ** (8 * i);
    }
    return length;
  }

  /** Drops bytes; gives the pieces that ended with them. */
  #skip(count: number): Uint8Array[] {
    this.#bytes -= count;
    this.#offset += count;
    let done = 0;
    while (done < this.#chunks.length && this.#offset >= this.#chunks[done].length) {
      this.#offset -= this.#chunks[done].length;
      done++;
    }
    return done === 0 ? NO_PIECES : this.#chunks.splice(0, done);
  }

  #read(count: number): Uint8Array {
    const first = this.#chunks[0];
    if (count === 0) return new Uint8Array(0);
    if (first.length - this.#offset >= count) {
      const body = first.subarray(this.#offset, this.#offset + count);
      this.#skip(count);
      return body;
    }
    const body = new Uint8Array(count);
    let filled = 0;
    let offset = this.#offset;
    for (const chunk of this.#chunks) {
      const part = chunk.subarray(offset, offset + count - filled);
      body.set(part, filled);
      filled += part.length;
      offset = 0;
      if (filled === count) break;
    }
    const isOurs = !this.#isBorrowed;
    for (const piece of this.#skip(count)) if (isOurs) letGo(piece);
    return body;
  }
}

/** Lets go of a large block at once: the collector learns late that it is garbage. Engines before 2023 cannot. */
function letGo({ buffer }: Uint8Array): void {
  if (buffer.byteLength === BLOCK_BYTES.max) (buffer as ArrayBuffer).transfer?.(0);
}
