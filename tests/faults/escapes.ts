/**
 * SQL that would leave its transaction, its database or its rights. None may get through.
 *
 * @module
 */

/** Statements that are all refused, alone and wherever they stand. `{folder}` and `{own}` are filled in. */
export interface EscapeGroup {
  readonly what: string;
  readonly statements: readonly string[];
}

/** PRAGMAs that no client may use at all. */
const PRAGMAS_REFUSED =
  ("analysis_limit automatic_index busy_timeout cache_size cache_spill case_sensitive_like " +
    "cell_size_check checkpoint_fullfsync count_changes data_store_directory default_cache_size " +
    "defer_foreign_keys empty_result_callbacks full_column_names fullfsync hard_heap_limit " +
    "ignore_check_constraints incremental_vacuum journal_size_limit key legacy_alter_table " +
    "legacy_file_format locking_mode max_page_count mmap_size query_only read_uncommitted " +
    "recursive_triggers rekey reverse_unordered_selects secure_delete short_column_names " +
    "shrink_memory soft_heap_limit temp_store temp_store_directory threads trusted_schema " +
    "wal_autocheckpoint wal_checkpoint writable_schema").split(" ");

/** PRAGMAs that a client may read and not set. */
const PRAGMAS_READABLE =
  "auto_vacuum encoding foreign_keys journal_mode page_size schema_version synchronous".split(" ");

const SPELLINGS: readonly ((name: string) => string)[] = [
  (name) => `pragma ${name} = 1`,
  (name) => `PRAGMA ${name.toUpperCase()}(0)`,
  (name) => `pragma main.${name} = off`,
  (name) => `/**/pragma--x\n"${name}"/* y */=/**/'2'`,
  (name) => `pragma [main] . [${name}] (1);`,
];

const pragmas: EscapeGroup = {
  what: "PRAGMAs off the list, in every spelling",
  statements: [
    ...PRAGMAS_REFUSED.flatMap((name, i) => [
      `pragma ${name}`,
      SPELLINGS[i % SPELLINGS.length](name),
      SPELLINGS[(i + 1) % SPELLINGS.length](name),
    ]),
    ...PRAGMAS_READABLE.flatMap((name, i) => [
      SPELLINGS[i % SPELLINGS.length](name),
      SPELLINGS[(i + 2) % SPELLINGS.length](name),
    ]),
    "pragma journal_mode = delete",
    "pragma main.journal_mode(off)",
    "pragma journal_mode = wal",
    "pragma synchronous = 'off'",
    "pragma wal_checkpoint(truncate)",
    "pragma temp_store_directory = '{folder}'",
    "pragma temp.user_version",
    "pragma temp.user_version = 7",
    "pragma temp.table_info(x)",
    "select * from pragma_table_info('x', 'temp')",
    "explain pragma synchronous = off",
    "select * from pragma_cache_size",
    "select * from pragma_locking_mode",
    "select * from pragma_max_page_count",
    "select * from pragma_max_page_count('5')",
    "select * from pragma_secure_delete",
    "select * from pragma_wal_checkpoint('truncate')",
    "select * from pragma_journal_mode('delete')",
    "select * from pragma_synchronous(0)",
    "select * from pragma_writable_schema",
    "select * from main.pragma_mmap_size(1000000)",
    "insert into victim select 1, threads from pragma_threads",
  ],
};

