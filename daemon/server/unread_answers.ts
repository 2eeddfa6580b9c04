/**
 * The answers of one connection that its client has not fetched.
 *
 * @module
 */
import type { Recipient } from "../database/readers.ts";
import type { ConnectionMemory, UnreadHolder } from "./connection_memory.ts";

/** The connection whose answers they are. */
export interface UnreadAnswersOptions {
  readonly memory: ConnectionMemory;
  /** The memory that they take now, in bytes. */
  size(): number;
  /** How much its client has fetched up to now, in bytes. */
  fetched(): number;
  /** Closes the connection at once. */
  cut(): void;
}

/** Counts them among those of all connections. */
export class UnreadAnswers implements UnreadHolder, Recipient {
  readonly #options: UnreadAnswersOptions;
  unread = 0;

  /** None yet. */
  constructor(options: UnreadAnswersOptions) {
    this.#options = options;
  }

  /** There may be more of them, or less. */
  note(): void {
    const more = this.#options.size() - this.unread;
    if (more === 0) return;
    this.unread += more;
    this.#options.memory.add(this, more);
  }

  /** Whether for its answers nothing more is begun. */
  get areTooMany(): boolean {
    return this.unread > 0 && this.#options.memory.isShort;
  }

  get fetched(): number {
    return this.#options.fetched();
  }

  cut(): void {
    this.#options.cut();
  }

  get hasFetched(): boolean {
    return this.#options.memory.hasFetched(this);
  }

  get hasRoom(): boolean {
    return this.#options.memory.hasRoom;
  }

  wait(isDue: () => boolean): Promise<void> {
    return this.#options.memory.wait(isDue);
  }
}
