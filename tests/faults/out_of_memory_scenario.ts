import { mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { SkylineError } from "../../client/errors.ts";
import type { Database } from "../../daemon/database/database.ts";
import { isDone, type Write, type WriteOutcome } from "../../daemon/database/write.ts";
import { findLibrary } from "../../daemon/sqlite/library.ts";
import { openDatabase } from "./open_database.ts";
import { counted, integerBetween, outcome, type Scenario } from "./scenario.ts";

const ROUNDS = { short: 40, faults: 400, soak: 10_000 };
const MEMBERS = 50;
/** With so much room a small write succeeds, and a hog does not. */
const ROOM_BYTES = 6_000_000;

/** SQLite's own bound of its memory, of the whole process: so the database is opened in this one. */
export const scenario: Scenario = {
  name: "out of memory",
  what:
    "requests that SQLite has no memory for, among others: the others succeed where there is enough for " +
    "them; what was refused is not there, and writes go on after it",
  async run({ size, random, log }) {
    const folder = realpathSync(mkdtempSync(join(tmpdir(), "skylinedb-memory-")));
    const file = join(folder, "app.db");
    try {
      const database = await openDatabase(file, "normal");
      const starving = new Starving(database, file, random);
      try {
        for (let round = 0; round < ROUNDS[size]; round++) {
          await starving.run(round % 2 === 0);
        }
      } finally {
        await database.close();
      }
      starving.check();
      log([...starving.codes].map(([how, count]) => `${how}: ${count}`).join("; "));
      return outcome(
        `${ROUNDS[size]} rounds, ${counted(starving.succeeded)} succeeded, ` +
          `${counted(starving.failed)} had no memory`,
        starving.failures,
      );
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
};

/** Takes more than there is, in a step of its own. */
const HOGS: readonly string[] = [
  "insert into t select 0, hex(randomblob(7000000))",
  "insert into t(a) select group_concat(hex(zeroblob(1000000))) from (values (1), (2), (3), (4), (5))",
  "insert or replace into t values (0, randomblob(15000000))",
  // The row that came before it: any other may be missing, and then nothing is asked for.
  "update t set a = hex(zeroblob(8000000)) where n = -1",
];

class Starving {
  readonly failures: string[] = [];
  succeeded = 0;
  failed = 0;
  #next = 0;
  /** How often small writes failed in which way. */
  readonly codes = new Map<string, number>();
  readonly #kept = new Set<number>();
  readonly #unknown = new Set<number>();
  readonly #library = Deno.dlopen(findLibrary().path, {
    sqlite3_memory_used: { parameters: [], result: "i64" },
    sqlite3_hard_heap_limit64: { parameters: ["i64"], result: "i64" },
  });

  constructor(
    readonly database: Database,
    readonly file: string,
    readonly random: () => number,
  ) {}

  /** Some hogs among small writes; `enough`: these have to succeed. */
  async run(enough: boolean): Promise<void> {
    if (this.#next === 0) await this.#mustSucceed("create table t(n integer primary key, a)");
    const hogs = new Set([
      integerBetween(this.random, 0, MEMBERS - 1),
      integerBetween(this.random, 0, MEMBERS - 1),
    ]);
    const { sqlite3_memory_used: used, sqlite3_hard_heap_limit64: limit } = this.#library.symbols;
    const room = enough ? ROOM_BYTES : 2 ** integerBetween(this.random, 0, 18);
    limit(used() + BigInt(room));
    try {
      await Promise.all(Array.from({ length: MEMBERS }, (_, i) => {
        return hogs.has(i) ? this.#hog() : this.#small(enough);
      }));
    } finally {
      limit(0n);
    }
    const n = this.#next++;
    await this.#mustSucceed(`insert into t values (${n + 1}, 'after')`);
    this.#kept.add(n + 1);
  }

  async #hog(): Promise<void> {
    const sql = HOGS[integerBetween(this.random, 0, HOGS.length - 1)];
    const result = await this.#write(["insert into t values (-1, 'gone')", sql]);
    this.failed++;
    if (isDone(result)) this.failures.push(`There was memory for ${sql}`);
  }

  async #small(mustSucceed: boolean): Promise<void> {
    const n = ++this.#next;
    const result = await this.#write([
      `insert into t values (${n}, randomblob(${integerBetween(this.random, 1, 9_000)}))`,
    ]);
    if (isDone(result)) {
      this.succeeded++;
      this.#kept.add(n);
      return;
    }
    const { code, sqliteCode, retry } = result as SkylineError;
    const how = `${sqliteCode ?? code}, retry ${retry}`;
    this.codes.set(how, (this.codes.get(how) ?? 0) + 1);
    this.failed++;
    if (mustSucceed) this.failures.push(`A small write failed: ${result}`);
    if (retry === "unknown") this.#unknown.add(n);
  }

  async #mustSucceed(sql: string): Promise<void> {
    const result = await this.#write([sql]);
    if (!isDone(result)) this.failures.push(`With memory, ${sql} failed: ${result}`);
  }

  #write(statements: readonly string[]): Promise<WriteOutcome> {
    const write: Write = {
      statements: statements.map((sql) => ({ sql, params: [] })),
      atomic: true,
      results: false,
      deadline: performance.now() + 10_000,
      units: 100,
    };
    return this.database.write(write);
  }

  /** After the end: the file has what succeeded, and nothing of what did not. */
  check(): void {
    this.#library.close();
    using direct = new DatabaseSync(this.file);
    const check = direct.prepare("pragma integrity_check").get()!.integrity_check;
    if (check !== "ok") this.failures.push(`integrity_check: ${check}`);
    const rows = new Set(direct.prepare("select n from t").all().map(({ n }) => Number(n)));
    const lost = [...this.#kept].filter((n) => !rows.has(n));
    const extra = [...rows].filter((n) => !this.#kept.has(n) && !this.#unknown.has(n));
    if (lost.length > 0) this.failures.push(`${lost.length} that succeeded are lost`);
    if (extra.length > 0) this.failures.push(`${extra.length} are there that failed: ${extra}`);
  }
}
