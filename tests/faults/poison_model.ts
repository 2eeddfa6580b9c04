/**
 * What good requests do, and what comes of them when they are executed one after the other, in another SQLite.
 *
 * @module
 */
import { DatabaseSync } from "node:sqlite";
import fc from "fast-check";
import { POISON_SCHEMA, type SentStatement } from "./poisons.ts";

/** A request that succeeds, whatever came before it. */
export interface GoodRequest {
  readonly stmts: readonly SentStatement[];
}

const SCHEMA: readonly string[] = [
  "create table numbers(id integer primary key autoincrement, client, n)",
  "create table counters(id integer primary key, v)",
  "insert into counters values (1, 0), (2, 0), (3, 0)",
  "create table pairs(k text primary key, v, seen) without rowid",
  "create table up(id integer primary key)",
  "create table down(id integer primary key, p references up deferrable initially deferred)",
  "create table traces(rowid_before, changes)",
];

/** The tables, of good requests and of poisons. */
export const SCHEMA_ALL: readonly string[] = [...SCHEMA, ...POISON_SCHEMA];

/** What all tables of the clients hold, as one text. */
export const STATE = [
  "numbers",
  "counters",
  "pairs",
  "up",
  "down",
  "traces",
  "bad",
  "parent",
  "child",
  "later",
  "rolls",
  "judge",
  "last",
  "texts",
].map((table) =>
  `select '${table}' as name, (select group_concat(quote(t), '|') from ` +
  `(select ${columnsOf(table)} as t from ${table} order by 1)) as rows`
).join(" union all ") +
  " union all select 'schema', group_concat(sql, ';') from (select sql from sqlite_schema " +
  "where name not like '\\_skylinedb%' escape '\\' and name not like 'sqlite%' order by name)";

function columnsOf(table: string): string {
  const columns: Record<string, string> = {
    numbers: "id || ',' || client || ',' || n",
    counters: "id || ',' || v",
    pairs: "k || ',' || v || ',' || seen",
    up: "id",
    down: "id || ',' || p",
    traces: "rowid_before || ',' || changes",
    bad: "id || ',' || coalesce(u, '') || ',' || coalesce(k, '') || ',' || w",
    parent: "id",
    child: "p",
    later: "p",
    rolls: "u",
    judge: "a",
    last: "id",
    texts: "a",
  };
  return columns[table];
}

const small = fc.integer({ min: 1, max: 3 });
const name = fc.integer({ min: 1, max: 6 }).map((n) => `k${n}`);

/** Statements that succeed at any time; what they return tells when they were executed. */
const request: fc.Arbitrary<readonly SentStatement[]> = fc.oneof(
  small.map((n) => [{ sql: "insert into numbers(client, n) values (?, ?)", params: [n, n] }]),
  small.map((n) => [{
    sql: "insert into numbers(client, n) values (?1, 1), (?1, 2) returning id",
    params: [n],
    expect: { rows: 2 },
  }]),
  small.map((
    n,
  ) => [{ sql: "update counters set v = v + 1 where id = ? returning v", params: [n] }]),
  fc.constant([{
    sql: "delete from numbers where id = (select min(id) from numbers) returning id",
  }]),
  name.map((k) => [{
    sql: "insert into pairs values (?, 1, 0) on conflict do update set v = v + 1 returning v",
    params: [k],
  }]),
  name.map((k) => [
    { sql: "delete from pairs where k = ?", params: [k] },
    { sql: "insert or rollback into pairs values (?, 0, 1)", params: [k], expect: { changes: 1 } },
  ]),
  name.map((
    k,
  ) => [{ sql: "update or ignore pairs set k = 'k1', seen = seen + 1 where k = ?", params: [k] }]),
  fc.constant([
    { sql: "insert into down(p) select coalesce(max(id), 0) + 1 from up" },
    { sql: "insert into up select max(p) from down", expect: { changes: 1 } },
  ]),
  fc.constant([{ sql: "insert into texts values ('some words')" }]),
  fc.constant([{ sql: "select count(*), max(id) from numbers" }]),
  // Of the request before nothing may show.
  fc.constant([
    { sql: "insert into traces select last_insert_rowid(), 0" },
    { sql: "insert into traces select last_insert_rowid() > 0, changes()" },
  ]),
  fc.constant([
    { sql: "create table made(a)" },
    { sql: "insert into made select v from counters" },
    { sql: "drop table made" },
  ]),
  fc.constant([{
    sql: "insert into numbers(client, n) values (7, 7); update counters set v = v + 1; select 1",
  }]),
);

/** Good requests of one to four such. */
export const goodRequest: fc.Arbitrary<GoodRequest> = fc.array(request, {
  minLength: 1,
  maxLength: 2,
}).map((parts) => ({ stmts: parts.flat() }));

/** What a statement is answered with `results:true`. */
interface StatementResult {
  readonly changes: number;
  readonly last_insert_rowid: number;
  readonly rows?: unknown[][];
}

/** Executes what succeeded, in the order of the revisions. */
export class Model implements Disposable {
  readonly #database = new DatabaseSync(":memory:");

  constructor() {
    for (const sql of SCHEMA_ALL) this.#database.exec(sql);
  }

  /** Executes statements as one transaction; gives what a client has to be answered. */
  execute(stmts: readonly SentStatement[]): StatementResult[] {
    this.#database.exec("begin");
    let rowid = 0;
    const results = stmts.map((stmt) => {
      const result = this.#execute(stmt, rowid);
      // `pairs` has no rowids, and leaves the one before.
      if (/^insert into (?!pairs)/.test(stmt.sql) && result.changes > 0) {
        rowid = result.last_insert_rowid;
      }
      return { ...result, last_insert_rowid: rowid };
    });
    this.#database.exec("commit");
    return results;
  }

  #execute({ sql, params = [] }: SentStatement, rowidBefore: number): StatementResult {
    const before = this.#total();
    let rows: unknown[][] | undefined;
    // This connection keeps what the request before it left.
    const text = sql.replace("select last_insert_rowid(), 0", `select ${rowidBefore}, 0`);
    if (sql.includes(";")) {
      this.#database.exec(sql);
      const { total } = this.#total();
      return { changes: total - before.total, last_insert_rowid: this.#total().rowid };
    }
    const statement = this.#database.prepare(text);
    const values = params.map((each) => typeof each === "number" ? BigInt(each) : String(each));
    const all = statement.all(...values).map((row) => Object.values(row));
    if (statement.columns().length > 0) rows = all;
    const { changes, total, rowid } = this.#total();
    return { changes: total === before.total ? 0 : changes, last_insert_rowid: rowid, rows };
  }

  #total(): { changes: number; total: number; rowid: number } {
    return this.#database.prepare(
      "select changes() as changes, total_changes() as total, last_insert_rowid() as rowid",
    ).get() as { changes: number; total: number; rowid: number };
  }

  /** All that the tables hold. */
  state(): unknown[][] {
    return this.#database.prepare(STATE).all().map((row) => Object.values(row));
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }
}
