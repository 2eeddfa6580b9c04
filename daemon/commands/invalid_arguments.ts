/**
 * Arguments that are no text.
 *
 * @module
 */
import { UsageError } from "../process/config.ts";

/** What the runtime puts in place of bytes that are not UTF-8. */
const REPLACEMENT = "\uFFFD";

/**
 * Refuses arguments of which the runtime has replaced bytes: another file would be served than was named, and other data written
 * than was meant.
 *
 * @throws {UsageError} that names the first.
 */
export function refuseInvalidArguments(args: readonly string[]): void {
  const suspect = args.find((arg) => arg.includes(REPLACEMENT));
  if (suspect === undefined || isCommandLineText()) return;
  throw new UsageError(
    `An argument is not UTF-8: ${JSON.stringify(suspect)}`,
    "Give a file a name in UTF-8; SQL of another encoding may be converted by iconv.",
  );
}

/** Whether all bytes are as they were typed. True where the system does not show them: on macOS file names are UTF-8. */
function isCommandLineText(): boolean {
  if (Deno.build.os !== "linux") return true;
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(Deno.readFileSync("/proc/self/cmdline"));
    return true;
  } catch (error) {
    return !(error instanceof TypeError);
  }
}
