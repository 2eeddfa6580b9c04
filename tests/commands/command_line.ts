import { join } from "node:path";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../../daemon/main.ts", import.meta.url));

/** Longest time that a command of these tests may take. */
const COMMAND_MS_MAX = 30_000;

/** What a command did. */
export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** How a command is run. */
export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Record<string, string>;
  /** What it reads from standard input. */
  readonly input?: string;
}

/** The command line from source, as a process; quiet, since Deno says on standard error what it downloads. */
export function command(args: readonly string[], options: Deno.CommandOptions = {}): Deno.Command {
  return new Deno.Command(Deno.execPath(), {
    ...options,
    args: ["run", "-A", "--quiet", "--v8-flags=--expose-gc", MAIN, ...args],
  });
}

/** Runs the command line to its end; a command that hangs is ended and fails. */
export async function run(args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const { input, ...others } = options;
  const child = command(args, {
    ...others,
    stdin: input === undefined ? "null" : "piped",
    stdout: "piped",
    stderr: "piped",
    signal: AbortSignal.timeout(COMMAND_MS_MAX),
  }).spawn();
  if (input !== undefined) {
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(input));
    await writer.close();
  }
  const { code, stdout, stderr } = await child.output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

/** A folder for databases; disposing of it ends their daemons and removes it. */
export class Folder implements AsyncDisposable {
  readonly path: string = Deno.realPathSync(
    Deno.makeTempDirSync({ prefix: "skylinedb-commands-" }),
  );
  readonly #served = new Set<string>();

  /** Path of a file in the folder, whose daemon, if one serves it, is ended with the folder. */
  file(name: string): string {
    const path = join(this.path, name);
    this.#served.add(path);
    return path;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const path of this.#served) await run(["shutdown", path]);
    await Deno.remove(this.path, { recursive: true });
  }
}

/** A daemon in the foreground, and what it says. */
export class Foreground implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #output: Promise<Deno.CommandOutput>;

  /** Starts one; see {@link Foreground.ready}. */
  constructor(args: readonly string[], options: RunOptions = {}) {
    this.#child = command(args, { ...options, stdin: "null", stdout: "piped", stderr: "piped" })
      .spawn();
    this.#output = this.#child.output();
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** Resolves when it answers for `file`. */
  async ready(file: string): Promise<void> {
    const giveUpAt = performance.now() + COMMAND_MS_MAX;
    while ((await run(["ping", file])).code !== 0) {
      if (performance.now() > giveUpAt) throw new Error(`No daemon serves ${file}`);
    }
  }

  kill(signal: Deno.Signal): void {
    this.#child.kill(signal);
  }

  /** What it said in all, when it has ended. */
  async ended(): Promise<Outcome> {
    const { code, stdout, stderr } = await this.#output;
    const decoder = new TextDecoder();
    return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
  }

  /** Ends it, in order where a signal can ask for that, so that it leaves nothing in the folder of its socket. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGTERM");
    } catch {
      // It has ended.
    }
    await this.#output;
  }
}
