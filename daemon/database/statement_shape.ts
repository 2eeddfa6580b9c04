/**
 * The shape of SQL: what is left of it without the values that are written into it.
 *
 * @module
 */

/** SQL is looked at up to so many UTF-16 units: it tells one from another by then. */
const LENGTH_MAX = 1000;

/** A quoted name, which stays; else a text, a number or a numbered parameter. One that is cut off goes to the end. */
const VALUE = /"[^"]*"?|`[^`]*`?|\[[^\]]*\]?|'(?:[^']|'')*'?|\b\d[\w.]*|\?\d+/g;
const VALUES = /\?(?:\s*,\s*\?)+/g;
const ROWS = /\(\s*\?\s*\)(?:\s*,\s*\(\s*\?\s*\))+/g;

/**
 * SQL without the values that are written into it, and without their number: rows to insert, the list of an IN. Two that do
 * the same with other values have one shape. It is made for likeness only: some that are alike have two shapes.
 */
export function shapeOf(sql: string): string {
  return sql.slice(0, LENGTH_MAX)
    .replace(VALUE, (part) => `"\`[`.includes(part[0]) ? part : "?")
    .replace(VALUES, "?")
    .replace(ROWS, "(?)");
}
