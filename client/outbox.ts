/**
 * What is to be sent next, in order.
 *
 * @module
 */
import type { Call } from "./call.ts";

/** Sent calls at the front that are worth removing from memory. */
const COMPACT_COUNT = 4_096;

/** Calls in the order in which they are to be sent. Those that are settled meanwhile are passed over. */
export class Outbox {
  #calls: Call[] = [];
  #at = 0;

  /** Adds a call as the last. */
  push(call: Call): void {
    this.#calls.push(call);
  }

  /** The first that waits to be sent. */
  get first(): Call | undefined {
    while (this.#at < this.#calls.length) {
      const call = this.#calls[this.#at];
      if (call.state === "waiting") return call;
      this.shift();
    }
    return undefined;
  }

  /** Removes the first. */
  shift(): void {
    this.#at++;
    if (this.#at === this.#calls.length) this.refill([]);
    else if (this.#at >= COMPACT_COUNT && 2 * this.#at > this.#calls.length) {
      this.refill(this.#calls.slice(this.#at));
    }
  }

  /** Holds these from now on. */
  refill(calls: Call[]): void {
    this.#calls = calls;
    this.#at = 0;
  }
}
