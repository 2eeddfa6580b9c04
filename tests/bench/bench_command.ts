import { fileURLToPath } from "node:url";

/** What a bench did. */
export interface BenchOutcome {
  readonly code: number;
  readonly out: string;
  readonly log: string;
}

/** Runs a module of the bench to its end, for at most so many milliseconds. */
export async function runBench(
  module: string,
  msMax: number,
  args: readonly string[],
): Promise<BenchOutcome> {
  const main = fileURLToPath(new URL(`../../bench/${module}`, import.meta.url));
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", main, ...args],
    signal: AbortSignal.timeout(msMax),
  }).output();
  const decoder = new TextDecoder();
  return { code, out: decoder.decode(stdout), log: decoder.decode(stderr) };
}
