/** A file that is refused stays as it was, byte for byte. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { copyFileSync, lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SkylineError } from "../../client/errors.ts";
import { HOSTILE_FILES } from "../faults/hostile_files.ts";
import { openDatabase } from "../faults/open_database.ts";

const REFUSED = HOSTILE_FILES.filter(({ expected }) => expected instanceof RegExp);

/** How another program leaves the file. */
const MODES = ["delete", "wal", "wal, with its log"] as const;

/** The files of a folder, their bytes and times. */
function files(folder: string): unknown {
  return readdirSync(folder).filter((name) => !name.endsWith("-shm")).sort().map((name) => {
    const path = join(folder, name);
    return [
      name,
      lstatSync(path).mtimeMs,
      createHash("sha256").update(readFileSync(path)).digest("hex"),
    ];
  });
}

/** One that a daemon served up to revision 3. */
async function served(folder: string): Promise<string> {
  const file = join(folder, "app.db");
  const database = await openDatabase(file, "normal");
  for (const sql of ["create table t(a)", "insert into t values (1)", "insert into t values (2)"]) {
    await database.write({
      statements: [{ sql, params: [] }],
      atomic: true,
      results: false,
      deadline: performance.now() + 60_000,
      units: 1,
    });
  }
  await database.close();
  return file;
}

/** Has another program do `sql`, and gives the folder in which the file lies then. */
function spoiled(folder: string, file: string, mode: (typeof MODES)[number], sql: string): string {
  // Deno's types do not know of it yet.
  const mayAll = { defensive: false } as ConstructorParameters<typeof DatabaseSync>[1];
  const other = new DatabaseSync(file, mayAll);
  try {
    other.exec(`pragma journal_mode = ${mode === "delete" ? "delete" : "wal"}`);
    other.exec("pragma foreign_keys = off");
    other.exec(sql);
    if (mode !== "wal, with its log") return folder;
    // As after its end by force.
    const copy = mkdtempSync(join(folder, "copy-"));
    for (const name of ["app.db", "app.db-wal"]) {
      copyFileSync(join(folder, name), join(copy, name));
    }
    return copy;
  } finally {
    other.close();
  }
}

for (const mode of MODES) {
  Deno.test(`a file that is refused stays as it was, left in mode ${mode}`, async () => {
    for (const { name, sql, expected } of REFUSED) {
      const root = mkdtempSync(join(tmpdir(), "skylinedb-refused-"));
      try {
        const folder = spoiled(root, await served(root), mode, sql);
        const before = files(folder);
        const error = await openDatabase(join(folder, "app.db"), "normal").catch((error) => error);
        assert.ok(error instanceof SkylineError && error.code === "CANNOT_OPEN", name);
        assert.match(`${error.message}; ${error.hint}`, expected as RegExp, name);
        assert.deepEqual(files(folder), before, name);
        if (mode !== "wal, with its log") assert.deepEqual(readdirSync(folder), ["app.db"], name);
      } finally {
        rmSync(root, { recursive: true });
      }
    }
  });
}

Deno.test("a file that a newer SQLite wrote is refused, and stays as it was", async () => {
  const folder = mkdtempSync(join(tmpdir(), "skylinedb-refused-"));
  try {
    const file = await served(folder);
    const bytes = readFileSync(file);
    bytes[18] = 3; // the version that is needed to write
    Deno.writeFileSync(file, bytes);
    const before = files(folder);
    const error = await openDatabase(file, "normal").catch((error) => error);
    assert.match(`${error.code} ${error.message}`, /CANNOT_OPEN .*newer SQLite/);
    assert.deepEqual(files(folder), before);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
