import assert from "node:assert/strict";
import { resolve } from "node:path";
import {
  daemonConfig,
  durationMs,
  type OptionName,
  sizeBytes,
  sizeOption,
  timeOption,
  UsageError,
} from "../../daemon/process/config.ts";

const EMPTY = () => undefined;

Deno.test("daemonConfig() returns absolute files and the defaults when nothing else is given", () => {
  assert.deepEqual(daemonConfig(["app.db"], {}, EMPTY), {
    files: [resolve("app.db")],
    durability: "full",
    foreignKeys: true,
    keepWal: false,
    walLimitBytes: 1024 ** 3,
    closeIdleMs: 300_000,
    exitWhenIdleMs: 0,
    background: false,
    logLevel: "info",
    asked: [],
  });
});

const ENVIRONMENT: Record<string, string> = {
  SKYLINEDB_PIPE: "app",
  SKYLINEDB_DURABILITY: "normal",
  SKYLINEDB_FOREIGN_KEYS: "off",
  SKYLINEDB_KEEP_WAL: "on",
  SKYLINEDB_WAL_LIMIT: "64MiB",
  SKYLINEDB_CLOSE_IDLE: "off",
  SKYLINEDB_EXIT_WHEN_IDLE: "90s",
  SKYLINEDB_LOG_FILE: "app.log",
  SKYLINEDB_LOG_LEVEL: "debug",
};

/** All options, in the order in which they are read. */
const ALL: OptionName[] = [
  ...["pipe", "log-file", "durability", "foreign-keys", "keep-wal", "wal-limit"] as const,
  ...["close-idle", "exit-when-idle", "log-level"] as const,
];

Deno.test("daemonConfig() takes from the environment what was not typed", () => {
  assert.deepEqual(daemonConfig(["app.db"], {}, (name) => ENVIRONMENT[name]), {
    files: [resolve("app.db")],
    pipe: "app",
    durability: "normal",
    foreignKeys: false,
    keepWal: true,
    walLimitBytes: 64 * 1024 * 1024,
    closeIdleMs: 0,
    exitWhenIdleMs: 90_000,
    background: false,
    logFile: resolve("app.log"),
    logLevel: "debug",
    asked: ALL,
  });
});

Deno.test("sizeOption() and timeOption() write what sizeBytes() and durationMs() read", () => {
  const sizes = [1024 ** 3, 500e6, 64 * 1024 ** 2, 16_777_217, 2 * 1024 ** 4];
  assert.deepEqual(sizes.map(sizeOption), ["1GiB", "500MB", "64MiB", "16777217", "2TiB"]);
  for (const size of sizes) assert.equal(sizeBytes("", sizeOption(size), 1, 1024 ** 5), size);
  assert.deepEqual([0, 300_000, 90_000, 7_200_000, 1_500].map(timeOption), [
    ...["off", "5m", "90s", "2h", "1500ms"],
  ]);
});

Deno.test("daemonConfig() takes what was typed when the environment says something else", () => {
  const typed = {
    pipe: "typed",
    durability: "full",
    foreignKeys: "on",
    walLimit: "500MB",
    closeIdle: "2h",
    exitWhenIdle: "500ms",
    logFile: "typed.log",
    logLevel: "error",
    background: true,
  };
  const config = daemonConfig(["app.db"], typed, (name) => ENVIRONMENT[name]);
  assert.equal(config.pipe, "typed");
  assert.equal(config.durability, "full");
  assert.equal(config.foreignKeys, true);
  assert.equal(config.walLimitBytes, 500_000_000);
  assert.equal(config.closeIdleMs, 7_200_000);
  assert.equal(config.exitWhenIdleMs, 500);
  assert.equal(config.logFile, resolve("typed.log"));
  assert.equal(config.logLevel, "error");
  assert.equal(config.background, true);
});

Deno.test("daemonConfig() takes an empty variable for one that is not set", () => {
  assert.equal(daemonConfig(["app.db"], {}, () => "").durability, "full");
});

Deno.test("daemonConfig() throws UsageError when there is no file or an empty name", () => {
  assert.throws(() => daemonConfig([], {}, EMPTY), UsageError);
  assert.throws(() => daemonConfig([""], {}, EMPTY), UsageError);
});

Deno.test("durationMs() reads a number with and without a unit", () => {
  const read = ["250", "250ms", "5s", "2m", "1h"].map((text) =>
    durationMs("--timeout", text, 3_600_000)
  );
  assert.deepEqual(read, [250, 250, 5_000, 120_000, 3_600_000]);
});

Deno.test("durationMs() throws UsageError when the text is no time or beyond the bound", () => {
  for (const text of ["", "0", "-1", "1.5s", "5 s", "s", "1d", "2h", "99999999999", "1e3"]) {
    assert.throws(() => durationMs("--timeout", text, 3_600_000), UsageError, text);
  }
});

Deno.test("sizeBytes() reads a number with and without a unit", () => {
  const sizes = ["2048", "3kB", "500MB", "2GB", "1TB", "4KiB", "64MiB", "1GiB", "1TiB"];
  const read = sizes.map((text) => sizeBytes("--wal-limit", text, 1, 1024 ** 4));
  assert.deepEqual(
    read,
    [2048, 3000, 5e8, 2e9, 1e12, 4096, 64 * 1024 ** 2, 1024 ** 3, 1024 ** 4],
  );
});

Deno.test("daemonConfig() throws UsageError when the log's limit is no size or out of bounds", () => {
  const refused = ["0", "-1", "1.5GiB", "1 GiB", "1gib", "1G", "GiB", "16777215", "15MiB", "2TiB"];
  for (const walLimit of refused) {
    assert.throws(() => daemonConfig(["app.db"], { walLimit }, EMPTY), {
      name: "UsageError",
      message: `--wal-limit takes a size from 16 MiB to 1 TiB, not "${walLimit}"`,
    });
  }
  for (const walLimit of ["16MiB", "16777216", "1TiB"]) {
    daemonConfig(["app.db"], { walLimit }, EMPTY);
  }
});

Deno.test("daemonConfig() takes off and 0 for idle times that never come", () => {
  for (const off of ["off", "0"]) {
    const config = daemonConfig(["app.db"], { closeIdle: off, exitWhenIdle: off }, EMPTY);
    assert.deepEqual([config.closeIdleMs, config.exitWhenIdleMs], [0, 0]);
  }
});

Deno.test("daemonConfig() throws UsageError when an idle time is none, has no unit or is out of bounds", () => {
  const refused = ["30", "1800", "99ms", "0s", "169h", "8d", "1.5h", "5 m", "-1s", "on", "m", "5M"];
  for (const closeIdle of refused) {
    assert.throws(() => daemonConfig(["app.db"], { closeIdle }, EMPTY), {
      name: "UsageError",
      message: `--close-idle takes off, or a time from 100 ms to 168 h, not "${closeIdle}"`,
      hint: "Write a number with its unit: 500ms, 90s, 30m, 2h.",
    });
  }
  assert.throws(
    () =>
      daemonConfig(["app.db"], {}, (name) => name.endsWith("_EXIT_WHEN_IDLE") ? "30" : undefined),
    { message: /^SKYLINEDB_EXIT_WHEN_IDLE takes off, or a time/ },
  );
  for (const exitWhenIdle of ["100ms", "90s", "30m", "168h"]) {
    daemonConfig(["app.db"], { exitWhenIdle }, EMPTY);
  }
});
