/**
 * Requests that fail, each in a way of its own, and whatever the other requests do.
 *
 * @module
 */

/** A statement as it is sent. */
export interface SentStatement {
  readonly sql: string;
  readonly params?: readonly unknown[];
  readonly expect?: { readonly changes?: number; readonly rows?: number };
}

/** A request that fails. */
export interface Poison {
  readonly kind: string;
  readonly stmts: readonly SentStatement[];
  /** Further fields of the request. */
  readonly fields?: Readonly<Record<string, unknown>>;
  /** The error's code, and SQLite's after a space where there is one to tell; several where either is right. */
  readonly codes: readonly string[];
  /** With `tx:"none"`, how many of its statements stay. */
  readonly kept?: number;
}

/** The tables that poisons fail in; those that others write to stand in `poison_model.ts`. */
export const POISON_SCHEMA: readonly string[] = [
  "create table bad(id integer primary key, u unique, k integer check (k < 100), w not null default 0)",
  "insert into bad values (1, 1, 1, 1)",
  "create table parent(id integer primary key)",
  "insert into parent values (1)",
  "create table child(p references parent)",
  "create table later(p references parent deferrable initially deferred)",
  "insert into later values (1)",
  "create table rolls(u unique on conflict rollback)",
  "insert into rolls values (1)",
  "create table judge(a)",
  "create trigger rolls_back before insert on judge when new.a = 'rollback' begin select raise(rollback, 'no'); end",
  "create trigger aborts before insert on judge when new.a = 'abort' begin select raise(abort, 'no'); end",
  "create trigger fails after insert on judge when new.a = 'fail' begin select raise(fail, 'no'); end",
  "create table last(id integer primary key autoincrement)",
  "insert into last values (9223372036854775807)",
  "create virtual table texts using fts5(a)",
];

const ENDLESS = "with recursive n(i) as (select 1 union all select i + 1 from n) select i from n";

/** Statements that succeed, and whose effect must go with the one that fails. */
const effects: readonly string[] = [
  "insert into bad(u, k) values (50, 50)",
  "insert into parent values (50)",
  "insert into numbers(client, n) values (-1, -1)",
];

/** A poison of one statement after such ones. */
function after(kind: string, sql: string, codes: string | readonly string[], fields = {}): Poison {
  const stmts = [...effects, sql].map((each) => ({ sql: each }));
  return { kind, stmts, codes: [codes].flat(), fields };
}

function alone(kind: string, sql: string, codes: string | readonly string[], fields = {}): Poison {
  return { kind, stmts: [{ sql }], codes: [codes].flat(), fields };
}

const UNIQUE = "SQL_ERROR SQLITE_CONSTRAINT_UNIQUE";
const CHECK = "SQL_ERROR SQLITE_CONSTRAINT_CHECK";
const FOREIGN_KEY = "SQL_ERROR SQLITE_CONSTRAINT_FOREIGNKEY";
const TRIGGER = "SQL_ERROR SQLITE_CONSTRAINT_TRIGGER";
const ERROR = "SQL_ERROR SQLITE_ERROR";
const TOO_BIG = "SQL_ERROR SQLITE_TOOBIG";
const soon = { timeout_ms: 60 };

const constraints: readonly Poison[] = [
  after("unique", "insert into bad(u) values (1)", UNIQUE),
  after("primary key", "insert into bad(id) values (1)", "SQL_ERROR SQLITE_CONSTRAINT_PRIMARYKEY"),
  after("check", "insert into bad(k) values (60), (200)", CHECK),
  after("not null", "update bad set w = null", "SQL_ERROR SQLITE_CONSTRAINT_NOTNULL"),
  after("or fail", "insert or fail into bad(u) values (61), (1), (62)", UNIQUE),
  after("foreign key", "insert into child values (9)", FOREIGN_KEY),
  after("deferred foreign key", "insert into later values (9)", FOREIGN_KEY),
  alone("deferred foreign key of a delete", "delete from parent", FOREIGN_KEY),
  after("raise(abort)", "insert into judge values ('abort')", TRIGGER),
  after("raise(fail)", "insert into judge values ('x'), ('fail')", TRIGGER),
];

const endingTheTransaction: readonly Poison[] = [
  after("insert or rollback", "insert or rollback into bad(u) values (63), (1)", UNIQUE),
  alone("only insert or rollback", "insert or rollback into bad(u) values (1)", UNIQUE),
  after("update or rollback", "update or rollback bad set k = 200", CHECK),
  after("on conflict rollback", "insert into rolls values (2), (1)", UNIQUE),
  after("raise(rollback)", "insert into judge values ('rollback')", TRIGGER),
  // SQLite calls it a full disk; it is a full table.
  after("no rowid left", "insert into last values (null)", [
    "DISK_FULL SQLITE_FULL",
    "SQL_ERROR SQLITE_FULL",
  ]),
  after(
    "script that rolls back",
    "insert into judge values ('x'); insert or rollback into bad(u) values (1); select 1",
    UNIQUE,
  ),
];

const slow: readonly Poison[] = [
  alone("endless", `select count(*) from (${ENDLESS})`, "TIMEOUT", soon),
  alone("endless rows", `${ENDLESS}`, "TIMEOUT", soon),
  after("endless write", `insert into bad(k) select i % 90 from (${ENDLESS})`, "TIMEOUT", soon),
  after(
    "endless in a script",
    `insert into judge values ('x'); insert into judge ${ENDLESS}`,
    "TIMEOUT",
    soon,
  ),
  after("endless table", `create table made as ${ENDLESS}`, "TIMEOUT", soon),
];

