/**
 * Rows to read one of, by primary key.
 *
 * @module
 */
import { Connection } from "../daemon/sqlite/connection.ts";

/** How many rows there are: their ids are 1 to this. */
export const POINTS = 100_000;

/** Reads one. */
export const READ_POINT = "select id, v from t where id = ?";

/** Every so many answers one is looked into, which costs the reader little. Prime: else it might always be of one place. */
const CHECKED_EVERY = 17;
const VALUE_LENGTH = 100;

/** Makes a database of them at `file`, in place of an empty one. */
export function fillPoints(file: string): void {
  const connection = Connection.open(file);
  connection.exec(`
    PRAGMA journal_mode = wal;
    create table t(id integer primary key, v text);
    insert into t
      with recursive point(id) as (select 1 union all select id + 1 from point where id < ${POINTS})
      select id, printf('%0${VALUE_LENGTH}d', id) from point`);
  connection.close();
}

/** Any one's id; all are equally likely. */
export function anyPoint(): number {
  return 1 + Math.floor(Math.random() * POINTS);
}

/** Holds some of the rows that are read against what they should be. */
export class PointCheck {
  #left = 1;

  /** Whether the next row is to be looked into. */
  isDue(): boolean {
    if (--this.#left > 0) return false;
    this.#left = CHECKED_EVERY;
    return true;
  }

  /**
   * Looks into a row.
   *
   * @throws {Error} when it is not the one of `id`.
   */
  check(row: readonly unknown[] | undefined, id: number): void {
    const value = String(id).padStart(VALUE_LENGTH, "0");
    if (row?.length === 2 && row[0] === id && row[1] === value) return;
    throw new Error(`Not the row of ${id}: ${JSON.stringify(row)}`);
  }
}
