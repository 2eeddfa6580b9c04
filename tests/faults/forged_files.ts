/**
 * Files whose bytes or schema somebody forged, and files that somebody put beside them.
 *
 * @module
 */
import { symlinkSync, truncateSync } from "node:fs";
import {
  bytes,
  EMPTY,
  type ForgedFile,
  type Frame,
  log,
  many,
  MAZE,
  PAGE_BYTES,
  pageOf,
  root,
  rootOf,
  SCHEMA_MAZE,
  sql,
  superJournal,
  VICTIM,
} from "./forgeries.ts";

/** The tables that a file has before it is forged; `t` is small, `deep` has pages of several levels. */
export const TABLES = [
  "create table t(a)",
  "create table w(a primary key, b) without rowid",
  "create table deep(a integer primary key, b)",
  "create index deep_b on deep(b)",
  "create table small(a)",
  "insert into small values (0)",
  "insert into t values ('whole')",
  "with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000) insert into deep select i, 'row ' || i from n",
];

/** What lies on pages of the schema or of the daemon's own tables would write their rows. */
const ON_OTHER_PAGES = [
  root("a table lies on the daemon's clients", "w", rootOf("_skylinedb_clients")),
  root("a table lies on the daemon's keys", "t", rootOf("_skylinedb_keys")),
  root("a table lies on the keys' index", "w", rootOf("sqlite_autoindex__skylinedb_keys_1")),
  root("the daemon's clients lie on a table", "_skylinedb_clients", rootOf("w")),
  root("the daemon's keys lie on a table", "_skylinedb_keys", rootOf("t")),
];

/** SQLite would wait for ever, or fail for no reason that one could understand. */
const NO_FILES = ["-wal", "-shm", "-journal"].flatMap((suffix): ForgedFile[] => [
  { name: `${suffix} is a folder`, forge: (file) => Deno.mkdirSync(file + suffix) },
  {
    name: `${suffix} is a FIFO`,
    forge: (file) => void new Deno.Command("mkfifo", { args: [file + suffix] }).outputSync(),
  },
  { name: `${suffix} is a link`, forge: (file) => symlinkSync(VICTIM, file + suffix) },
]);

const BEYOND_READING: readonly ForgedFile[] = [
  root("a table lies on the schema", "t", "1"),
  root("a table lies on page -1", "t", "-1"),
  root("a table lies beyond the file", "t", "2000000000"),
  root("the page of a table is a text", "t", "'x'"),
  root("the daemon's clients lie on the schema", "_skylinedb_clients", "1"),
  sql("no SQL", "update sqlite_master set sql = 'what' where name = 't'"),
  sql(
    "NUL in a name",
    "update sqlite_master set name = 't' || char(0) || '_skylinedb_' where name = 't'",
  ),
  sql(
    "a name that is no UTF-8",
    "update sqlite_master set name = cast(x'ff80c0' as text), tbl_name = name where name = 't'",
  ),
  ...[0, 1, 100, 256, 512, 1024, 65535, 32768].map((size) =>
    bytes(`page size ${size}`, (view) => view.setUint16(16, size))
  ),
  bytes("version 3", (view) => view.setUint16(18, 0x303)),
  bytes("schema format 5", (view) => view.setUint32(44, 5)),
  bytes("UTF-16", (view) => view.setUint32(56, 2)),
  bytes("page count of 2^31", (view) => view.setUint32(28, 2 ** 31)),
  bytes("page count of 2", (view) => view.setUint32(28, 2)),
  log("a log that makes the file empty", () => [[1, 1, EMPTY]]),
  { name: "cut to two pages", forge: (file: string) => truncateSync(file, 2 * PAGE_BYTES) },
  { name: "cut to 100 bytes", forge: (file: string) => truncateSync(file, 100) },
];

const COLUMNS = Array.from({ length: 1_900 }, (_, c) => `a${c} integer`).join();