const large: readonly Poison[] = [
  after(
    "result too large",
    "select hex(zeroblob(3000000)) from bad, (values (1), (2))",
    "RESULT_TOO_LARGE",
    {
      results: true,
    },
  ),
  after("blob too big", "insert into bad(u) values (zeroblob(17000000))", TOO_BIG),
  after("text too big", "insert into bad(u) values (hex(randomblob(9000000)))", TOO_BIG),
];

const asked: readonly Poison[] = [
  {
    kind: "expect changes",
    stmts: [{ sql: effects[0] }, {
      sql: "update bad set k = 2 where id = 77",
      expect: { changes: 1 },
    }],
    codes: ["EXPECTATION_FAILED"],
  },
  {
    kind: "expect rows",
    stmts: [{ sql: "update bad set k = 3 where id = 1 returning id", expect: { rows: 2 } }],
    codes: ["EXPECTATION_FAILED"],
  },
  after("if_rev", "insert into judge values ('x')", "REVISION_CHANGED", { if_rev: 0 }),
  {
    kind: "too few parameters",
    stmts: [{ sql: effects[0] }, { sql: "insert into bad(u, k) values (?, ?)", params: [70] }],
    codes: ["PARAMETER_MISMATCH"],
  },
  {
    kind: "too many parameters",
    stmts: [{ sql: effects[1] }, { sql: "insert into bad(u) values (?)", params: [70, 71] }],
    codes: ["PARAMETER_MISMATCH"],
  },
];

/** Known before round one as the key of another request. */
export const USED_KEY = "used";

const repeated: readonly Poison[] = [
  after("key of another request", "insert into judge values ('x')", "KEY_REUSED", {
    key: USED_KEY,
  }),
  after("number out of turn", "insert into judge values ('x')", [
    "SEQUENCE_GAP",
    "CLIENT_FORGOTTEN",
  ], { client: "nobody", seq: 7 }),
  after("acknowledged what never was", "insert into judge values ('x')", [
    "SEQUENCE_GAP",
    "CLIENT_FORGOTTEN",
  ], { client: "nobody", seq: 7, acked: 5 }),
  after("number without a client", "insert into judge values ('x')", "INVALID_REQUEST", { seq: 1 }),
];

const refused: readonly Poison[] = [
  after("commit", "commit", "NOT_ALLOWED SQLITE_AUTH"),
  after("rollback", "rollback", "NOT_ALLOWED SQLITE_AUTH"),
  after("release", "release request", "NOT_ALLOWED SQLITE_AUTH"),
  after("attach", "attach ':memory:' as other", "NOT_ALLOWED SQLITE_AUTH"),
  after("own table", "delete from _skylinedb_clients", "NOT_ALLOWED SQLITE_AUTH"),
  after("pragma", "pragma synchronous = off", "NOT_ALLOWED SQLITE_AUTH"),
  after(
    "script with a commit",
    "insert into judge values ('x'); commit; insert into judge values ('y')",
    "NOT_ALLOWED SQLITE_AUTH",
  ),
  after("vacuum among others", "vacuum", ERROR),
  alone(
    "script that starts with a vacuum",
    "vacuum; insert into judge values ('x'); select nowhere",
    ERROR,
  ),
];

const mistakes: readonly Poison[] = [
  after("syntax", "insert int bad", ERROR),
  after("no such table", "insert into nowhere values (1)", ERROR),
  after("overflow", "select abs(-9223372036854775808)", ERROR),
  after("broken json", "update bad set u = json('{')", ERROR),
  after(
    "undone create",
    "create table made(a); insert into made values (1); create index on made",
    ERROR,
  ),
  after("undone drop", "drop table judge; drop table rolls; select nowhere", ERROR),
  after(
    "undone alter",
    "alter table bad rename column k to kk; alter table bad add column x; insert into bad(k) values (1)",
    ERROR,
  ),
  after(
    "undone index and trigger",
    "create index made on bad(k); create trigger made_too after insert on numbers begin delete from numbers; end; select nowhere",
    ERROR,
  ),
  after(
    "undone search",
    "insert into texts values ('gone'); insert into texts(texts) values ('nonsense')",
    ERROR,
  ),
];

const none: readonly Poison[] = [
  {
    kind: "one by one, the third fails",
    stmts: [
      "insert into numbers(client, n) values (-2, 1)",
      "update counters set v = v + 100",
      "insert into bad(u) values (1)",
      "insert into numbers(client, n) values (-2, 2)",
    ].map((sql) => ({ sql })),
    fields: { tx: "none" },
    codes: [UNIQUE],
    kept: 2,
  },
  {
    kind: "one by one, the second ends its transaction",
    stmts: [
      "insert into numbers(client, n) values (-3, 1)",
      "insert or rollback into bad(u) values (64), (1)",
    ].map((sql) => ({ sql })),
    fields: { tx: "none" },
    codes: [UNIQUE],
    kept: 1,
  },
];

/** All ways to fail. */
export const POISONS: readonly Poison[] = [
  ...constraints,
  ...endingTheTransaction,
  ...slow,
  ...large,
  ...asked,
  ...repeated,
  ...refused,
  ...mistakes,
  ...none,
];
