/**
 * What SQL from clients may not do. SQLite asks for each action of a statement while it prepares it, whatever the
 * statement's text looks like; no text filter could be as sure.
 *
 * @module
 */

/**
 * On whose behalf a connection prepares and steps: `own`, the daemon's statements, which may do all; `client`; `vacuum`, a
 * client's VACUUM, which SQLite does by attaching a nameless file and copying every table into it.
 */
export type Principal = "own" | "client" | "vacuum";

/** Names of the daemon's own tables start so. */
export const OWN_PREFIX = "_skylinedb_";

// Action codes, https://sqlite.org/c3ref/c_alter_table.html
const CREATE_TEMP_INDEX = 3, CREATE_TEMP_VIEW = 6;
const DROP_TEMP_INDEX = 12, DROP_TEMP_VIEW = 15;
/** Into the schema table: all that shows that `CREATE TRIGGER temp.x … ON main.t` is temporary. A RENAME updates that of `temp`. */
const INSERT = 18;
/** DELETE, INSERT, UPDATE. */
const WRITES = new Set([9, INSERT, 23]);
const PRAGMA = 19, TRANSACTION = 22, ATTACH = 24, DETACH = 25, FUNCTION = 31, SAVEPOINT = 32;
/** CREATE INDEX, TABLE, TRIGGER, VIEW and VIRTUAL TABLE, which may name the schema `temp` in place of the keyword. */
const CREATES = new Set([1, 2, 7, 8, 29]);
const SELECT = 21, ALTER_TABLE = 26, REINDEX = 27, ANALYZE = 28, RECURSIVE = 33;

/** PRAGMAs that a client may use, to read or to run. */
export const PRAGMAS_ALLOWED: ReadonlySet<string> = new Set([
  "application_id",
  "collation_list",
  "compile_options",
  "database_list",
  "foreign_key_check",
  "foreign_key_list",
  "freelist_count",
  "function_list",
  "index_info",
  "index_list",
  "index_xinfo",
  "integrity_check",
  "module_list",
  "optimize",
  "page_count",
  "pragma_list",
  "quick_check",
  "table_info",
  "table_list",
  "table_xinfo",
  "user_version",
]);

/** PRAGMAs that a client may only read: setting them would change the daemon's own promises. FTS5 and rtree ask some. */
export const PRAGMAS_READABLE: ReadonlySet<string> = new Set([
  "auto_vacuum",
  "data_version",
  "encoding",
  "foreign_keys",
  "journal_mode",
  "page_size",
  "schema_version",
  "synchronous",
]);

/** Whether an action is passed over without a word: ANALYZE and REINDEX of the whole database come to the daemon's tables too. */
export function isPassedOver(
  principal: Principal,
  action: number,
  first: () => string | null,
): boolean {
  return principal === "client" && (action === ANALYZE || action === REINDEX) && isOwn(first());
}

/** Whether an action makes or renames something, so that {@link namesOwn} has to look at the statement's text. */
export function changesSchema(action: number): boolean {
  return CREATES.has(action) || action === ALTER_TABLE;
}

/**
 * Whether an action makes statistics for SQLite's planner. Without {@link ANALYZE} it is one of `ANALYZE sqlite_schema`, or a
 * write to them by hand.
 */
export function makesStatistics(action: number, first: () => string | null): boolean {
  return action === ANALYZE || WRITES.has(action) && first()?.startsWith("sqlite_stat") === true;
}

/**
 * Whether the text of a statement that {@link changesSchema} may name the daemon's tables where SQLite asks nobody: the
 * target of a RENAME, and the parent of a foreign key, which would make the daemon's own writes fail. SQL has no escapes in
 * names, so one that is meant stands in the text. Without the last `_`: FTS5 makes `x_data` beside `x`.
 */
export function namesOwn(sql: string): boolean {
  return sql.toLowerCase().includes(OWN_PREFIX.slice(0, -1));
}

/** Whether an action writes to the daemon's own tables. */
export function writesOwn(action: number, first: () => string | null): boolean {
  return WRITES.has(action) && isOwn(first());
}

/**
 * Somebody made a trigger on the daemon's own table: it would do as it likes, as the daemon's own statements do. One that only
 * reads could do so for ever. The action of a foreign key has no name: it is known by what it writes.
 */
function ownRefusal(
  action: number,
  table: () => string | null,
  { fromSchema, besideOwn }: Circumstances,
): string | null {
  const isWrite = WRITES.has(action);
  if (fromSchema && (isWrite || besideOwn)) return FROM_SCHEMA;
  if (!isWrite || !besideOwn || isOwn(table()) || table()?.startsWith("sqlite_")) return null;
  return FROM_SCHEMA;
}

const FROM_SCHEMA =
  "a trigger, view or foreign key of the file is on the daemon's own tables: remove it";

/** What a statement is answered that {@link namesOwn}. */
export const NAMES_OWN = `a CREATE or ALTER that holds "${OWN_PREFIX.slice(0, -1)}" is not allowed`;

/** What else is known of an action. */
export interface Circumstances {
  /** A trigger, a view or a subquery after FROM asks for it. */
  readonly fromSchema?: boolean;
  /** The statement {@link writesOwn}. */
  readonly besideOwn?: boolean;
}

/**
 * Why `principal` may not do an action; `null` if it may. `first`, `second` and `schema` are SQLite's third to fifth
 * arguments of the callback: for most actions a table or an index, a table, and `main` or `temp`.
 */
export function refusal(
  principal: Principal,
  action: number,
  first: () => string | null,
  second: () => string | null,
  schema: () => string | null,
  circumstances: Circumstances = {},
): string | null {
  if (principal === "own") return ownRefusal(action, first, circumstances);
  if (action === SELECT || action === RECURSIVE) return null;
  if (principal === "vacuum") {
    return action === ATTACH && first() !== "" ? "VACUUM INTO is not allowed" : null;
  }
  switch (action) {
    case TRANSACTION:
      return `${first()} is not allowed`;
    case SAVEPOINT:
      return `${first()} of a SAVEPOINT is not allowed`;
    case ATTACH:
      return "ATTACH is not allowed";
    case DETACH:
      return "DETACH is not allowed";
    case PRAGMA:
      return schema() === "temp"
        ? "temporary objects are not allowed"
        : pragmaRefusal(first()?.toLowerCase() ?? "", second());
    case FUNCTION:
      return second()?.toLowerCase() === "load_extension"
        ? "load_extension() is not allowed"
        : null;
  }
  const namesSchema = CREATES.has(action) || action === INSERT;
  if (isTemporary(action) || namesSchema && schema() === "temp") {
    return "temporary objects are not allowed";
  }
  return isOwn(first()) || isOwn(second()) ? `${OWN_PREFIX} tables are the daemon's own` : null;
}

function pragmaRefusal(name: string, argument: string | null): string | null {
  if (PRAGMAS_ALLOWED.has(name) || argument === null && PRAGMAS_READABLE.has(name)) return null;
  return `PRAGMA ${name} is not allowed${PRAGMAS_READABLE.has(name) ? " with a value" : ""}`;
}

function isTemporary(action: number): boolean {
  return action >= CREATE_TEMP_INDEX && action <= CREATE_TEMP_VIEW ||
    action >= DROP_TEMP_INDEX && action <= DROP_TEMP_VIEW;
}

function isOwn(name: string | null): boolean {
  return name !== null && name.slice(0, OWN_PREFIX.length).toLowerCase() === OWN_PREFIX;
}
