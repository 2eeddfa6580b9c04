/**
 * Running the daemon's commands to their end.
 *
 * @module
 */
import { executable, type Program, source } from "../daemon_fixture.ts";

/** How a command ended. */
export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** How long it took, in milliseconds. */
  readonly tookMs: number;
}

/** What a command is run with. */
export interface CommandOptions {
  /** By default the executable, else from source. */
  readonly program?: Program;
  readonly cwd?: string;
  readonly env?: Record<string, string>;
  /** Run as this user, where the test may. */
  readonly uid?: number;
}

/** Runs a command, and ends it when it takes over 15 s. */
export async function runCommand(
  args: readonly string[],
  { program, ...options }: CommandOptions = {},
): Promise<CommandResult> {
  const [command, ...first] = program ?? executable ?? source;
  const started = performance.now();
  const { code, stdout, stderr } = await new Deno.Command(command, {
    args: [...first, ...args],
    stdin: "null",
    signal: AbortSignal.timeout(30_000),
    ...options,
  }).output();
  const decoder = new TextDecoder();
  return {
    code,
    stdout: decoder.decode(stdout),
    stderr: decoder.decode(stderr),
    tookMs: performance.now() - started,
  };
}
