/**
 * The tables that the daemon keeps in a database for itself.
 *
 * @module
 */
import { cutText, SkylineError } from "../../client/errors.ts";
import { WIRE_LIMITS } from "../../client/limits.ts";
import { LIMITS } from "../process/limits.ts";
import type { Log } from "../process/log.ts";
import { OWN_PREFIX } from "../sqlite/authorizer.ts";
import type { Connection } from "../sqlite/connection.ts";
import { RESULT, SqliteError } from "../sqlite/errors.ts";
import { cannotOpen } from "./database_file.ts";
import { bytesOf, FOREIGN, ownRow } from "./own_rows.ts";

const CLIENTS_NAME = `${OWN_PREFIX}clients`, KEYS_NAME = `${OWN_PREFIX}keys`;

/**
 * A row for each client's session: the number of its last request, and the answers that it may ask for again, one a
 * line. The row of the nameless client is the database's own: `seq` is its revision, `at` the bytes of the table of
 * keys, and `answers` the mark of the last commit that left the revision as it was. All in one table, so that a commit of one
 * client's requests writes one page for the two.
 */
export const CLIENTS = `main.${CLIENTS_NAME}`;

/** A row for each key, in the order in which they came, so that the oldest are found without an index. */
export const KEYS = `main.${KEYS_NAME}`;

/** The query for the revision, on any connection; no row where another program wrote what is no number. */
export const SELECT_REVISION =
  `SELECT seq FROM ${CLIENTS} WHERE client = '' AND typeof(seq) = 'integer'`;

/** The query for the mark: see {@link CLIENTS}. */
export const SELECT_MARK = `SELECT answers FROM ${CLIENTS} WHERE client = ''`;

const CLIENTS_COLUMNS = `(
    client TEXT PRIMARY KEY, seq INTEGER NOT NULL, answers TEXT NOT NULL, at INTEGER NOT NULL
  ) WITHOUT ROWID`;
const KEYS_COLUMNS = `(
    id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, fingerprint TEXT NOT NULL, answer TEXT NOT NULL, at INTEGER NOT NULL
  )`;

/** The SQL of what a row of {@link KEYS} takes, in bytes: its texts, and some for row and index. */
export function keyBytes(): string {
  return `40 + ${bytesOf("key")} + ${bytesOf("fingerprint")} + ${bytesOf("answer")}`;
}

/** Longest mark, in bytes: a UUID in UTF-16. */
const MARK_BYTES_MAX = 100;

/** What SQLite makes for the UNIQUE of the table of keys. */
const KEYS_INDEX = `index sqlite_autoindex_${KEYS_NAME}_1`;

/** What may stand in the schema that names our tables: SQLite's text of each, with single spaces. */
const EXPECTED = new Map([
  [`table ${CLIENTS_NAME}`, oneLine(`CREATE TABLE ${CLIENTS_NAME} ${CLIENTS_COLUMNS}`)],
  [`table ${KEYS_NAME}`, oneLine(`CREATE TABLE ${KEYS_NAME} ${KEYS_COLUMNS}`)],
  [KEYS_INDEX, null],
]);

/**
 * All that names them. By `sqlite_master`, which no table of the file can be called: one called `sqlite_schema`, forged
 * into the schema, would be read in its place.
 */
const SELECT_NAMING =
  `SELECT type, name, tbl_name, CAST(sql AS TEXT), CAST(rootpage AS INTEGER) FROM main.sqlite_master
  WHERE instr(lower(type || ' ' || name || ' ' || tbl_name || ' ' || coalesce(CAST(sql AS TEXT), '')), '${OWN_PREFIX}')`;

/** Where a name begins that is ours: SQL has no escapes in names. */
const OWN_NAME = new RegExp(`(?<![\\w$\\u0080-\\uffff])${OWN_PREFIX}`, "i");

/** The error of a request that found the daemon's own row otherwise than it left it: the request did nothing. */
export function ownRowChanged(what: string): SkylineError {
  return new SkylineError(
    "FILE_REPLACED",
    `Another program has written to the table ${CLIENTS}: ${what}`,
    {
      retry: "safe",
      hint: "Let no other program write to the daemon's own tables; then send the request again.",
    },
  );
}

