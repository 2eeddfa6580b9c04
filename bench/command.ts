/**
 * A bench as a command.
 *
 * @module
 */

/** A mistake in the options, for the user. */
export class UsageError extends Error {}

/** Runs a command to its end; of a mistake in its options only the message is told, and `usage`, with exit code 2. */
export async function runCommand(
  main: (args: string[]) => Promise<void>,
  usage: string,
): Promise<void> {
  try {
    await main(Deno.args);
  } catch (error) {
    const isUsage = error instanceof UsageError ||
      (error as { code?: string }).code?.startsWith("ERR_PARSE_ARGS");
    console.error(isUsage ? `${(error as Error).message}\n\n${usage}` : error);
    Deno.exit(isUsage ? 2 : 1);
  }
}
