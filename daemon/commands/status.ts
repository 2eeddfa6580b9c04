/**
 * `status`: how is the daemon doing?
 *
 * @module
 */
import { connect } from "../../client/database.ts";
import type { DaemonStatus, DatabaseStatus } from "../../client/protocol.ts";
import { EXIT } from "./exit_code.ts";
import { print } from "./output.ts";
import { endpointOfDaemon, startHint } from "./target.ts";

/** Prints how the daemon of `file`, or the only one that runs, is doing. */
export async function status(file: string | undefined, json: boolean): Promise<number> {
  const endpoint = await endpointOfDaemon(file);
  const answer = await startHint(file, async () => {
    await using database = await connect({ pipe: endpoint });
    return await database.status();
  });
  print(json ? JSON.stringify(answer) + "\n" : statusText(answer));
  return EXIT.done;
}

/** A status to read. */
export function statusText(status: DaemonStatus): string {
  const { rss, private: own } = status.memory;
  const memory = sizeText(rss) + (own === undefined ? "" : ` (${sizeText(own)} private)`);
  return `skylinedb-daemon ${status.version}, SQLite ${status.sqlite_version}\n` +
    section([
      ["process", `${status.pid}, up ${durationText(status.uptime_ms)}`],
      ["program", status.exe],
      ["memory", memory],
      ["connections", String(status.connections)],
    ]) +
    status.databases.map(databaseText).join("");
}

function databaseText(database: DatabaseStatus): string {
  const { writes, groups, failures, queued } = database;
  return `\n${database.path}\n` + section([
    ["endpoint", database.endpoint],
    ["revision", String(database.rev)],
    ["durability", database.durability],
    ["writes", `${writes} in ${groups} commits, ${failures} failed, ${queued} waiting`],
    ["queries", String(database.queries)],
    ["log (WAL)", walText(database)],
  ]);
}

function walText({ wal_bytes, wal_limit_bytes, ...database }: DatabaseStatus): string {
  const { wal_frames_left: left, wal_held_ms: heldMs } = database;
  const held = heldMs > 0 ? `, held back by a reader for ${durationText(heldMs)}` : "";
  return `${sizeText(wal_bytes)} of ${
    sizeText(wal_limit_bytes)
  }, ${left} pages not copied yet${held}`;
}

function section(lines: readonly (readonly [string, string])[]): string {
  return lines.map(([name, value]) => `  ${name.padEnd(12)} ${value}\n`).join("");
}

function sizeText(bytes: number): string {
  if (bytes < 1000) return `${bytes} bytes`;
  return bytes < 1_000_000
    ? `${(bytes / 1000).toFixed(1)} kB`
    : `${(bytes / 1_000_000).toFixed(1)} MB`;
}

function durationText(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  const [days, hours, minutes] = [seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60].map(
    Math.floor,
  );
  if (days > 0) return `${days} d ${hours} h`;
  if (hours > 0) return `${hours} h ${minutes} min`;
  return minutes > 0 ? `${minutes} min ${seconds % 60} s` : `${seconds} s`;
}
