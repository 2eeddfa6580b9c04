import { mkdtempSync, rmSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Database } from "../../daemon/database/database.ts";
import { SkylineError } from "../../client/errors.ts";
import type { Write } from "../../daemon/database/write.ts";
import { isDone, Replay } from "../../daemon/database/write.ts";
import { HOSTILE_FILES, type HostileFile } from "./hostile_files.ts";
import { openDatabase } from "./open_database.ts";
import { outcome, type Scenario } from "./scenario.ts";

/** Files that others wrote to: each is refused with what to do, or served from the revision that is known. */
export const scenario: Scenario = {
  name: "hostile files",
  what:
    "a file that others wrote to is refused clearly or served right; nothing of it runs as the daemon's own",
  async run(it) {
    const failures: string[] = [];
    for (const hostile of HOSTILE_FILES) {
      const came = await serve(hostile);
      it.log(`${hostile.name}: ${came.shown}`);
      if (came.failure) failures.push(`${hostile.name}: ${came.failure} (${came.shown})`);
    }
    return outcome(`${HOSTILE_FILES.length} files`, failures);
  },
};

/** Deno's types do not know of it yet. */
const MAY_ALL = { defensive: false } as ConstructorParameters<typeof DatabaseSync>[1];

async function serve(
  { sql, expected }: HostileFile,
): Promise<{ shown: string; failure?: string }> {
  const folder = mkdtempSync(join(tmpdir(), "skylinedb-hostile-"));
  const file = join(folder, "app.db");
  try {
    const before = await openDatabase(file, "normal");
    await revisionOf(before, "create table t(a)");
    await revisionOf(before, "insert into t values ('whole')", { key: "k" });
    await revisionOf(before, "insert into t values ('whole')");
    await before.close();
    const other = new DatabaseSync(file, MAY_ALL);
    other.exec("pragma foreign_keys = off");
    other.exec(sql);
    other.close();
    return await look(file, expected);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function look(file: string, expected: HostileFile["expected"]) {
  let database: Database;
  try {
    database = await openDatabase(file, "normal");
  } catch (error) {
    const { code, message, hint } = error as SkylineError;
    const shown = `${code}: ${message}; ${hint}`;
    const isRight = code === "CANNOT_OPEN" && expected instanceof RegExp && expected.test(shown);
    return { shown, failure: isRight ? undefined : "it is not served, or not refused clearly" };
  }
  try {
    const { revision } = database;
    const next = await revisionOf(database, "insert into t values ('whole')");
    const shown = `served from revision ${revision}, then ${next}`;
    if (revision !== expected || next !== revision + 1) {
      return { shown, failure: `expected ${expected}` };
    }
    return { shown, failure: await harm(database) };
  } finally {
    await database.close();
  }
}

async function harm(database: Database): Promise<string | undefined> {
  const recipient = { hasFetched: true, hasRoom: true, wait: () => Promise.resolve() };
  const query = {
    ...{ sql: "select a from t where a <> 'whole'", params: [], deadline: Infinity },
    recipient,
  };
  const done = await database.query({ ...query, signal: new AbortController().signal });
  if (done instanceof SkylineError) return `the query failed: ${done.message}`;
  if (!("rows" in done)) return "the query was put off";
  return done.rows === "[]" ? undefined : "something of the file was run";
}

async function revisionOf(
  database: Database,
  sql: string,
  fields: Partial<Write> = {},
): Promise<number> {
  const done = await database.write({
    statements: [{ sql, params: [] }],
    atomic: true,
    results: false,
    deadline: Infinity,
    units: 1,
    ...fields,
  });
  if (done instanceof Replay || !isDone(done)) throw done;
  return done.rev;
}
