/**
 * Statuses for the tests of what is made of them.
 *
 * @module
 */
import type {
  ConnectionStatus,
  DaemonStatus,
  DatabaseStatus,
  Distributions,
} from "../../client/protocol.ts";
import { daemonConfig, optionsOf } from "../../daemon/process/config.ts";

const NOTHING = { count: 0, sum: 0, p50: 0, p99: 0, max: 0 };
const NEVER: Distributions = { last_minute: NOTHING, total: NOTHING };

/** A database that did nothing yet, but for what is said otherwise. */
export function databaseStatus(others: Partial<DatabaseStatus> = {}): DatabaseStatus {
  return {
    path: "/data/app.db",
    endpoint: "/run/user/1000/skylinedb/0123456789abcdef.sock",
    open: true,
    lost: null,
    rev: 7,
    durability: "full",
    created: false,
    queued: 0,
    queued_units: 0,
    writes: 0,
    groups: 0,
    failures: 0,
    queries: 0,
    latency_ms: { writes: NEVER, queries: NEVER, commits: NEVER },
    group_size: NEVER,
    checkpoints: 0,
    checkpoint_ms: 0,
    wal_bytes: 4_124_152,
    wal_frames_left: 0,
    wal_held_ms: 0,
    wal_limit_bytes: 1024 ** 3,
    connections: 0,
    open_connections: [],
    ...others,
  };
}

/** A database that is busy, with as large numbers as there may be. */
export function busyDatabase(connections: number): DatabaseStatus {
  const times = {
    last_minute: { count: 5_999_999, sum: 5_000_000, p50: 0.244, p99: 12.3, max: 59_999 },
    total: { count: 999_999_999, sum: 5_000_000_000, p50: 0.2, p99: 1.249, max: 86_400_000 },
  };
  const sizes = {
    last_minute: { count: 2_000, sum: 10_600, p50: 5, p99: 64, max: 1_000 },
    total: { count: 200_000, sum: 1_060_000, p50: 5, p99: 64, max: 1_000 },
  };
  return databaseStatus({
    writes: 999_999_999,
    groups: 200_000_000,
    failures: 12_345,
    queries: 999_999_999,
    latency_ms: { writes: times, queries: times, commits: times },
    group_size: sizes,
    checkpoints: 12_345,
    checkpoint_ms: 1.234,
    connections,
    open_connections: Array.from({ length: connections }, (_, i) => connectionStatus(i + 1)),
  });
}

/** A connection; those of higher numbers are silent for less time. */
function connectionStatus(id: number): ConnectionStatus {
  return {
    id,
    age_ms: 86_400_000 * 99,
    idle_ms: 86_400_000 / id,
    requests: 123_456_789,
    waiting: 1_024,
    received_bytes: 999_900_000,
    sent_bytes: 999_900_000_000,
  };
}

/** A daemon that serves these databases. */
export function daemonStatus(
  databases: readonly DatabaseStatus[],
  others: Partial<DaemonStatus> = {},
): DaemonStatus {
  return {
    version: "0.1.0",
    pid: 42,
    exe: "/opt/skylinedb-daemon",
    uptime_ms: 11_520_000,
    sqlite_version: "3.53.2",
    connections: 1,
    connections_opened: 3_210,
    requests: 1_234_567,
    received_bytes: 210_000_000,
    sent_bytes: 98_000_000,
    memory: { rss: 52_000_000 },
    options: optionsOf(daemonConfig(["/data/app.db"], {}, () => undefined)),
    databases,
    ...others,
  };
}
