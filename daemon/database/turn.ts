/**
 * Letting the event loop do something else.
 *
 * @module
 */
import { setImmediate } from "node:timers";
import { visitOtherThread } from "../sqlite/ffi.ts";

/** Lets the loop take a turn: it handles what it knows to be ready. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/**
 * Lets the loop wait for a moment (some 30 µs), so that it asks the system which sockets are ready. Deno 2.9 does so only
 * when it has nothing else to do: under load it read some 13 sockets of 64 again and again, and asked for the others every
 * 5 ms.
 */
export function poll(): Promise<void> {
  return visitOtherThread();
}
