import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LIMITS } from "../../daemon/process/limits.ts";
import { openDatabase } from "../faults/open_database.ts";
import { shown } from "./commits.ts";

Deno.test("Database.write() refuses what is more than its queue takes, and goes on", async () => {
  const folder = mkdtempSync(join(tmpdir(), "skylinedb-database-"));
  const database = await openDatabase(join(folder, "app.db"), "normal");
  const write = (sql: string, units = 1) =>
    database.write({
      statements: [{ sql, params: [] }],
      atomic: true,
      results: false,
      deadline: performance.now() + 60_000,
      units,
    });
  try {
    const most = Array.from({ length: LIMITS.queueRequestsMax }, () => write("select 1"));
    assert.equal(shown(await write("select 1")), "QUEUE_FULL");
    assert.ok((await Promise.all(most)).every((outcome) => typeof shown(outcome) === "number"));
    const long = write("select 1", LIMITS.queueUnitsMax + 1);
    assert.equal(shown(await write("select 1")), "QUEUE_FULL");
    assert.equal(typeof shown(await long), "number");
    assert.equal(typeof shown(await write("select 1")), "number");
  } finally {
    await database.close();
    rmSync(folder, { recursive: true });
  }
});
