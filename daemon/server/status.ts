/**
 * The answer to `Status`.
 *
 * @module
 */
import type {
  ConnectionStatus,
  DaemonOptions,
  DatabaseStatus,
  Distribution,
  Distributions,
  StatusAnswer,
} from "../../client/protocol.ts";
import { LIMITS } from "../process/limits.ts";
import { privateBytes } from "../process/memory.ts";
import type { RecentHistogram } from "../process/recent_histogram.ts";
import { EXECUTABLE, VERSION } from "../process/version.ts";
import { sqliteVersion } from "../sqlite/ffi.ts";
import type { Listener } from "./listener.ts";
import type { Served } from "./router.ts";
import type { Session } from "./session.ts";
import { type ClosedTraffic, Traffic } from "./traffic.ts";

/** A database, and where its connections are. */
export interface ServedAt extends Served {
  readonly listeners: readonly Listener[];
}

/** The fields of the answer to `Status`; `startedAt` is on the clock of `performance.now()`. */
export function statusFields(
  files: readonly ServedAt[],
  { startedAt, closedTraffic, options }: {
    readonly startedAt: number;
    readonly closedTraffic: ClosedTraffic;
    readonly options: DaemonOptions;
  },
): Omit<StatusAnswer, "status"> {
  const now = performance.now();
  const sessions = files.map(({ listeners }) => listeners.flatMap((each) => [...each.sessions]));
  const traffic = new Traffic();
  for (const each of [closedTraffic, ...sessions.flat().map(({ traffic }) => traffic)]) {
    traffic.add(each);
  }
  let left = LIMITS.statusConnectionsMax;
  return {
    version: VERSION,
    pid: Deno.pid,
    exe: EXECUTABLE,
    uptime_ms: Math.round(now - startedAt),
    sqlite_version: sqliteVersion(),
    connections: sessions.flat().length,
    connections_opened: closedTraffic.connections,
    requests: traffic.requests,
    received_bytes: traffic.receivedBytes,
    sent_bytes: traffic.sentBytes,
    memory: { rss: Deno.memoryUsage().rss, private: privateBytes() },
    options,
    databases: files.map((file, i) => {
      const listed = sessions[i].slice(0, left);
      left -= listed.length;
      return databaseStatus(file, sessions[i].length, connectionsOf(listed, now), now);
    }),
  };
}

function connectionsOf(sessions: readonly Session[], now: number): ConnectionStatus[] {
  return sessions.map((session) => session.status(now)).sort((a, b) => a.id - b.id);
}

function databaseStatus(
  { database, path, endpoint, created, writeTimes, queryTimes }: Served,
  connections: number,
  listed: readonly ConnectionStatus[],
  now: number,
): DatabaseStatus {
  const figures = database.figures();
  return {
    path,
    endpoint,
    open: figures.open,
    lost: figures.lost?.message ?? null,
    rev: figures.rev,
    durability: database.durability,
    created,
    queued: figures.queued,
    queued_units: figures.queuedUnits,
    writes: figures.writes,
    groups: figures.groups,
    failures: figures.failures,
    queries: figures.queries,
    latency_ms: {
      writes: distributions(writeTimes, now),
      queries: distributions(queryTimes, now),
      commits: distributions(figures.commitTimes, now),
    },
    group_size: distributions(figures.groupSizes, now),
    checkpoints: figures.checkpoints,
    checkpoint_ms: rounded(figures.checkpointMs),
    wal_bytes: figures.walBytes,
    wal_frames_left: figures.walFramesLeft,
    wal_held_ms: figures.walHeldMs,
    wal_limit_bytes: figures.walLimitBytes,
    connections,
    open_connections: listed,
  };
}

function distributions(histogram: RecentHistogram, now: number): Distributions {
  return { last_minute: shown(histogram.lastMinute(now)), total: shown(histogram.total()) };
}

function shown({ count, sum, p50, p99, max }: Distribution): Distribution {
  return { count, sum: rounded(sum), p50: rounded(p50), p99: rounded(p99), max: rounded(max) };
}

/** To microseconds. */
function rounded(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
