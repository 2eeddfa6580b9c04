/**
 * The answer to `Status`.
 *
 * @module
 */
import type { DatabaseStatus, StatusAnswer } from "../../client/protocol.ts";
import { privateBytes } from "../process/memory.ts";
import { EXECUTABLE, VERSION } from "../process/version.ts";
import { sqliteVersion } from "../sqlite/ffi.ts";
import type { Served } from "./router.ts";

/** The fields of the answer to `Status`. */
export function statusFields(
  served: readonly Served[],
  { uptimeMs, connections }: { readonly uptimeMs: number; readonly connections: number },
): Omit<StatusAnswer, "status"> {
  return {
    version: VERSION,
    pid: Deno.pid,
    exe: EXECUTABLE,
    uptime_ms: uptimeMs,
    sqlite_version: sqliteVersion(),
    connections,
    memory: { rss: Deno.memoryUsage().rss, private: privateBytes() },
    databases: served.map(databaseStatus),
  };
}

function databaseStatus({ database, path, endpoint }: Served): DatabaseStatus {
  const figures = database.figures();
  return {
    path,
    endpoint,
    open: figures.open,
    rev: figures.rev,
    durability: database.durability,
    queued: figures.queued,
    writes: figures.writes,
    groups: figures.groups,
    failures: figures.failures,
    queries: figures.queries,
    wal_bytes: figures.walBytes,
    wal_frames_left: figures.walFramesLeft,
    wal_held_ms: figures.walHeldMs,
    wal_limit_bytes: figures.walLimitBytes,
  };
}
