/**
 * A status as a page to read, at 80 columns.
 *
 * @module
 */
import type {
  ConnectionStatus,
  DaemonStatus,
  DatabaseStatus,
  Distribution,
  Distributions,
} from "../../client/protocol.ts";
import { printable, printableName } from "./output.ts";
import { countText, durationText, latencyText, sizeText } from "./quantities.ts";

/** Connections that are listed of each database; a page of 240 would hide the rest. */
const CONNECTIONS_LISTED = 20;

/** What a value is where there is none. */
const NONE = "–";

/** A status to read. */
export function statusText(status: DaemonStatus): string {
  return `${titleText(status)}\n\n${detailsText(status)}`;
}

/** Its first line. */
export function titleText({ version, sqlite_version, uptime_ms }: DaemonStatus): string {
  return `skylinedb-daemon ${version}, SQLite ${sqlite_version}, up ${durationText(uptime_ms)}`;
}

/** What comes below the first line. */
export function detailsText(status: DaemonStatus): string {
  const { rss, private: own } = status.memory;
  const traffic = `${sizeText(status.received_bytes)} received, ${
    sizeText(status.sent_bytes)
  } sent`;
  return section([
    ["process", String(status.pid)],
    ["program", status.exe],
    ["memory", `${own === undefined ? "" : `${sizeText(own)} private, `}${sizeText(rss)} resident`],
    [
      "connections",
      `${countText(status.connections)} open (one of them to ask this), ` +
      `${countText(status.connections_opened)} since the start`,
    ],
    ["requests", `${countText(status.requests)}; ${traffic}`],
  ]) + status.databases.map(databaseText).join("");
}

function databaseText(database: DatabaseStatus): string {
  const { writes, groups, failures, queued } = database;
  const { last_minute: { count, sum } } = database.group_size;
  const lately = count === 0 ? "" : ` (lately ${(sum / count).toFixed(1)} in one)`;
  return `\n${printableName(database.path)}\n` + section([
    ["state", stateText(database)],
    ["endpoint", database.endpoint],
    ["revision", countText(database.rev)],
    ["durability", database.durability],
    ["writes", `${countText(writes)} in ${countText(groups)} commits${lately}`],
    ["failed", countText(failures)],
    ["queue", `${countText(queued)} waiting, ${sizeText(database.queued_units)}`],
    ["queries", countText(database.queries)],
    ["log (WAL)", walText(database)],
    ["checkpoints", checkpointsText(database)],
  ]) + timesText(database) + connectionsText(database);
}

function stateText({ open, lost }: DatabaseStatus): string {
  if (lost !== null) return `served no more: ${lost}`;
  return open ? "open" : "closed, as nobody used it; the next request opens it";
}

function walText({ wal_bytes, wal_limit_bytes, ...database }: DatabaseStatus): string {
  const { wal_frames_left: left, wal_held_ms: heldMs } = database;
  const held = heldMs > 0 ? `, held back by a reader for ${durationText(heldMs)}` : "";
  const size = `${sizeText(wal_bytes)} of ${sizeText(wal_limit_bytes)}`;
  return `${size}, ${countText(left)} pages not copied yet${held}`;
}

function checkpointsText({ checkpoints, checkpoint_ms }: DatabaseStatus): string {
  const last = checkpoints === 0 ? "" : `, the last took ${latencyText(checkpoint_ms)}`;
  return countText(checkpoints) + last;
}

/** Stands over the columns of {@link timesText}. */
const TIMES_HEADER = `${"last minute".padStart(35)}${"since the start".padStart(32)}\n`;

/** Nothing where nothing was done yet. */
function timesText({ latency_ms: { writes, queries, commits }, group_size }: DatabaseStatus) {
  if (writes.total.count + queries.total.count + commits.total.count === 0) return "";
  const row = (
    name: string,
    { last_minute, total }: Distributions,
    text: (value: number) => string,
  ) => [
    ...[name, countText(last_minute.count)],
    ...[last_minute, total].flatMap((each) => percentiles(each, text)),
  ];
  return "\n" + TIMES_HEADER + columns([
    ["", "count", "p50", "p99", "max", "p50", "p99", "max"],
    row("writes", writes, latencyText),
    row("queries", queries, latencyText),
    row("commits", commits, latencyText),
    row("group size", group_size, countText),
  ], 8);
}

function percentiles({ count, p50, p99, max }: Distribution, text: (n: number) => string) {
  return [p50, p99, max].map((value) => count === 0 ? NONE : text(value));
}

function connectionsText({ connections, open_connections: all }: DatabaseStatus): string {
  if (all.length === 0) return "";
  const bySilence = all.toSorted((a, b) => a.idle_ms - b.idle_ms);
  const listed = bySilence.slice(0, CONNECTIONS_LISTED);
  const rest = connections - listed.length;
  return "\n" + columns([
    ["connection", "open for", "requests", "waiting", "received", "sent", "silent for"],
    ...listed.map(connectionRow),
  ], 8) + (rest > 0 ? `  and ${countText(rest)} more, silent for longer: --json lists them\n` : "");
}

function connectionRow(each: ConnectionStatus): string[] {
  return [
    String(each.id),
    durationText(each.age_ms),
    countText(each.requests),
    countText(each.waiting),
    sizeText(each.received_bytes),
    sizeText(each.sent_bytes),
    durationText(each.idle_ms),
  ];
}

function section(lines: readonly (readonly [string, string])[]): string {
  return lines.map(([name, value]) => `  ${name.padEnd(12)} ${printable(value)}\n`).join("");
}

/** Aligns the first column to the left, the others to the right, each at least so wide. */
function columns(rows: readonly (readonly string[])[], widthMin: number): string {
  const widths = rows[0].map((_, i) => Math.max(widthMin, ...rows.map((row) => row[i].length)));
  return rows.map((row) => {
    const cells = row.map((cell, i) => i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]));
    return `  ${cells.join(" ")}`.trimEnd() + "\n";
  }).join("");
}