/** What can be read of them is served. */
const SERVED: readonly ForgedFile[] = [
  sql("nothing was done", "select 1"),
  root("two tables on one page", "t", rootOf("deep")),
  root("a table lies nowhere", "t", "0"),
  root("a table lies on an index", "t", rootOf("deep_b")),
  root("an index lies on a table", "deep_b", rootOf("deep")),
  sql(
    "other columns",
    "update sqlite_master set sql = 'create table t(x, y, z, a integer primary key)' where name = 't'",
  ),
  sql(
    "without rowid",
    "update sqlite_master set sql = 'create table t(a primary key) without rowid' where name = 't'",
  ),
  sql("NUL in SQL", "update sqlite_master set sql = sql || char(0) || 'x' where name = 't'"),
  sql(
    "sqlite_sequence is a view",
    "create table q(a integer primary key autoincrement); update sqlite_master set type = 'view', rootpage = 0, sql = 'create view sqlite_sequence as select 1 name, 2 seq' where name = 'sqlite_sequence'",
  ),
  sql(
    "sqlite_sequence has other columns",
    "create table q(a integer primary key autoincrement); update sqlite_master set sql = 'create table sqlite_sequence(a, b, c)' where name = 'sqlite_sequence'",
  ),
  sql(
    "sqlite_stat1 is forged",
    "analyze; update sqlite_stat1 set stat = '0 0 0 unordered sz=0 noskipscan'; insert into sqlite_stat1 values (x'00', null, zeroblob(100000))",
  ),
  sql(
    "a trigger without end",
    "create trigger again after insert on t begin insert into t values (1); end; create trigger long after insert on t begin insert or ignore into w with recursive n(i) as (select 1 union all select i + 1 from n) select i, 0 from n; end",
  ),
  sql(
    "a view of a view",
    Array.from(
      { length: 40 },
      (_, i) =>
        `create view v${i + 1} as select * from ${i ? `v${i}` : "t"} union all select * from ${
          i ? `v${i}` : "t"
        }`,
    ).join(";"),
  ),
  sql(
    "a view of itself",
    "create view v40 as select 1; update sqlite_master set sql = 'create view v40 as select * from v40' where name = 'v40'",
  ),
  ...[1, 33, 255].map((reserved) => ({
    ...bytes(`${reserved} reserved bytes`, (view) => view.setUint8(20, reserved)),
    short: reserved === 1, // it fails in a COMMIT, and when it is opened again
  })),
  bytes("not in WAL mode", (view) => view.setUint16(18, 0x101)),
  bytes("encoding 9", (view) => view.setUint32(56, 9)),
  bytes("auto_vacuum without its map", (view) => view.setUint32(52, 3)),
  bytes("a freelist that is a loop", (view) => {
    view.setUint32(32, 2);
    view.setUint32(36, 2 ** 31 - 1);
    view.setUint32(PAGE_BYTES, 2);
    view.setUint32(PAGE_BYTES + 4, 0);
  }),
  bytes("a freelist that is a table", (view, file) => {
    view.setUint32(32, pageOf(file, "deep"));
    view.setUint32(36, 10);
  }),
  bytes("a page below itself", (view, file) => {
    const page = pageOf(file, "deep");
    view.setUint32((page - 1) * PAGE_BYTES + 8, page);
  }),
  { ...MAZE, short: true },
  SCHEMA_MAZE,
  { ...many("100,000 tables", 100_000, "a, b, c, d"), isEndless: true },
  { ...many("1,000 tables of 1,900 columns", 1_000, COLUMNS), isEndless: true },
  log("a log of pages far away", () => [[2 ** 31, 2 ** 32 - 2, EMPTY]]),
  log(
    "a log that makes the file huge",
    (first) => [[1, 2 ** 31, first], [2 ** 31 - 1, 2 ** 31, EMPTY]],
  ),
  log("a log of page 0", (first) => [[0, 5, first], [1, 5, first]]),
  log(
    "a log of 20,000 frames",
    (first) => Array.from({ length: 20_000 }, (_, i) => [100_000 + i, 2 ** 30, first] as Frame),
  ),
  {
    name: "cut by half a page",
    forge: (file) => truncateSync(file, Deno.statSync(file).size - PAGE_BYTES / 2),
  },
  { name: "of 8 TB", forge: (file: string) => truncateSync(file, 2 ** 43) },
  ...["-wal", "-shm", "-journal"].map((suffix) => ({
    name: `${suffix} is noise`,
    forge: (file: string) => Deno.writeFileSync(file + suffix, new Uint8Array(50_000).fill(0xa5)),
  })),
];

/** Each is made from a file that a daemon served. */
export const FORGED_FILES: readonly ForgedFile[] = [
  ...refused(/lies on a page of the schema or of the daemon's own/, ON_OTHER_PAGES, true),
  ...refused(/beside it is not a regular file .*: move -?.* away/, NO_FILES, true),
  ...refused(/would remove the file .*victim/, [
    { name: "-journal names a super-journal", forge: superJournal },
  ], true),
  ...refused(/./, BEYOND_READING, false),
  ...SERVED,
];

function refused(error: RegExp, files: readonly ForgedFile[], short: boolean): ForgedFile[] {
  return files.map((file) => ({ ...file, refused: error, short }));
}