const transactions: EscapeGroup = {
  what: "transaction control",
  statements: [
    "begin",
    "BEGIN IMMEDIATE",
    "begin exclusive transaction",
    "begin deferred",
    "commit",
    "COMMIT TRANSACTION",
    "end",
    "end transaction;",
    "rollback",
    "ROLLBACK TRANSACTION",
    "savepoint x",
    "savepoint request",
    "release request",
    "release savepoint request",
    "rollback to request",
    "rollback transaction to savepoint request",
    `rollback to "request"`,
    `release [request]`,
    "\t cOmMiT \n",
    "-- x\ncommit",
    "/* x */ rollback /* y",
    "/**/commit--",
    ";;; commit ;;;",
    "\ufeffcommit",
    "com/**/mit",
    "commit work",
    "explain commit",
    "explain query plan begin",
    "select 1; commit",
    "insert into victim values (90, 9); commit",
    "insert into victim values (91, 9); commit; begin immediate",
    "insert into victim values (92, 9); rollback to request; insert into victim values (93, 9)",
    "select 1 -- ;\n; end",
    "create trigger commits after insert on victim begin commit; end",
    "with x(a) as (select 1) commit",
    "begin; insert into victim values (94, 9); commit",
    "vacuum; commit",
    "reindex; begin",
  ],
};

const files: EscapeGroup = {
  what: "other files",
  statements: [
    "attach '{folder}/escaped.db' as other",
    "ATTACH  DATABASE '{folder}/escaped.db' AS other",
    "attach database 'file:{folder}/escaped.db?mode=rwc' as other",
    "attach ':memory:' as other",
    "attach '' as other",
    "/**/attach/**/'{folder}/escaped.db'/**/as/**/[x]",
    "attach (select '{folder}/escaped.db') as other",
    "attach '{folder}/' || 'escaped.db' as 'other'",
    "explain attach '{folder}/escaped.db' as other",
    "detach main",
    "detach database main",
    "detach temp",
    "explain detach main",
    "vacuum into '{folder}/escaped.db'",
    "VACUUM main INTO '{folder}/escaped.db'",
    "/* x */ vacuum/**/into/**/('{folder}' || '/escaped.db')",
    "vacuum into (select '{folder}/escaped.db')",
    "vacuum into 'file:{folder}/escaped.db'",
    "-- all\n;vacuum into '{folder}/escaped.db'",
    "explain vacuum; vacuum into '{folder}/escaped.db'",
    "vacuum; vacuum into '{folder}/escaped.db'",
    "vacuum; attach '{folder}/escaped.db' as other",
    "select 1; attach '{folder}/escaped.db' as other",
    "create virtual table x using csv(filename='{folder}/app.db')",
    "create virtual table x using sqlite_dbpage",
    "create virtual table x using zipfile('{folder}/escaped.db')",
    "select * from sqlite_dbpage",
    "update sqlite_dbpage set data = zeroblob(4096) where pgno = 1",
    "insert into sqlite_dbpage values (1, zeroblob(4096), 'main')",
    "select * from fsdir('/')",
    "select * from sqlite_dbptr",
    "select * from sqlite_dbdata",
    "select * from bytecode('select 1')",
    "select * from sqlite_stmt",
  ],
};

const functions: EscapeGroup = {
  what: "functions and extensions",
  statements: [
    "select load_extension('x')",
    "select LOAD_EXTENSION('x', 'y')",
    `select "load_extension"('x')`,
    "select [load_extension] ('x')",
    "insert into victim select 1, load_extension('x')",
    "with x(a) as (select load_extension('x')) select a from x",
    "select 1 where load_extension('x') is null",
    "select readfile('/etc/passwd')",
    "select writefile('{folder}/escaped.db', 'x')",
    "select edit('x', 'sh')",
    "select eval('commit')",
    "select fts3_tokenizer('simple', x'00')",
    "select sqlite_rename_table('main', 'table', 'victim', 'x', 'victim', '_skylinedb_x', 0)",
    "select sqlite_drop_column(0, 'x', 1)",
    "select shell('ls')",
    "select zeroblob(999999999)",
    "select randomblob(99999999)",
    "select printf('%99999999d', 1)",
    "select hex(zeroblob(16000000))",
  ],
};

