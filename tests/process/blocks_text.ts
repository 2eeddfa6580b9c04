import { Blocks } from "../../daemon/process/blocks.ts";

/** The bytes of a text in blocks, which is let go of. */
export function bytesOf(blocks: Blocks): Uint8Array {
  const bytes = new Uint8Array(blocks.bytes);
  let at = 0;
  for (let piece = blocks.take(); piece !== undefined; piece = blocks.take()) {
    bytes.set(piece, at);
    at += piece.length;
    Blocks.giveBack(piece);
  }
  return bytes;
}

/** The text of these. */
export function textOf(blocks: Blocks): string {
  return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytesOf(blocks));
}
