/**
 * Keeping the write-ahead log short.
 *
 * @module
 */
import { LIMITS } from "../process/limits.ts";
import type { Log } from "../process/log.ts";
import type { CheckpointProgress, Connection } from "../sqlite/connection.ts";
import { turn } from "./turn.ts";

/**
 * Routine checkpoints, on the write connection, between commits: inline they keep the log below a few MB at no loss of
 * rate, where one on another thread let it grow by 50 MB/s.
 */
export class Checkpoints {
  readonly #log: Log;
  /** Length of the log, in frames, at which the next one is due. */
  #dueAt: number = LIMITS.checkpointFrames;
  /** Frames that were left at the last one, because a reader needs the file as it was before them. */
  framesLeft = 0;

  /** Logs failures to `log`; they lose nothing, and the next checkpoint tries again. */
  constructor(log: Log) {
    this.#log = log;
  }

  /** Does the one that is due, if any. */
  run(connection: Connection): void | Promise<void> {
    if (connection.walFrames < this.#dueAt) {
      // The log started over at its beginning.
      if (connection.walFrames <= LIMITS.checkpointFrames) this.#dueAt = LIMITS.checkpointFrames;
      return;
    }
    return this.#run(connection);
  }

  async #run(connection: Connection): Promise<void> {
    // The answers of the last commit go first.
    await turn();
    const backlog = connection.walFrames - (this.#dueAt - LIMITS.checkpointFrames);
    try {
      const large = this.framesLeft > LIMITS.checkpointInlineFrames ||
        backlog > LIMITS.checkpointInlineFrames;
      this.#note(
        large ? await connection.checkpointOffLoop() : connection.checkpoint(),
        connection,
      );
    } catch (error) {
      this.#dueAt = connection.walFrames + LIMITS.checkpointFrames;
      this.#log.warn("Checkpoint failed", { error });
    }
  }

  #note({ frames, copied }: CheckpointProgress, connection: Connection): void {
    this.framesLeft = Math.max(0, frames - copied);
    // Copied whole, the log starts over with the next commit; else it grows, and another try is due after as much again.
    this.#dueAt = this.framesLeft === 0
      ? LIMITS.checkpointFrames
      : connection.walFrames + LIMITS.checkpointFrames;
  }
}
