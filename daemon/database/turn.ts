/**
 * Letting the event loop do something else.
 *
 * @module
 */
import { setImmediate, setTimeout } from "node:timers";
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

/**
 * Lets the loop do all that is ready, as far as it comes in a millisecond. A visit to the other thread is over too soon where
 * the loop was held before it: with one every 5 ms hardly a Ping was answered while 20,000 inserts ran.
 */
export function rest(): Promise<void> {
  return besides.next();
}

/** Rests of those who have much to do. One ends at a time: eight that went on together would hold the loop eight times as long. */
export class Rests {
  #last: Promise<unknown> = Promise.resolve();

  /** Ends a millisecond after the one that was asked for before. */
  next(): Promise<void> {
    const next = this.#last.then(() => new Promise<void>((resolve) => setTimeout(resolve, 1)));
    this.#last = next;
    return next;
  }
}

/** Of what is executed beside the loop. */
const besides = new Rests();