const temporary: EscapeGroup = {
  what: "temporary objects",
  statements: [
    "create temp table x(a)",
    "create temporary table x as select * from victim",
    "create table temp.x(a)",
    `create table "temp".x(a)`,
    "create table if not exists TEMP.x(a)",
    "create temp view x as select 1",
    "create view temp.x as select 1",
    "create temp trigger x after insert on main.victim begin select 1; end",
    "create trigger temp.x after insert on main.victim begin select 1; end",
    "create trigger if not exists [temp].x before delete on victim begin select 1; end",
    "create virtual table temp.x using fts5(a)",
    "create virtual table temp.x using rtree(a, b, c)",
    "create index temp.x on victim(a)",
    "drop table temp.x",
    "insert into temp.sqlite_schema values ('table', 'x', 'x', 0, 'create table x(a)')",
    "alter table temp.sqlite_schema rename to x",
  ],
};

const schema: EscapeGroup = {
  what: "the schema table and other internals",
  statements: [
    "delete from sqlite_schema",
    "update sqlite_master set sql = 'create table victim(x)' where name = 'victim'",
    "insert into sqlite_schema values ('table', 'x', 'x', 0, 'create table x(a)')",
    "update main.sqlite_schema set rootpage = 2",
    "insert or replace into sqlite_schema(rowid, name) values (1, 'x')",
    "drop table sqlite_schema",
    "alter table sqlite_schema rename to x",
    "alter table sqlite_schema add column x",
    "create index x on sqlite_schema(name)",
    "create trigger x after insert on sqlite_schema begin select 1; end",
    "create table sqlite_mine(a)",
    "create table sqlite_stat1(a)",
    "pragma writable_schema = reset",
    "drop table words_data",
    "update words_content set c0 = 'x'",
    "delete from words_config",
    "insert into words_idx values (1, 1, 1)",
    "update boxes_node set data = x''",
    "insert into boxes_rowid values (1, 1)",
    "alter table words_data rename to x",
    "delete from sqlite_sequence_x",
    "update pragma_table_info set name = 'x'",
    "delete from dbstat",
    "insert into json_each values (1)",
  ],
};

/** Every one names one of the daemon's own tables, `{own}`, the very way that it is spelled here. */
const OWN_STATEMENTS: readonly string[] = [
  "select * from {own}",
  "select * from {OWN}",
  `select count(*) from "{own}"`,
  "select rowid from [{own}]",
  "select 1 from `{OWN}`",
  "select 1 from '{own}'",
  "select * from main.{own}",
  "select a.* from victim v, {own} a",
  "select (select max(rowid) from {own})",
  "select exists (select 1 from {own})",
  "select 1 in {own}",
  "select * from victim natural join {own}",
  "select 1 union all select count(*) from {own}",
  "with x as (select * from {own}) select * from x",
  "with {own} as (select * from main.{own}) select * from {own}",
  "with recursive n(i) as (select count(*) from {own} union all select i + 1 from n limit 3) select i from n",
  "select row_number() over () from {own}",
  "select a from victim order by (select count(*) from {own})",
  "explain select * from {own}",
  "values ((select count(*) from {own}))",
  "select json_group_array(json_array(rowid)) from {own}",
  "insert into victim select 1, count(*) from {own}",
  "insert into victim values (95, (select count(*) from {own})) returning b",
  "update victim set b = (select count(*) from {own})",
  "update victim set b = x.rowid from {own} x",
  "delete from victim where a in (select rowid from {own})",
  "delete from victim returning (select count(*) from {own})",
  "insert into victim values (1, 1) on conflict do update set b = (select count(*) from {own})",
  "insert into {own} default values",
  "insert into {own} select * from {own}",
  "replace into {OWN} values (1, 1)",
  "update {own} set rowid = 7",
  "update or ignore main.{own} set rowid = rowid + 1",
  "delete from {own}",
  "delete from main.[{own}] where 1",
  "delete from {own} returning *",
  "drop table {own}",
  "drop table if exists main.'{own}'",
  "drop view {own}",
  "alter table {own} rename to mine",
  "alter table {own} add column x",
  "alter table {own} drop column answer",
  "alter table {own} rename column id to x",
  "create index x on {own}(rowid)",
  "create unique index x on main.[{own}](at)",
  "create index {own}_x on victim(a)",
  "create trigger x after update on {own} begin select 1; end",
  "create trigger x before delete on main.{own} begin select raise(ignore); end",
  "create trigger {own}_x after insert on victim begin select 1; end",
  "create trigger x after insert on victim begin update {own} set rowid = 7; end",
  "create trigger x after insert on victim begin delete from {OWN}; end",
  "create trigger x after insert on victim when (select count(*) from {own}) begin select 1; end",
  "create view x as select * from {own}",
  "create view {own}_x as select 1",
  "create view x as select 1; create trigger y instead of insert on x begin delete from {own}; end",
  "create table x as select * from {own}",
  "create table {own}(a)",
  "create table {own}_mine(a)",
  "create table if not exists {own}_mine(a)",
  "create table x(a references {own})",
  "create table x(a references {own}(rowid) on update cascade on delete cascade)",
  "create table x(a, foreign key (a) references [{OWN}])",
  "create virtual table {own}_x using fts5(a)",
  "create virtual table {own}_x using rtree(a, b, c)",
  "create virtual table x using fts5(a, content='{own}', content_rowid='rowid')",
  "create virtual table x using fts5vocab('{own}', 'row')",
  "alter table victim rename to {own}",
  "alter table victim rename to {own}_mine",
  `alter table victim rename to "{OWN}_mine"`,
  "alter table victim add column x references {own}",
  "alter table victim rename column a to {own}",
  "select 1; delete from {own}",
  "insert into victim values (96, 9); select * from {own}",
  "-- x\n/* y */ delete /* z */ from --\n{own}",
  "vacuum; delete from {own}",
];

