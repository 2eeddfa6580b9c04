/**
 * Answers on their way out of a connection.
 *
 * @module
 */
import { nextTick } from "node:process";
import { Blocks } from "../process/blocks.ts";
import { LIMITS } from "../process/limits.ts";
import type { AnswerTimes } from "./answer_times.ts";
import { type Answer, framesOf } from "./answers.ts";
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

/**
 * Sends answers in their order: one write for all of a turn, or for those that came while the one before was under way. Much
 * that waits is in blocks, and goes a block at a time.
 */
export class Outbox {
  readonly #options: OutboxOptions;
  /** Frames that come before the texts; made when they are needed. */
  #frames: Blocks | undefined;
  #texts: string[] = [];
  #units = 0;
  #writingBytes = 0;
  /** What is being written, if it is of {@link Outbox.#frames}. */
  #piece: Uint8Array<ArrayBuffer> | undefined;

  /** Empty. */
  constructor(options: OutboxOptions) {
    this.#options = options;
  }

  /** How much is not sent yet: bytes, and UTF-16 units of texts that are not being written. */
  get unsent(): number {
    return this.#writingBytes + this.#units + (this.#frames?.bytes ?? 0);
  }

  /** Memory of what is not sent yet, in bytes; without the texts, which are few. */
  get memory(): number {
    if (this.#frames === undefined) return 0;
    return this.#frames.memory + (this.#piece === undefined ? 0 : Blocks.memoryOf(this.#piece));
  }

  /** Sends an answer, which as a text is a short one, at the end of the turn. */
  push(answer: Answer): void {
    if (typeof answer === "string") {
      if (this.#texts.push(answer) === 1) nextTick(() => this.#flush());
      this.#units += answer.length;
      if (this.#units > LIMITS.shortUnitsMax) this.#seal();
    } else {
      nextTick(() => this.#flush());
      answer.makeFrame();
      this.#seal().append(answer);
    }
  }

  /** Puts the texts into blocks. */
  #seal(): Blocks {
    const frames = this.#frames ??= new Blocks();
    for (const text of this.#texts) frames.addFrame(text);
    this.#texts = [];
    this.#units = 0;
    return frames;
  }

  /** Forgets all; only what is being written may still be sent. */
  clear(): void {
    this.#texts = [];
    this.#units = 0;
    this.#frames?.release();
    if (this.#piece !== undefined) Blocks.giveBack(this.#piece, true);
    this.#piece = undefined;
  }

  #flush(): void {
    this.#options.answerTimes.sent();
    if (this.#writingBytes > 0) return;
    this.#piece = this.#frames?.take();
    if (this.#piece !== undefined) {
      this.#write(this.#piece);
    } else if (this.#texts.length > 0) {
      const texts = this.#texts;
      this.#texts = [];
      this.#units = 0;
      this.#write(framesOf(texts));
    }
  }

  #write(bytes: Uint8Array): void {
    const { channel, traffic, sent, failed } = this.#options;
    this.#writingBytes = bytes.length;
    traffic.sentBytes += bytes.length;
    channel.write(bytes).then(() => {
      this.#writingBytes = 0;
      if (this.#piece !== undefined) Blocks.giveBack(this.#piece);
      this.#piece = undefined;
      this.#flush();
      sent();
    }, failed);
  }
}
