/**
 * Tables for the terminal.
 *
 * @module
 */
// Not by "await import": of a CommonJS package the executable's script would have "default" alone.
import { Table } from "console-table-printer";
import { printable } from "./output.ts";

/** Writes a table with borders; columns in `rightAligned` are aligned so. */
export function tableText(
  titles: readonly string[],
  rows: readonly (readonly string[])[],
  rightAligned: readonly boolean[] = [],
): string {
  const table = new Table({
    // Titles need not differ, but the library's names of columns must.
    columns: titles.map((title, i) => ({
      name: String(i),
      title: printable(title),
      alignment: rightAligned[i] ? "right" as const : "left" as const,
    })),
    shouldDisableColors: true,
  });
  for (const row of rows) {
    table.addRow(Object.fromEntries(row.map((cell, i) => [String(i), printable(cell)])));
  }
  return table.render() + "\n";
}
