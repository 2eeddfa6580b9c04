/**
 * An exactly-once session: the numbers under which a client's writes are executed once, however often they are sent.
 *
 * @module
 */
import { getRandomValues } from "node:crypto";

/** How far a number may be beyond the answered ones: half of what the daemon takes. */
const UNACKED_MAX = 1_024;

/** The name of a client and the numbers of its writes. */
export class Session {
  /** The client's name: a UUIDv7, by whose time the daemon knows one that it may have forgotten. */
  readonly client: string = uuidV7(Date.now());
  readonly #head = `"client":"${this.client}","seq":`;
  /** Whether the daemon knows it no more. */
  forgotten = false;
  #next = 1;
  #acked = 0;
  /** Answered before one of a lower number was. */
  readonly #early = new Set<number>();

  /** The number of the next write; 0 as long as too many are unanswered. */
  take(): number {
    return this.#next - this.#acked <= UNACKED_MAX ? this.#next++ : 0;
  }

  /** The answer to a number has arrived, or is not waited for any more. */
  settle(seq: number): void {
    if (seq !== this.#acked + 1) {
      this.#early.add(seq);
      return;
    }
    this.#acked = seq;
    while (this.#early.size > 0 && this.#early.delete(this.#acked + 1)) this.#acked++;
  }

  /** What a request of this number carries, as members of its JSON object. */
  members(seq: number): string {
    return `${this.#head}${seq},"acked":${this.#acked}`;
  }
}

/** A UUIDv7 (RFC 9562): 48 bits of `timeMs`, 74 of chance. */
export function uuidV7(timeMs: number): string {
  const bytes = getRandomValues(new Uint8Array(16));
  const view = new DataView(bytes.buffer);
  view.setUint16(0, Math.floor(timeMs / 2 ** 32));
  view.setUint32(2, timeMs % 2 ** 32);
  bytes[6] = 0x70 | bytes[6] & 0x0f;
  bytes[8] = 0x80 | bytes[8] & 0x3f;
  const digits = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}
