/**
 * Standard output, which carries a command's data, and standard error, which carries what went wrong.
 *
 * @module
 */

import { systemReason } from "../process/system_error.ts";

/**
 * Writes a command's data to standard output, all of it; false when nobody reads any more, such as `… | head`.
 *
 * @throws {Error} when it cannot be written, such as to a full disk: a command whose data is lost must not end with 0.
 */
export function print(text: string): boolean {
  try {
    writeAll(Deno.stdout, text);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.BrokenPipe) return false;
    throw new Error(`Cannot write to standard output: ${systemReason(error)}`, { cause: error });
  }
}

/** Writes to standard output what a daemon tells; a service may have been started without standard handles. */
export function tell(text: string): void {
  writeIfPossible(Deno.stdout, text);
}

/** Writes to standard error, all of it, where it can be written. */
export function printError(text: string): void {
  writeIfPossible(Deno.stderr, text);
}

interface Target {
  writeSync(bytes: Uint8Array): number;
}

function writeIfPossible(target: Target, text: string): void {
  try {
    writeAll(target, text);
  } catch {
    // There is no better place to say so.
  }
}

function writeAll(target: Target, text: string): void {
  let bytes = new TextEncoder().encode(text);
  while (bytes.length > 0) bytes = bytes.subarray(target.writeSync(bytes));
}

/** A name in a line that others may read: {@link printable}, and on one line. */
export function printableName(name: string): string {
  return printable(name).replaceAll("\n", "\\x0a");
}

/** A text without what would steer a terminal: data and messages may come from anybody. Lines stay. */
export function printable(text: string): string {
  return text.replace(
    /[^\n\P{Cc}]/gu,
    (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
}
