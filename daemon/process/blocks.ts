/**
 * Long texts outside of V8's heap.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { LIMITS } from "./limits.ts";

const encoder = new TextEncoder();
const EMPTY = new Uint8Array(0);
/** A character of UTF-8 has so many bytes at most: with less room none may fit. */
const CHARACTER_BYTES_MAX = 4;

/** Blocks that no text needs now. */
let spare: Uint8Array<ArrayBuffer>[] = [];

/** Thrown where a text would be longer than it may be. */
export class TooLongError extends Error {}

/**
 * A text as UTF-8, in blocks of memory that are used again. V8 learns late that strings and buffers are not needed any more: it
 * held three times as much as was in use. So whoever has such a text lets go of it by {@link Blocks.release}, or takes its pieces
 * and gives them back.
 */
export class Blocks {
  /** Memory that all texts hold, in bytes. */
  static held = 0;

  /** Pieces in their order: the beginning of a block each, or a few bytes of their own. */
  readonly #pieces: Uint8Array<ArrayBuffer>[] = [];
  /** What is free of the last block. */
  #room = EMPTY;
  #bytes = 0;
  #memory = 0;
  readonly #bytesMax: number;

  /** Empty; of about so many bytes at most. */
  constructor(bytesMax = Infinity) {
    this.#bytesMax = bytesMax;
  }

  /** Length of the text, in bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The memory of its blocks, in bytes. */
  get memory(): number {
    return this.#memory;
  }

  /**
   * Room for at least so many bytes at the end, to be filled from its beginning; {@link Blocks.use} says how many were.
   *
   * @throws {TooLongError} where it is longer than it may be already.
   */
  room(bytesMin: number): Uint8Array<ArrayBuffer> {
    if (this.#room.length >= bytesMin) return this.#room;
    if (this.#bytes > this.#bytesMax) throw new TooLongError();
    const block = spare.pop() ?? new Uint8Array(LIMITS.blocks.bytes);
    Blocks.held += block.length;
    this.#memory += block.length;
    this.#pieces.push(block.subarray(0, 0));
    return this.#room = block;
  }

  /** So many bytes of the room are part of the text now. */
  use(bytes: number): void {
    const { buffer, byteOffset } = this.#room;
    this.#pieces[this.#pieces.length - 1] = new Uint8Array(buffer, 0, byteOffset + bytes);
    this.#room = this.#room.subarray(bytes);
    this.#bytes += bytes;
  }

  /** Puts a text, which is well-formed, at the end. */
  add(text: string): void {
    for (let at = 0; at < text.length;) {
      const room = this.room(CHARACTER_BYTES_MAX);
      const { read, written } = encoder.encodeInto(partOf(text, at), room);
      this.use(written);
      at += read;
    }
  }

  /** Puts a text at the end as a frame of the protocol. */
  addFrame(text: string): void {
    writeLength(this.room(4), Buffer.byteLength(text));
    this.use(4);
    this.add(text);
  }

  /** Puts a short text before it all. */
  prepend(text: string): void {
    this.#addFirst(encoder.encode(text));
  }

  /** Makes a frame of it: its length comes first. */
  makeFrame(): void {
    const length = new Uint8Array(4);
    writeLength(length, this.#bytes);
    this.#addFirst(length);
  }

  #addFirst(bytes: Uint8Array<ArrayBuffer>): void {
    this.#pieces.unshift(bytes);
    this.#bytes += bytes.length;
    // Whoever takes it knows a block by its size alone.
    const memory = Blocks.memoryOf(bytes);
    this.#memory += memory;
    Blocks.held += memory;
  }

  /** Moves all of another text, which is empty then, to the end. */
  append(other: Blocks): void {
    for (const piece of other.#pieces) this.#pieces.push(piece);
    this.#room = other.#room;
    this.#bytes += other.#bytes;
    this.#memory += other.#memory;
    other.#forget();
  }

  /** Takes the first piece away. It is to be given to {@link Blocks.giveBack}; `undefined` if there is none. */
  take(): Uint8Array<ArrayBuffer> | undefined {
    const piece = this.#pieces.shift();
    if (piece === undefined) return undefined;
    if (this.#pieces.length === 0) this.#room = EMPTY;
    this.#bytes -= piece.length;
    this.#memory -= Blocks.memoryOf(piece);
    return piece;
  }

  /** Lets go of all of it. */
  release(): void {
    for (const piece of this.#pieces) Blocks.giveBack(piece);
    this.#forget();
  }

  #forget(): void {
    this.#pieces.length = 0;
    this.#room = EMPTY;
    this.#bytes = this.#memory = 0;
  }

  /** The memory of a piece, in bytes; 0 for a few bytes of their own. */
  static memoryOf({ buffer }: Uint8Array): number {
    return buffer.byteLength === LIMITS.blocks.bytes ? buffer.byteLength : 0;
  }

  /** Gives back what {@link Blocks.take} gave. `isInUse`: the system may still read it, so that it must not be used again. */
  static giveBack(piece: Uint8Array<ArrayBuffer>, isInUse = false): void {
    const { buffer } = piece;
    const memory = Blocks.memoryOf(piece);
    Blocks.held -= memory;
    if (memory === 0 || isInUse) return;
    if (spare.length < LIMITS.blocks.spareMax) spare.push(new Uint8Array(buffer));
    // At once, where V8 would wait for its next great collection.
    else buffer.transfer(0);
  }

  /** Gives the memory of those back that no text needs now. */
  static releaseSpare(): void {
    spare = [];
  }
}

/** As much as a block may take, from `at`; no surrogate pair is cut in two. */
function partOf(text: string, at: number): string {
  let end = at + LIMITS.blocks.bytes;
  if (end >= text.length) return at === 0 ? text : text.slice(at);
  if ((text.charCodeAt(end - 1) & 0xfc00) === 0xd800) end--;
  return text.slice(at, end);
}

function writeLength(bytes: Uint8Array, length: number): void {
  for (let i = 0; i < 4; i++) bytes[i] = length >>> 8 * i;
}
