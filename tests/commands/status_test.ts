import assert from "node:assert/strict";
import { statusText } from "../../daemon/commands/status.ts";
import { Folder, run } from "./command_line.ts";

const DATABASE = {
  path: "/data/app.db",
  endpoint: "/run/user/1000/skylinedb/0123456789abcdef.sock",
  open: true,
  rev: 7,
  durability: "full",
  queued: 0,
  writes: 7,
  groups: 5,
  failures: 1,
  queries: 3,
  wal_bytes: 4_124_152,
  wal_frames_left: 0,
  wal_held_ms: 0,
  wal_limit_bytes: 1024 ** 3,
};
const STATUS = {
  version: "0.1.0",
  pid: 42,
  exe: "/opt/skylinedb-daemon",
  uptime_ms: 1000,
  sqlite_version: "3.53.2",
  connections: 1,
  memory: { rss: 52_000_000 },
};

Deno.test("statusText() says for how long a reader has held the log back, when one has", () => {
  const lineOf = (database: typeof DATABASE) =>
    /^ {2}log \(WAL\) +(.*)$/m.exec(statusText({ ...STATUS, databases: [database] }))?.[1];
  assert.equal(lineOf(DATABASE), "4.1 MB of 1073.7 MB, 0 pages not copied yet");
  assert.equal(
    lineOf({ ...DATABASE, wal_frames_left: 1_200, wal_held_ms: 61_000 }),
    "4.1 MB of 1073.7 MB, 1200 pages not copied yet, held back by a reader for 1 min 1 s",
  );
});

Deno.test("start --background hands the log's limit on", async () => {
  await using folder = new Folder();
  const file = folder.file("app.db");
  assert.equal((await run([file, "--background", "--wal-limit", "64MiB"])).code, 0);
  const { databases } = JSON.parse((await run(["status", file, "--json"])).stdout);
  assert.equal(databases[0].wal_limit_bytes, 64 * 1024 * 1024);
  assert.equal((await run(["shutdown", file])).code, 0);
});
