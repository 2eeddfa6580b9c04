/**
 * Waiting until nothing more arrives.
 *
 * @module
 */
import { setTimeout as sleep } from "node:timers/promises";
import { LIMITS } from "../process/limits.ts";

/** Waits until a count rises no more. Only a loop that waits asks the system which sockets are ready. */
export async function quiet(count: () => number): Promise<void> {
  const { pauseMs, quietPauses, pausesMax } = LIMITS.lastRequests;
  let quietSince = 0;
  for (let pauses = 0; pauses < pausesMax && pauses - quietSince < quietPauses; pauses++) {
    const before = count();
    await sleep(pauseMs);
    if (count() !== before) quietSince = pauses + 1;
  }
}
