/**
 * What has arrived of a connection's next frame, until its rest does.
 *
 * @module
 */
import { SkylineError } from "../../client/errors.ts";
import { LIMITS } from "../process/limits.ts";
import { giveBackLargePieces } from "../process/memory.ts";
import type { ConnectionMemory } from "./connection_memory.ts";

/** The connection whose frame it is. */
export interface PartialFrameOwner {
  /** When a byte arrived last, on the clock of `performance.now()`. */
  arrivedAt: number;
  /** Whether it is not read on for now. */
  readonly isPaused: boolean;
  /** Answers with an error and closes. */
  refuse(error: SkylineError): void;
}

/** Sees to it that half-received frames hold no more than they may, and not for ever. */
export class PartialFrame {
  readonly #owner: PartialFrameOwner;
  readonly #memory: ConnectionMemory;
  #bytes = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** That of `owner`; nothing yet. */
  constructor(owner: PartialFrameOwner, memory: ConnectionMemory) {
    this.#owner = owner;
    this.#memory = memory;
  }

  /** So many bytes of it are held now. */
  note(bytes: number): void {
    this.#memory.partialBytes += bytes - this.#bytes;
    this.#bytes = bytes;
    if (bytes === 0) return;
    if (bytes > LIMITS.longRequest.bytes) giveBackLargePieces();
    if (this.#memory.partialBytes > LIMITS.partialFrameBytesMax) {
      this.#owner.refuse(
        new SkylineError(
          "FRAMES_WAITING",
          `Half-received frames hold over ${LIMITS.partialFrameBytesMax} bytes`,
        ),
      );
    } else {
      this.#timer ??= setTimeout(() => this.#checkSilence(), LIMITS.partialFrameSilenceMs);
    }
  }

  #checkSilence(): void {
    this.#timer = undefined;
    if (this.#bytes === 0) return;
    const owner = this.#owner;
    // While it is not read, its silence is not its own.
    if (owner.isPaused) owner.arrivedAt = performance.now();
    const leftMs = owner.arrivedAt + LIMITS.partialFrameSilenceMs - performance.now();
    if (leftMs > 0) {
      this.#timer = setTimeout(() => this.#checkSilence(), leftMs);
    } else {
      const seconds = LIMITS.partialFrameSilenceMs / 1000;
      owner.refuse(
        new SkylineError("FRAME_TIMEOUT", `The rest of a frame did not arrive in ${seconds} s`),
      );
    }
  }

  /** Waits for no more of it. */
  end(): void {
    clearTimeout(this.#timer);
    this.note(0);
  }
}
