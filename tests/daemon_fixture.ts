/**
 * A real daemon for end-to-end tests: the compiled executable where there is one, else from source.
 *
 * @module
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { EXIT } from "../daemon/commands/exit_code.ts";
import { V8_FLAGS } from "../daemon/process/v8_flags.ts";

const SOURCE = fileURLToPath(new URL("../daemon/main.ts", import.meta.url));
const READY_MS_MAX = 30_000;

/** How a daemon is run, without its own arguments. */
export type Program = readonly [command: string, ...args: string[]];

/** The compiled executable; `undefined` where none could be made. */
export const executable: Program | undefined = Deno.env.has("SKYLINEDB_TEST_EXE")
  ? [Deno.env.get("SKYLINEDB_TEST_EXE")!]
  : undefined;

/** The daemon from source. */
export const source: Program = [
  Deno.execPath(),
  "run",
  "-A",
  "--quiet",
  V8_FLAGS,
  SOURCE,
];

/** What a daemon is started with. */
export interface FixtureOptions {
  /** By default the executable, else from source. */
  readonly program?: Program;
  /** Names of files in a new temporary folder, or absolute paths; `app.db` by default. */
  readonly files?: readonly string[];
  /** More arguments of `start`. */
  readonly args?: readonly string[];
  readonly env?: Record<string, string>;
}

/** What a daemon that was ended is started with again; what is left out stays as it was. */
export type RestartOptions = Pick<FixtureOptions, "program" | "args" | "env">;

/** A daemon that serves. At dispose it is ended, and its folder removed. */
export interface DaemonFixture extends AsyncDisposable {
  /** The temporary folder. */
  readonly folder: string;
  /** The files, absolute. */
  readonly files: readonly string[];
  /** The first file. */
  readonly file: string;
  /** The first file's endpoint. */
  readonly endpoint: string;
  readonly endpoints: readonly string[];
  readonly pid: number;
  readonly child: Deno.ChildProcess;
  /** What it wrote to standard error up to now, before it was started again as well. */
  log(): string;
  /** Ends it without giving it a chance, and waits until it is gone. */
  kill(): Promise<void>;
  /** Ends it like {@link DaemonFixture.kill}, unless it has ended, and starts it again on the same files. */
  restart(options?: RestartOptions): Promise<void>;
}

/** Starts a daemon and waits until it says that it serves. */
export async function startDaemon(options: FixtureOptions = {}): Promise<DaemonFixture> {
  const folder = mkdtempSync(join(tmpdir(), "skylinedb-test-"));
  const files = (options.files ?? ["app.db"]).map((name) => resolve(folder, name));
  try {
    return new Fixture(folder, files, options, await start(files, options));
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
}

/** One process that serves. */
interface Running {
  readonly child: Deno.ChildProcess;
  readonly endpoints: readonly string[];
  readonly log: Collected;
}

class Fixture implements DaemonFixture {
  readonly #options: FixtureOptions;
  #running: Running;
  #logBefore = "";

  constructor(
    readonly folder: string,
    readonly files: readonly string[],
    options: FixtureOptions,
    running: Running,
  ) {
    this.#options = options;
    this.#running = running;
  }

  get file(): string {
    return this.files[0];
  }

  get endpoint(): string {
    return this.endpoints[0];
  }

  get endpoints(): readonly string[] {
    return this.#running.endpoints;
  }

  get pid(): number {
    return this.child.pid;
  }

  get child(): Deno.ChildProcess {
    return this.#running.child;
  }

  log(): string {
    return this.#logBefore + this.#running.log.text();
  }

  kill(): Promise<void> {
    return end(this.#running);
  }

  async restart(options: RestartOptions = {}): Promise<void> {
    await this.kill();
    this.#logBefore = this.log();
    this.#running = await start(this.files, { ...this.#options, ...options });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Starts a process and waits until it serves; also until one that was killed has let go of the files. */
async function start(files: readonly string[], options: FixtureOptions): Promise<Running> {
  const giveUpAt = performance.now() + READY_MS_MAX;
  const [command, ...args] = options.program ?? executable ?? source;
  for (;;) {
    const child = new Deno.Command(command, {
      args: [...args, "start", ...files, ...(options.args ?? [])],
      env: options.env ?? {},
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    running.add(child);
    child.status.then(() => running.delete(child));
    const log = collect(child.stderr);
    try {
      const endpoints = await readEndpoints(child, files.length, giveUpAt);
      return { child, endpoints, log };
    } catch (error) {
      await end({ child, log });
      const isHeld = (await child.status).code === EXIT.alreadyRunning;
      if (isHeld && performance.now() < giveUpAt) continue;
      throw new Error(`The daemon did not start: ${error}\n${log.text()}`);
    }
  }
}

/** Those that run: a test that hangs never comes to its end, where it would end them. */
const running = new Set<Deno.ChildProcess>();
addEventListener("unload", () => {
  for (const child of running) child.kill("SIGKILL");
});

async function end({ child, log }: Pick<Running, "child" | "log">): Promise<void> {
  try {
    child.kill("SIGKILL");
  } catch {
    // It has ended already.
  }
  await child.status;
  await log.done;
}

/** Reads the lines `Serving FILE at ENDPOINT`, and goes on reading so that the pipe never fills. */
async function readEndpoints(
  child: Deno.ChildProcess,
  count: number,
  giveUpAt: number,
): Promise<string[]> {
  const out = collect(child.stdout);
  for (;;) {
    const endpoints = [...out.text().matchAll(/^Serving .* at (.*)$/gm)].map(([, at]) => at.trim());
    if (endpoints.length >= count) return endpoints;
    if (out.ended()) throw new Error(`it ended with code ${(await child.status).code}`);
    if (performance.now() > giveUpAt) throw new Error("it did not say that it serves");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** What a stream brought up to now. */
interface Collected {
  text(): string;
  ended(): boolean;
  readonly done: Promise<void>;
}

function collect(stream: ReadableStream<Uint8Array>): Collected {
  let text = "";
  let ended = false;
  const decoder = new TextDecoder();
  const done = (async () => {
    for await (const chunk of stream) text += decoder.decode(chunk, { stream: true });
    ended = true;
  })();
  return { text: () => text, ended: () => ended, done };
}
