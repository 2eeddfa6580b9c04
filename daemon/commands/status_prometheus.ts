/**
 * A status in Prometheus' text exposition format, version 0.0.4: base units, and a `# HELP` and a `# TYPE` for each metric.
 *
 * @module
 */
import type { DaemonStatus, DatabaseStatus, Distributions } from "../../client/protocol.ts";

type Labels = Readonly<Record<string, string>>;

type Metric<T> = readonly [
  name: string,
  type: "gauge" | "counter",
  help: string,
  value: (status: T) => number | undefined,
];

type Summary = readonly [
  name: string,
  help: string,
  values: (status: DatabaseStatus) => Distributions,
  perUnit: number,
];

const MS_PER_SECOND = 1000;

const OF_DAEMON: readonly Metric<DaemonStatus>[] = [
  ["uptime_seconds", "gauge", "Time since the start", (s) => s.uptime_ms / MS_PER_SECOND],
  ["private_memory_bytes", "gauge", "Private memory", (s) => s.memory.private],
  ["resident_memory_bytes", "gauge", "Resident memory", (s) => s.memory.rss],
  ["connections_opened_total", "counter", "Connections opened", (s) => s.connections_opened],
  ["requests_total", "counter", "Requests of every kind", (s) => s.requests],
  ["received_bytes_total", "counter", "Bytes received", (s) => s.received_bytes],
  ["sent_bytes_total", "counter", "Bytes sent", (s) => s.sent_bytes],
];

const OF_DATABASE: readonly Metric<DatabaseStatus>[] = [
  ["open", "gauge", "1 while the file is open", (s) => Number(s.open)],
  ["lost", "gauge", "1 where it is served no more", (s) => Number(s.lost !== null)],
  ["connections", "gauge", "Connections that are open", (s) => s.connections],
  ["revision", "gauge", "Revision, one more with every write", (s) => s.rev],
  ["queued_writes", "gauge", "Writes that wait", (s) => s.queued],
  ["writes_total", "counter", "Writes that took effect", (s) => s.writes],
  ["write_failures_total", "counter", "Writes that failed", (s) => s.failures],
  ["commits_total", "counter", "Commits", (s) => s.groups],
  ["queries_total", "counter", "Queries", (s) => s.queries],
  ["checkpoints_total", "counter", "Checkpoints", (s) => s.checkpoints],
  [
    "last_checkpoint_duration_seconds",
    "gauge",
    "Duration of the last checkpoint",
    (s) => s.checkpoint_ms / MS_PER_SECOND,
  ],
  ["wal_bytes", "gauge", "Size of the write-ahead log", (s) => s.wal_bytes],
  ["wal_limit_bytes", "gauge", "Its size from which on writes fail", (s) => s.wal_limit_bytes],
  ["wal_frames_left", "gauge", "Its pages that are not copied yet", (s) => s.wal_frames_left],
  [
    "wal_held_seconds",
    "gauge",
    "For how long a reader has held it back",
    (s) => s.wal_held_ms / MS_PER_SECOND,
  ],
];

const SUMMARIES: readonly Summary[] = [
  [
    "write_duration_seconds",
    "Time from a write's arrival to its answer",
    (s) => s.latency_ms.writes,
    MS_PER_SECOND,
  ],
  [
    "query_duration_seconds",
    "Time from a query's arrival to its answer",
    (s) => s.latency_ms.queries,
    MS_PER_SECOND,
  ],
  ["commit_duration_seconds", "Time of a commit", (s) => s.latency_ms.commits, MS_PER_SECOND],
  ["group_size", "Writes that shared a commit", (s) => s.group_size, 1],
];

/** A status for Prometheus to read, for instance through node_exporter's textfile collector. */
export function prometheusText(status: DaemonStatus): string {
  const { version, sqlite_version, databases } = status;
  return header("info", "gauge", "Versions of the daemon") +
    sample("info", { version, sqlite_version }, 1) +
    OF_DAEMON.map((metric) => metricText(metric, [[status, {}]])).join("") +
    OF_DATABASE.map((metric) => metricText(metric, databases.map(labelled))).join("") +
    SUMMARIES.map((summary) => summaryText(summary, databases)).join("");
}

function labelled(database: DatabaseStatus): [DatabaseStatus, Labels] {
  return [database, { database: database.path }];
}

/** Nothing where the system does not tell the value. */
function metricText<T>(
  [name, type, help, value]: Metric<T>,
  statuses: readonly (readonly [T, Labels])[],
): string {
  const samples = statuses.map(([status, labels]) => {
    const now = value(status);
    return now === undefined ? "" : sample(name, labels, now);
  }).join("");
  return samples && header(name, type, help) + samples;
}

/** As Prometheus wants it: quantiles are those of late, sum and count those since the start. */
function summaryText(
  [name, help, values, perUnit]: Summary,
  databases: readonly DatabaseStatus[],
): string {
  return header(name, "summary", help) + databases.map(labelled).map(([database, labels]) => {
    const { last_minute: { count, p50, p99, max }, total } = values(database);
    const quantile = (share: string, value: number) =>
      sample(name, { ...labels, quantile: share }, count === 0 ? NaN : value / perUnit);
    return quantile("0.5", p50) + quantile("0.99", p99) + quantile("1", max) +
      sample(`${name}_sum`, labels, total.sum / perUnit) +
      sample(`${name}_count`, labels, total.count);
  }).join("");
}

function header(name: string, type: string, help: string): string {
  return `# HELP skylinedb_${name} ${help}\n# TYPE skylinedb_${name} ${type}\n`;
}

function sample(name: string, labels: Labels, value: number): string {
  const texts = Object.entries(labels).map(([label, text]) => `${label}="${escaped(text)}"`);
  return `skylinedb_${name}${texts.length > 0 ? `{${texts.join()}}` : ""} ${value}\n`;
}

function escaped(text: string): string {
  return text.replace(/[\\"]/g, "\\$&").replaceAll("\n", "\\n");
}
