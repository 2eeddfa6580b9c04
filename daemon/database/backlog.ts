/**
 * Copying a long write-ahead log into the database file while writes go on.
 *
 * @module
 */
import { setTimeout as sleep } from "node:timers/promises";
import { LIMITS } from "../process/limits.ts";
import type { CheckpointProgress, WriteAheadLog } from "../sqlite/write_ahead_log.ts";
import { openConnection } from "./open_connection.ts";

/**
 * Copies on another thread and on a connection of its own, again and again, until hardly more is left than a routine
 * checkpoint copies, a reader is in the way, or `signal` is aborted, which it looks at between two passes. Only for libraries
 * from `SAFE_CHECKPOINT_VERSION` on.
 *
 * @throws {SkylineError} `CANNOT_OPEN`
 * @throws {SqliteError}
 */
export async function copyBacklog(path: string, signal: AbortSignal): Promise<CheckpointProgress> {
  const connection = openConnection(path);
  try {
    // Until it has read the file, the connection does not know that there is a log.
    connection.get("SELECT 1 FROM sqlite_schema");
    for (let copiedBefore = 0;;) {
      const { frames, copied } = await copyAndSync(connection.wal);
      const isSmall = frames - copiedBefore <= LIMITS.checkpointFrames;
      if (isSmall || copied < frames || signal.aborted) return { frames, copied };
      copiedBefore = copied;
    }
  } finally {
    connection.close();
  }
}

/**
 * SQLite leaves the sync of the database file to the checkpoint that reaches the log's end. After 200 MB that one would
 * hold the loop for 100 ms; and one large sync beside it holds a commit for as long, because ext4 writes the data of all
 * files before it commits its own journal. So it is synced all the time, and a commit waits for 16 ms at most.
 */
async function copyAndSync(wal: WriteAheadLog): Promise<CheckpointProgress> {
  let copying = true;
  const copied = wal.checkpointOffLoop().finally(() => copying = false);
  try {
    while (copying) {
      await Promise.race([copied, sleep(LIMITS.backlogSyncPauseMs)]);
      await wal.syncDatabaseOffLoop();
    }
  } finally {
    await copied;
  }
  return await copied;
}
