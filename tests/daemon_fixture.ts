/**
 * A real daemon for end-to-end tests: the compiled executable where there is one, else from source.
 *
 * @module
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const SOURCE = fileURLToPath(new URL("../daemon/main.ts", import.meta.url));
const READY_MS_MAX = 15_000;

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
  "--v8-flags=--expose-gc,--max-semi-space-size=1",
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
  /** What it wrote to standard error up to now. */
  log(): string;
  /** Ends it without giving it a chance, and waits until it is gone. */
  kill(): Promise<void>;
}

/** Starts a daemon and waits until it says that it serves. */
export async function startDaemon(options: FixtureOptions = {}): Promise<DaemonFixture> {
  const folder = mkdtempSync(join(tmpdir(), "skylinedb-test-"));
  const files = (options.files ?? ["app.db"]).map((name) => resolve(folder, name));
  const [command, ...args] = options.program ?? executable ?? source;
  const child = new Deno.Command(command, {
    args: [...args, "start", ...files, ...(options.args ?? [])],
    env: options.env ?? {},
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const log = collect(child.stderr);
  const kill = async () => {
    try {
      child.kill("SIGKILL");
    } catch {
      // It has ended already.
    }
    await child.status;
  };
  const dispose = async () => {
    await kill();
    await log.done;
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    const endpoints = await readEndpoints(child, files.length);
    return {
      folder,
      files,
      file: files[0],
      endpoint: endpoints[0],
      endpoints,
      pid: child.pid,
      child,
      log: log.text,
      kill,
      [Symbol.asyncDispose]: dispose,
    };
  } catch (error) {
    await dispose();
    throw new Error(`The daemon did not start: ${error}\n${log.text()}`);
  }
}

/** Reads the lines `Serving FILE at ENDPOINT`, and goes on reading so that the pipe never fills. */
async function readEndpoints(child: Deno.ChildProcess, count: number): Promise<string[]> {
  const out = collect(child.stdout);
  const giveUpAt = performance.now() + READY_MS_MAX;
  for (;;) {
    const endpoints = [...out.text().matchAll(/^Serving .* at (.*)$/gm)].map(([, at]) => at.trim());
    if (endpoints.length >= count) return endpoints;
    if (out.ended()) throw new Error(`it ended with code ${(await child.status).code}`);
    if (performance.now() > giveUpAt) throw new Error("it did not say that it serves");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

function collect(stream: ReadableStream<Uint8Array>) {
  let text = "";
  let ended = false;
  const decoder = new TextDecoder();
  const done = (async () => {
    for await (const chunk of stream) text += decoder.decode(chunk, { stream: true });
    ended = true;
  })();
  return { text: () => text, ended: () => ended, done };
}
