/**
 * Reads what the tests hold the documentation to: its tables and blocks of code.
 *
 * @module
 */
import assert from "node:assert/strict";

/** Reads a document of the project, by its path from the root. */
export function readDocument(path: string): string {
  return Deno.readTextFileSync(new URL(`../../${path}`, import.meta.url)).replaceAll("\r\n", "\n");
}

/** The blocks of code of one language, in their order. */
export function codeBlocks(text: string, language: string): string[] {
  const blocks = text.matchAll(/^```(\w*)\n(.*?)^```$/gms);
  return [...blocks].filter(([, name]) => name === language).map(([, , code]) => code);
}

/** The text under a heading, up to the next one. */
export function section(text: string, heading: string): string {
  const [, found] = text.split(`\n${heading}\n`);
  assert.ok(found, `There is no heading ${heading}`);
  return found.split(/^##* /m)[0];
}

/** The rows of all tables in a text whose first column has this title, without the titles. */
export function tableRows(text: string, title: string): string[][] {
  const rows: string[][] = [];
  let inside = false;
  for (const line of text.split("\n")) {
    const cells = /^\|(.*)\|$/.exec(line.trim())?.[1].split(/(?<!\\)\|/).map((cell) => cell.trim());
    if (cells === undefined) inside = false;
    else if (cells[0] === title) inside = true;
    else if (inside && !/^:?-+:?$/.test(cells[0])) rows.push(cells);
  }
  return rows;
}

/** The names between backticks. */
export function names(text: string): string[] {
  return [...text.matchAll(/`([^`]+)`/g)].map(([, name]) => name);
}
