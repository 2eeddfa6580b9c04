/**
 * Files that other programs wrote to, so that they may turn the daemon's own statements against it.
 *
 * @module
 */

/** One such file, made from one that the daemon served up to revision 3. */
export interface HostileFile {
  readonly name: string;
  /** What the other program does to it. */
  readonly sql: string;
  /** `refused`: it cannot be opened, and the error matches; a number: it is served, and goes on from this revision. */
  readonly expected: number | RegExp;
}

const CLIENTS = "_skylinedb_clients", KEYS = "_skylinedb_keys";
const HARM = "begin update t set a = 'harmed'; end";
const REMADE = (columns: string) =>
  `drop table ${CLIENTS}; create table ${CLIENTS}(${columns}); insert into ${CLIENTS}(client, seq, answers, at) values ('', 3, '', 0)`;

/** Served where nothing is lost, refused where something would act. */
export const HOSTILE_FILES: readonly HostileFile[] = [
  { name: "nothing was done", sql: "select 1", expected: 3 },
  { name: "VACUUM", sql: "vacuum", expected: 3 },
  { name: "all rows deleted", sql: `delete from ${CLIENTS}`, expected: 2 },
  { name: "table of clients dropped", sql: `drop table ${CLIENTS}`, expected: 2 },
  { name: "table of keys dropped", sql: `drop table ${KEYS}`, expected: 3 },
  { name: "both dropped", sql: `drop table ${KEYS}; drop table ${CLIENTS}`, expected: 0 },
  {
    name: "view of another table, of a like name",
    sql: "create view my_skylinedb_view as select * from t",
    expected: 3,
  },
  ...["update", "insert", "delete"].map((event) => ({
    name: `trigger on ${event} of clients`,
    sql: `create trigger harm after ${event} on ${CLIENTS} ${HARM}`,
    expected: /DROP TRIGGER "harm"/,
  })),
  {
    name: "trigger on keys, spelled otherwise",
    sql: `create trigger "a ""b""" before insert on [${KEYS.toUpperCase()}] ${HARM}`,
    expected: /DROP TRIGGER "a ""b"""/,
  },
  {
    name: "index",
    sql: `create index i on ${CLIENTS}(abs(seq))`,
    expected: /DROP INDEX "i"/,
  },
  {
    name: "view on clients",
    sql: `create view v as select * from ${CLIENTS}`,
    expected: /DROP VIEW "v"/,
  },
  {
    name: "view in place of clients",
    sql: `drop table ${CLIENTS}; create view ${CLIENTS} as select '' client, 3 seq`,
    expected: /DROP VIEW/,
  },
  {
    name: "foreign key with an action",
    sql: `create table c(p references ${CLIENTS}(client) on update cascade)`,
    expected: /its table "c"/,
  },
  {
    name: "generated column",
    sql: `alter table ${CLIENTS} add column g as (abs(seq))`,
    expected: /its table/,
  },
  {
    name: "CHECK",
    sql: REMADE("client text primary key, seq integer check (seq < 4), answers text, at integer"),
    expected: /its table/,
  },
  {
    name: "wrong types",
    sql: REMADE("client text primary key, seq text, answers blob, at"),
    expected: /its table/,
  },
  {
    name: "another collation",
    sql: REMADE(
      "client text primary key collate nocase, seq integer not null, answers text not null, at integer not null",
    ) + "; vacuum",
    expected: /its table/,
  },
  {
    name: "clients with rowids",
    sql: REMADE(
      "client TEXT PRIMARY KEY, seq INTEGER NOT NULL, answers TEXT NOT NULL, at INTEGER NOT NULL",
    ),
    expected: /its table/,
  },
  {
    name: "keys that need not be unique",
    sql: `drop table ${KEYS}; create table ${KEYS}(
      id INTEGER PRIMARY KEY, key TEXT NOT NULL, fingerprint TEXT NOT NULL, answer TEXT NOT NULL, at INTEGER NOT NULL)`,
    expected: /its table/,
  },
  {
    name: "index of keys removed",
    sql:
      `pragma writable_schema = on; delete from sqlite_master where name like 'sqlite_autoindex_${KEYS}%'`,
    expected: /index of .* is missing/,
  },
  {
    name: "row of the revision under a blob's name",
    sql: `update ${CLIENTS} set client = x'' where client = ''`,
    expected: 2,
  },
  ...["seq", "answers", "at"].map((column) => ({
    name: `a text of 18 MB as ${column} of the revision's row`,
    sql:
      `update ${CLIENTS} set ${column} = replace(hex(zeroblob(9000000)), '0', 'a') where client = ''`,
    expected: /UPDATE _skylinedb_clients SET seq = N/,
  })),
  ...["'x'", "-1", "9007199254740993", "1.5", "x'00'"].map((seq) => ({
    name: `revision ${seq}`,
    sql: `update ${CLIENTS} set seq = ${seq} where client = ''`,
    expected: /UPDATE _skylinedb_clients SET seq = N/,
  })),
  {
    name: "count of bytes is a text",
    sql: `update ${CLIENTS} set at = 'x' where client = ''`,
    expected: /UPDATE _skylinedb_clients SET seq = N/,
  },
];
