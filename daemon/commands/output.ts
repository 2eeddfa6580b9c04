/**
 * Standard output, which carries a command's data, and standard error, which carries what went wrong.
 *
 * @module
 */

/** Writes to standard output, all of it. */
export function print(text: string): void {
  write(Deno.stdout, text);
}

/** Writes to standard error, all of it. */
export function printError(text: string): void {
  write(Deno.stderr, text);
}

function write(target: { writeSync(bytes: Uint8Array): number }, text: string): void {
  try {
    let bytes = new TextEncoder().encode(text);
    while (bytes.length > 0) bytes = bytes.subarray(target.writeSync(bytes));
  } catch {
    // Nobody reads: `… | head` has seen enough, or a service was started without standard handles.
  }
}

/** A text without what would steer a terminal: data and messages may come from anybody. Lines stay. */
export function printable(text: string): string {
  return text.replace(
    /[^\n\P{Cc}]/gu,
    (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
}
