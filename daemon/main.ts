/**
 * The daemon's program.
 *
 * @module
 */
import { errorText, EXIT, exitCodeOf } from "./commands/exit_code.ts";
import { refuseInvalidArguments } from "./commands/invalid_arguments.ts";
import { printError } from "./commands/output.ts";
import { plainStart } from "./commands/plain_start.ts";
import { daemonConfig } from "./process/config.ts";

/**
 * Runs the command line; errors are told on standard error.
 *
 * @param args the arguments behind the program's name.
 * @returns the exit code: see {@link EXIT}.
 */
export async function main(args: string[]): Promise<number> {
  try {
    refuseInvalidArguments(args);
    const files = plainStart(args);
    if (files) return await (await import("./commands/start.ts")).start(daemonConfig(files, {}));
    const { printHelp, runCommand } = await import("./commands/program.ts");
    if (args.length > 0) return await runCommand(args);
    const byDoubleClick = await isDoubleClick();
    printHelp(!byDoubleClick);
    if (!byDoubleClick) return EXIT.usage;
    await waitForKey();
    return EXIT.done;
  } catch (error) {
    printError(errorText(error));
    return exitCodeOf(error);
  }
}

/** Whether a window was opened for this program alone, which closes with it. */
async function isDoubleClick(): Promise<boolean> {
  if (Deno.build.os !== "windows" || !Deno.stdin.isTerminal()) return false;
  const { ownsConsole } = await import("./process/kernel32.ts");
  return ownsConsole();
}

async function waitForKey(): Promise<void> {
  printError("\nPress a key to close this window.\n");
  Deno.stdin.setRaw(true);
  await Deno.stdin.read(new Uint8Array(16));
}

if (import.meta.main) Deno.exit(await main(Deno.args));
