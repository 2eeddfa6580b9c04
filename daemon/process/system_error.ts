/**
 * What the operating system says of a call that failed.
 *
 * @module
 */

/** The reason alone, without the error's number and the call, which repeats the path. */
export function systemReason(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.replace(/ \(os error \d+\)[^]*$/, "");
}
