/**
 * Runs the daemon from source, as the executable would, building its SQLite library first.
 *
 *     deno task start FILE…
 *
 * @module
 */
import { findLibrary } from "../daemon/sqlite/library.ts";

// Only where it is missing: the module that builds it loads packages that a start does without.
if (!hasLibrary()) await (await import("./build_sqlite.ts")).buildSqlite();

// The task runs in the project's folder: relative names are meant from where it was called.
Deno.chdir(Deno.env.get("INIT_CWD") ?? Deno.cwd());

const { main } = await import("../daemon/main.ts");
Deno.exit(await main(Deno.args));

function hasLibrary(): boolean {
  try {
    return findLibrary().origin !== "system";
  } catch {
    return false;
  }
}
