/**
 * Requests that take long to read: one at a time, in pieces, so that other connections are served meanwhile.
 *
 * @module
 */
import type { RequestId } from "../../client/protocol.ts";
import { Rests } from "../database/turn.ts";
import { LIMITS } from "../process/limits.ts";
import { noteGarbage } from "../process/memory.ts";
import { type CheckedRequest, readLongRequest } from "./request.ts";

/** Those that wait until others are read; `undefined` while none is being read. */
let waiting: (() => void)[] | undefined;
const rests = new Rests();

/** Reads one after those that came before, at once if there are none: the memory that it takes is several times that of its bytes. */
export async function inTurn<T>(read: () => Promise<T>): Promise<T> {
  if (waiting === undefined) waiting = [];
  else await new Promise<void>((resolve) => waiting!.push(resolve));
  try {
    return await read();
  } finally {
    rests.next().then(goOn);
  }
}

function goOn(): void {
  const next = waiting!.shift();
  if (next === undefined) waiting = undefined;
  else next();
}

/**
 * Reads a request, and lets go of its body; `identify` is told its `id` as soon as that is known.
 *
 * @throws {SkylineError} as `decodeRequest`, `readId` and `readRequest` do.
 */
export async function readInPieces(
  body: Uint8Array,
  now: number,
  identify: (id: RequestId | undefined) => void,
): Promise<CheckedRequest> {
  const bytes = body.length;
  const reading = readLongRequest(body, now, identify);
  try {
    for (let until = performance.now() + LIMITS.longRequest.pieceMs;;) {
      const { done, value } = reading.next();
      if (performance.now() > until) {
        await rests.next();
        until = performance.now() + LIMITS.longRequest.pieceMs;
      }
      if (done) return value;
    }
  } finally {
    // Its text, and what was made of it.
    noteGarbage(2 * bytes);
  }
}