/** The same, for a name that is the daemon's only once FTS5 or rtree have put something behind it. */
const own: EscapeGroup = {
  what: "the daemon's own tables",
  statements: [
    ...OWN_STATEMENTS,
    "create virtual table _skylinedb using fts5(a)",
    "create virtual table _SkylineDB using rtree(a, b, c)",
    "alter table words rename to _skylinedb",
    "alter table boxes rename to _skylinedb",
    "alter table words rename to _skylinedb_words",
    "delete\0from {own}",
    "delete from {own}\0",
    "delete from {own}; \0",
    "select 1\0; delete from {own}",
    "insert into victim values (97, 9)\0, (98, 9)",
    // Not the letters that they look like: other names, of which there are no tables.
    "delete from _\u0455kylinedb_state",
    "delete from _\u017fkylinedb_state",
    "delete from \uff3fskylinedb_state",
    "delete from _skylinedb\u200b_state",
    "delete from _s\u212aylinedb_state",
    "delete\u00a0from {own}",
  ],
};

/** All that is refused as it stands. */
export const ESCAPES: readonly EscapeGroup[] = [
  transactions,
  files,
  functions,
  temporary,
  schema,
  pragmas,
  own,
];

/** Statements that are let pass without an effect on what is the daemon's. */
export const HARMLESS: readonly string[] = [
  "analyze",
  "analyze {own}",
  "reindex",
  "reindex {own}",
  "with {own}(a) as (select 1) select a from {own}",
  "select '{own}', 'commit; drop table {own}' as \"{own}\"",
  "insert into victim(b) values ('delete from {own}') -- {own}",
  "delete from victim where b = '{own}'",
  "select name from sqlite_schema where name = '{own}'",
  "select * from pragma_table_info('{own}')",
  "select * from dbstat where name = '{own}'",
  "pragma integrity_check({own})",
  "pragma foreign_key_check",
  "pragma optimize",
  "vacuum",
  "vacuum temp into '{folder}/escaped.db'",
];

/** How many statements there are, of those that are refused. */
export function countEscapes(): number {
  return ESCAPES.reduce((count, { statements }) => count + statements.length, 0);
}
