/**
 * Answers on their way out of a connection.
 *
 * @module
 */
import { nextTick } from "node:process";
import { LIMITS } from "../process/limits.ts";
import type { AnswerTimes } from "./answer_times.ts";
import { framesOf } from "./answers.ts";
import type { Channel } from "./channel.ts";
import type { Traffic } from "./traffic.ts";

/** Where answers go, and who is told. */
export interface OutboxOptions {
  readonly channel: Channel;
  readonly traffic: Traffic;
  readonly answerTimes: AnswerTimes;
  /** The system has what was written last. */
  sent(): void;
  /** They cannot be written. */
  failed(error: unknown): void;
}

/** Sends answers in their order: one write for all of a turn, or for those that came while the one before was under way. */
export class Outbox {
  readonly #options: OutboxOptions;
  #texts: string[] = [];
  #units = 0;
  #writingBytes = 0;

  /** Empty. */
  constructor(options: OutboxOptions) {
    this.#options = options;
  }

  /** How much is not sent yet: bytes that are being written, and UTF-16 units of what is not. */
  get unsent(): number {
    return this.#writingBytes + this.#units;
  }

  /** Sends an answer at the end of the turn. */
  push(text: string): void {
    if (this.#texts.push(text) === 1) nextTick(() => this.#flush());
    this.#units += text.length;
  }

  /** Forgets what is not being written yet. */
  clear(): void {
    this.#texts = [];
    this.#units = 0;
  }

  #flush(): void {
    const { channel, traffic, answerTimes, sent, failed } = this.#options;
    answerTimes.sent();
    if (this.#texts.length === 0 || this.#writingBytes > 0) return;
    const frames = framesOf(this.#take());
    this.#writingBytes = frames.length;
    traffic.sentBytes += frames.length;
    channel.write(frames).then(() => {
      this.#writingBytes = 0;
      this.#flush();
      sent();
    }, failed);
  }

  /** What the next write sends. */
  #take(): string[] {
    let units = 0, count = 0;
    while (count < this.#texts.length && units < LIMITS.writeUnitsMax) {
      units += this.#texts[count++].length;
    }
    this.#units -= units;
    return this.#texts.splice(0, count);
  }
}
