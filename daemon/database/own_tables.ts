/**
 * The tables that the daemon keeps in a database for itself.
 *
 * @module
 */
import { OWN_PREFIX } from "../sqlite/authorizer.ts";
import type { Connection } from "../sqlite/connection.ts";

/**
 * A row for each client's session: the number of its last request, and the answers that it may ask for again, one a
 * line. The row of the nameless client is the database's own: `seq` is its revision, `at` the bytes of the table of
 * keys, and `answers` the mark of the last commit that left the revision as it was. All in one table, so that a commit of one client's requests writes one page for the two.
 */
export const CLIENTS = `${OWN_PREFIX}clients`;

/** A row for each key, in the order in which they came, so that the oldest are found without an index. */
export const KEYS = `${OWN_PREFIX}keys`;

/** The query for the revision, on any connection. */
export const SELECT_REVISION = `SELECT seq FROM ${CLIENTS} WHERE client = ''`;

/** The query for the mark: see {@link CLIENTS}. */
export const SELECT_MARK = `SELECT answers FROM ${CLIENTS} WHERE client = ''`;

const CREATE = `
  CREATE TABLE IF NOT EXISTS ${CLIENTS} (
    client TEXT PRIMARY KEY, seq INTEGER NOT NULL, answers TEXT NOT NULL, at INTEGER NOT NULL
  ) WITHOUT ROWID;
  INSERT OR IGNORE INTO ${CLIENTS} VALUES ('', 0, '', 0);
  CREATE TABLE IF NOT EXISTS ${KEYS} (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, fingerprint TEXT NOT NULL, answer TEXT NOT NULL, at INTEGER NOT NULL
  );`;

/** Makes the tables in a database that has none, and gives its revision. */
export function createOwnTables(connection: Connection): number {
  const exists = connection.get(`SELECT 1 FROM sqlite_schema WHERE name = '${KEYS}'`);
  if (!exists) connection.exec(`BEGIN IMMEDIATE; ${CREATE} COMMIT`);
  return connection.get(SELECT_REVISION)![0] as number;
}
