/**
 * How long a thread could not go on because a busy machine had no processor for it: what took long for that is no fault.
 *
 * @module
 */
import { readFileSync } from "node:fs";

/**
 * Milliseconds that a thread has waited for a processor since it began: the first one of a process, or the one that asks.
 * 0 where the system does not tell.
 */
export function processorWaitMs(pid?: number): number {
  if (Deno.build.os !== "linux") return 0;
  try {
    const [, waitedNs] = readFileSync(`/proc/${pid ?? "thread-self"}/schedstat`, "utf8").split(" ");
    return Number(waitedNs) / 1e6;
  } catch {
    return 0; // a kernel without these figures
  }
}
