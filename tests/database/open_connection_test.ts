import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { openBeside, openConnection } from "../../daemon/database/open_connection.ts";
import { closeWriter, openError, openWriter } from "../../daemon/database/writer.ts";
import { silentLog } from "../../daemon/process/log.ts";
import type { Connection } from "../../daemon/sqlite/connection.ts";
import { Script } from "../../daemon/sqlite/script.ts";
import { KEYS_MAZE } from "../faults/forgeries.ts";

const options = { durability: "normal", foreignKeys: true, keepWal: false } as const;

/** As https://sqlite.org/security.html has it for files that one does not trust. */
const WARY = [["cell_size_check", 1], ["mmap_size", 0], ["trusted_schema", 0]] as const;

Deno.test("openConnection() and openBeside() make all connections wary of what is in a file", async () => {
  const folder = mkdtempSync(join(tmpdir(), "skylinedb-open-"));
  const path = join(folder, "app.db");
  const check = (connection: Connection) => {
    for (const [pragma, value] of WARY) {
      assert.deepEqual(connection.get(`PRAGMA ${pragma}`), [value], pragma);
    }
    connection.close();
  };
  try {
    const first = openConnection(path);
    first.exec("create table t(a)");
    check(first);
    check(openConnection(path, { readOnly: true }));
    check(await openBeside(path, { readOnly: true }));
  } finally {
    rmSync(folder, { recursive: true });
  }
});

Deno.test("openWriter() ends where the daemon's own tables were forged to have no end", async () => {
  const folder = mkdtempSync(join(tmpdir(), "skylinedb-open-"));
  const path = join(folder, "app.db");
  const open = () => openWriter(path, { ...options, log: silentLog });
  try {
    closeWriter(await open());
    KEYS_MAZE.forge(path);
    await assert.rejects(open(), (error) => /takes too long/.test(String(openError(path, error))));
  } finally {
    rmSync(folder, { recursive: true });
  }
});

Deno.test("openWriter() reads a schema that takes more memory than one statement may", async () => {
  const folder = mkdtempSync(join(tmpdir(), "skylinedb-open-"));
  const path = join(folder, "app.db");
  const columns = Array.from({ length: 1_500 }, (_, i) => `c${i} integer not null default ${i}`);
  try {
    using other = new DatabaseSync(path);
    other.exec("pragma journal_mode = wal; begin; create table small(a)");
    for (let i = 0; i < 250; i++) other.exec(`create table large_${i}(${columns.join()})`);
    other.exec("commit");
    const writer = await openWriter(path, { ...options, log: silentLog });
    const { connection } = writer;
    // The writer reads it once more, beside the loop.
    other.exec("create table later(a)");
    connection.principal = "client";
    const statement = await connection.prepareNextOffLoop(new Script("select * from later"));
    statement!.finalize();
    connection.principal = "own";
    closeWriter(writer);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
