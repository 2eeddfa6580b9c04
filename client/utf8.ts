/**
 * UTF-8 that has to be well-formed.
 *
 * @module
 */
import { Buffer } from "node:buffer";

// A byte order mark is data here: the default would drop it.
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
/** What a decoder that is not strict puts in the place of bytes that are not UTF-8. */
const REPLACEMENT = "\ufffd";

/** The text of these bytes, or `null` if they are not UTF-8. A Buffer decodes several times as fast as a TextDecoder. */
export function textOfUtf8(bytes: Uint8Array): string | null {
  const buffer = bytes instanceof Buffer
    ? bytes
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const text = buffer.toString();
  return text.includes(REPLACEMENT) ? strictText(bytes) : text;
}

function strictText(bytes: Uint8Array): string | null {
  try {
    return decoder.decode(bytes);
  } catch {
    return null;
  }
}
