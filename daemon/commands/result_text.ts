/**
 * Rows as text: a table to read, JSON or CSV to process.
 *
 * @module
 */
import { blobText, bytesOfBase64, Real, realText } from "../../client/values.ts";

/** What a statement returned, its values as `decodeJson` gives them. */
export interface Rows {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly unknown[])[];
}

/** How rows are written. */
export type RowFormat = "table" | "json" | "csv";

/** Writes rows, with a newline at the end. */
export function rowsText(rows: Rows, format: RowFormat): Promise<string> | string {
  if (format === "json") return jsonText(rows) + "\n";
  return format === "csv" ? csvText(rows) : countedTable(rows);
}

async function countedTable({ columns, rows }: Rows): Promise<string> {
  const cells = rows.map((row) => row.map((value) => value === null ? "NULL" : plainText(value)));
  const numeric = columns.map((_, i) => rows.every((row) => isNumberOrNull(row[i])));
  const count = rows.length === 1 ? "1 row" : `${rows.length} rows`;
  // Loaded for a table alone: it takes time.
  const { tableText } = await import("./table_text.ts");
  return tableText(columns, cells, numeric) + `${count}\n`;
}

function isNumberOrNull(value: unknown): boolean {
  return value === null || typeof value === "number" || typeof value === "bigint" ||
    value instanceof Real || typeof value === "object" && Object.hasOwn(value, "$real");
}

/** A value, not NULL, as text without quotes; bytes as SQL writes them. */
function plainText(value: unknown): string {
  if (value instanceof Real) {
    return Number.isFinite(value.value) ? realText(value.value) : `${value.value}`;
  }
  if (typeof value !== "object") return String(value);
  const { $blob, $text, $real } = value as { $blob?: string; $text?: string; $real?: unknown };
  if ($real !== undefined) return String($real);
  return `x'${hex(bytesOfBase64($blob ?? $text) ?? new Uint8Array(0))}'`;
}

function hex(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += byte.toString(16).padStart(2, "0");
  return text;
}

/** An array of an object for each row, one a line; values as on the wire, so that integers and bytes stay exact. */
export function jsonText({ columns, rows }: Rows): string {
  if (rows.length === 0) return "[]";
  const names = distinct(columns).map((name) => JSON.stringify(name));
  const lines = rows.map((row) =>
    `{${row.map((value, i) => `${names[i]}:${wireText(value)}`).join()}}`
  );
  return `[${lines.join(",\n")}]`;
}

/** Names of columns with `_2`, `_3`, … where they repeat: an object cannot hold one twice. */
function distinct(columns: readonly string[]): string[] {
  const used = new Set<string>();
  return columns.map((column) => {
    let name = column;
    for (let n = 2; used.has(name); n++) name = `${column}_${n}`;
    used.add(name);
    return name;
  });
}

/** A value of an answer as the JSON that it came from. */
function wireText(value: unknown): string {
  if (typeof value === "bigint") return value.toString();
  if (value instanceof Real) return realText(value.value);
  if (value instanceof Uint8Array) return blobText(value);
  return JSON.stringify(value);
}

/** RFC 4180 with a header, but `\n` between lines. NULL is an empty field, empty text `""`. */
function csvText({ columns, rows }: Rows): string {
  const line = (fields: string[]) => fields.join() + "\n";
  return line(columns.map(csvField)) +
    rows.map((row) => line(row.map((value) => value === null ? "" : csvField(plainText(value)))))
      .join("");
}

function csvField(text: string): string {
  return text === "" || /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
