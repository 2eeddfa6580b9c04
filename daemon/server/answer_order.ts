/**
 * Answers to requests without an id, which come in the order of the requests.
 *
 * @module
 */
import { Blocks } from "../process/blocks.ts";
import type { Answer } from "./answers.ts";

/** The place of an answer. */
export interface Slot {
  answer: Answer | null;
}

/** Sends answers in the order of their places. */
export class AnswerOrder {
  readonly #send: (answer: Answer) => void;
  #slots: Slot[] = [];
  #isClosed = false;
  /** Memory of answers that are known but wait for others, in bytes; of texts, in UTF-16 units. */
  memory = 0;

  /** Gives answers to `send` when it is their turn. */
  constructor(send: (answer: Answer) => void) {
    this.#send = send;
  }

  /** Places that are taken. */
  get count(): number {
    return this.#slots.length;
  }

  /** Takes the next place. */
  take(): Slot {
    const slot = { answer: null };
    this.#slots.push(slot);
    return slot;
  }

  /** An answer that is known at once comes after those that are still awaited. */
  add(answer: Answer): void {
    if (this.#slots.length === 0) this.#send(answer);
    else this.fill(this.take(), answer);
  }

  /** The answer of a place is known. */
  fill(slot: Slot, answer: Answer): void {
    if (this.#isClosed) return release(answer);
    slot.answer = answer;
    this.memory += memoryOf(answer);
    while (this.#slots.length > 0 && this.#slots[0].answer !== null) {
      const { answer } = this.#slots.shift()!;
      this.memory -= memoryOf(answer!);
      this.#send(answer!);
    }
  }

  /** Forgets all answers, those to come as well. */
  close(): void {
    this.#isClosed = true;
    for (const { answer } of this.#slots) if (answer !== null) release(answer);
    this.#slots = [];
    this.memory = 0;
  }
}

function memoryOf(answer: Answer): number {
  return answer instanceof Blocks ? answer.memory : answer.length;
}

/** Lets go of an answer that nobody gets. */
export function release(answer: Answer): void {
  if (answer instanceof Blocks) answer.release();
}
