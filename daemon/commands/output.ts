/**
 * Standard output, which carries a command's data, and standard error, which carries what went wrong.
 *
 * @module
 */

/** Writes to standard output, all of it; false when nobody reads. */
export function print(text: string): boolean {
  return write(Deno.stdout, text);
}

/** Writes to standard error, all of it. */
export function printError(text: string): void {
  write(Deno.stderr, text);
}

function write(target: { writeSync(bytes: Uint8Array): number }, text: string): boolean {
  try {
    let bytes = new TextEncoder().encode(text);
    while (bytes.length > 0) bytes = bytes.subarray(target.writeSync(bytes));
    return true;
  } catch {
    // `… | head` has seen enough, or a service was started without standard handles.
    return false;
  }
}

/** A text without what would steer a terminal: data and messages may come from anybody. Lines stay. */
export function printable(text: string): string {
  return text.replace(
    /[^\n\P{Cc}]/gu,
    (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
}