/** What is known of a file that is opened. */
export interface OwnTablesOptions {
  readonly path: string;
  readonly log: Log;
  /** The revision that it had when it was closed, of this very file; 0 where nobody knows. */
  readonly revision: number;
}

/**
 * Makes the tables that are missing, and gives the database's revision. Where another program removed them it goes on from the
 * highest that is known.
 *
 * @param found what {@link inspectOwnTables} has found.
 * @throws {SkylineError} `CANNOT_OPEN`, as that does.
 */
export function createOwnTables(
  connection: Connection,
  found: OwnTables,
  options?: OwnTablesOptions,
): number {
  if (isWhole(found)) return found.revision!;
  const path = options?.path ?? "";
  connection.exec("BEGIN IMMEDIATE");
  const state = inspectOwnTables(connection, path); // others may have been first
  if (!isWhole(state)) mend(connection, state, options);
  connection.exec("COMMIT");
  return inspectOwnTables(connection, path).revision!;
}

/** What a file has of the daemon's own tables. */
export interface OwnTables {
  readonly hasClients: boolean;
  readonly hasKeys: boolean;
  readonly revision: number | undefined;
}

function isWhole({ hasClients, hasKeys, revision }: OwnTables): boolean {
  return hasClients && hasKeys && revision !== undefined;
}

/**
 * Looks at the tables that a file has, and changes nothing.
 *
 * @throws {SkylineError} `CANNOT_OPEN` where something in the file would change what the daemon's own statements do.
 */
export function inspectOwnTables(connection: Connection, path = ""): OwnTables {
  const found = new Map<string, number>();
  for (const row of rowsOf(connection, SELECT_NAMING)) {
    const [type, name, table, sql] = row as (string | null)[];
    const what = `${type} ${name}`;
    if (EXPECTED.has(what) && EXPECTED.get(what) === (sql && oneLine(sql)) && !found.has(what)) {
      found.set(what, row[4] as number);
    } else if ([name, table, sql].some((text) => OWN_NAME.test(String(text)))) {
      throw inTheWay(path, String(type), String(name));
    }
  }
  refuseSharedPages(connection, path, found);
  const hasClients = found.has(`table ${CLIENTS_NAME}`);
  const hasKeys = found.has(`table ${KEYS_NAME}`);
  if (hasKeys && !found.has(KEYS_INDEX)) {
    throw cannotOpen(
      path,
      `the index of its table ${KEYS_NAME} is missing, so that SQLite cannot use the table`,
      "The file is damaged, or was made to do harm: restore it from a backup",
    );
  }
  return { hasClients, hasKeys, revision: hasClients ? revisionOf(connection, path) : undefined };
}

/**
 * What lies on the page of another writes that one's rows, whatever it is called: a client's INSERT ours, or the schema itself,
 * which begins on the first page.
 */
function refuseSharedPages(
  connection: Connection,
  path: string,
  own: ReadonlyMap<string, number>,
): void {
  const pages = [1, ...own.values()];
  const on = `SELECT type, name FROM main.sqlite_master WHERE CAST(rootpage AS INTEGER) IN`;
  const isShared = new Set(pages).size < pages.length;
  for (const [type, name] of rowsOf(connection, `${on} (${pages})`)) {
    if (!isShared && own.has(`${type} ${name}`)) continue;
    throw cannotOpen(
      path,
      `its ${type} ${
        quoted(String(name))
      } lies on a page of the schema or of the daemon's own tables`,
      "The file is damaged, or was made to do harm: restore it from a backup",
    );
  }
}

/** `undefined`: there is none. */
function revisionOf(connection: Connection, path: string): number | undefined {
  const { statement } = connection.prepare(
    `SELECT typeof(seq) = 'integer' AND seq BETWEEN 0 AND ${LIMITS.revisionMax}
      AND typeof(at) = 'integer' AND at BETWEEN 0 AND ${LIMITS.revisionMax}
      AND typeof(answers) = 'text' AND ${bytesOf("answers")} <= ${MARK_BYTES_MAX},
      seq FROM ${CLIENTS} WHERE client = ''`,
  );
  let row: ReturnType<typeof ownRow>;
  try {
    row = ownRow(statement!, []);
  } finally {
    statement!.finalize();
  }
  if (row === undefined) return undefined;
  if (row !== FOREIGN && row[0] === 1) return row[1] as number;
  throw cannotOpen(
    path,
    `the row of its revision in ${CLIENTS_NAME} holds what is no count`,
    `With another program, put it right by: UPDATE ${CLIENTS_NAME} SET seq = N, answers = '', at = 0 WHERE client = ''; ` +
      "N is the last revision that is known, a whole number",
  );
}

function mend(
  connection: Connection,
  state: OwnTables,
  { path, log, revision: known }: Partial<OwnTablesOptions> = {},
): void {
  const isNew = !state.hasClients && !state.hasKeys && !known;
  if (!state.hasClients) connection.exec(`CREATE TABLE ${CLIENTS} ${CLIENTS_COLUMNS}`);
  if (!state.hasKeys) connection.exec(`CREATE TABLE ${KEYS} ${KEYS_COLUMNS}`);
  const revision = state.revision ?? Math.max(known ?? 0, highestTold(connection));
  connection.exec(
    `INSERT OR IGNORE INTO ${CLIENTS} VALUES ('', ${revision}, '', 0)`,
  );
  const sum = `SELECT coalesce(sum(${keyBytes()}), 0) FROM ${KEYS} WHERE id <> 0`;
  Array.from(rowsOf(connection, `UPDATE ${CLIENTS} SET at = (${sum}) WHERE client = ''`));
  if (isNew) return;
  log?.warn("Another program removed what the daemon remembers: it was made anew", {
    database: path,
    rev: revision,
    removed: !state.hasClients
      ? CLIENTS_NAME
      : !state.hasKeys
      ? KEYS_NAME
      : `rows of ${CLIENTS_NAME}`,
  });
}

/** The highest revision in the answers that are kept; 0 where there are none. */
function highestTold(connection: Connection): number {
  let highest = 0;
  const look = (answer: string) => {
    const revision = Number(/^\d{1,16}(?= )/.exec(answer)?.[0] ?? 0);
    if (revision <= LIMITS.revisionMax) highest = Math.max(highest, revision);
  };
  const isOurs = (column: string) =>
    `typeof(${column}) = 'text' AND ${bytesOf(column)} < ${LIMITS.storedAnswersBytesMax}`;
  const ofKeys = `SELECT substr(answer, 1, 17) FROM ${KEYS} WHERE ${isOurs("answer")}`;
  for (const [answer] of rowsOf(connection, ofKeys)) look(String(answer));
  const ofClients = `SELECT answers FROM ${CLIENTS} WHERE ${isOurs("answers")}`;
  for (const [answers] of rowsOf(connection, ofClients)) {
    String(answers).split("\n", WIRE_LIMITS.unackedMax).forEach(look);
  }
  return highest;
}

/** Somebody may have forged them so that they have no end: it ends with SQLITE_INTERRUPT then. */
function* rowsOf(connection: Connection, sql: string): Generator<unknown[]> {
  const statement = connection.prepare(sql).statement!;
  const until = performance.now() + LIMITS.ownTablesMs;
  try {
    while (statement.stepWithin(LIMITS.ownTablesMs)) {
      if (performance.now() > until) throw new SqliteError(RESULT.INTERRUPT, "interrupted");
      yield JSON.parse(statement.rowJson()!);
    }
  } finally {
    statement.finalize();
  }
}

function inTheWay(path: string, type: string, name: string): SkylineError {
  const shown = quoted(name);
  const kind = type === "view" || type === "trigger" || type === "index" ? type : "table";
  return cannotOpen(
    path,
    `its ${kind} ${shown} changes or uses the daemon's own tables (${OWN_PREFIX}…), or is not as the daemon made it`,
    kind === "table"
      ? `With another program, rename it (ALTER TABLE ${shown} RENAME TO …), or make it without what names ${OWN_PREFIX}…`
      : `With another program, remove it: DROP ${kind.toUpperCase()} ${shown}`,
  );
}

function quoted(name: string): string {
  return `"${cutText(name, LIMITS.shownNameUnits).replaceAll('"', '""')}"`;
}

function oneLine(sql: string): string {
  return sql.replace(/\s+/g, " ").trim();
}
