/**
 * The daemon that is measured.
 *
 * @module
 */
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { compile } from "../tools/compile.ts";

const READY_MS_MAX = 30_000;

/** How a daemon is run, and how the report calls that. */
export interface Program {
  readonly command: readonly [program: string, ...args: string[]];
  readonly description: string;
}

const SOURCE: Program = {
  command: [
    Deno.execPath(),
    "run",
    "-A",
    "--v8-flags=--expose-gc,--max-semi-space-size=1",
    fileURLToPath(new URL("../daemon/main.ts", import.meta.url)),
  ],
  description: `from source on Deno ${Deno.version.deno}`,
};

/**
 * The executable that `SKYLINEDB_TEST_EXE` names, else one compiled into `folder`, else, where its runtime cannot be had,
 * from source, as with `fromSource`.
 */
export async function findProgram(folder: string, fromSource: boolean): Promise<Program> {
  if (fromSource) return SOURCE;
  const named = Deno.env.get("SKYLINEDB_TEST_EXE");
  if (named) return { command: [named], description: "the executable of SKYLINEDB_TEST_EXE" };
  try {
    const name = Deno.build.os === "windows" ? "skylinedb-daemon.exe" : "skylinedb-daemon";
    const { path, deno } = await compile({ output: join(folder, name) });
    return { command: [path], description: `the executable, compiled by Deno ${deno}` };
  } catch (error) {
    const [reason] = String(error instanceof Error ? error.message : error).split("\n");
    return { ...SOURCE, description: `${SOURCE.description} (no executable: ${reason})` };
  }
}

/** A daemon that serves one file. At dispose it is ended. */
export interface DaemonUnderTest extends AsyncDisposable {
  readonly file: string;
  readonly endpoint: string;
  /** The rows of the table `t`, as the daemon says. */
  rows(): Promise<number>;
}

/**
 * Starts a daemon that serves `file`, which it makes with `schema`.
 *
 * @throws {Error} when it does not start.
 */
export async function startDaemon(
  { command: [program, ...args] }: Program,
  file: string,
  durability: "full" | "normal",
  schema: string,
): Promise<DaemonUnderTest> {
  const run = async (...more: string[]) => {
    const { success, stdout, stderr } = await new Deno.Command(program, {
      args: [...args, ...more],
      stdin: "null",
    }).output();
    if (success) return new TextDecoder().decode(stdout);
    throw new Error(`${more[0]} ${basename(file)} failed: ${new TextDecoder().decode(stderr)}`);
  };
  const child = new Deno.Command(program, {
    args: [...args, "start", file, "--durability", durability, "--log-level", "error"],
    stdin: "null",
    stdout: "piped",
  }).spawn();
  const daemon = {
    file,
    endpoint: "",
    async rows() {
      return JSON.parse(await run("query", file, "select count(*) as n from t", "--json"))[0].n;
    },
    async [Symbol.asyncDispose]() {
      try {
        child.kill();
      } catch {
        // It has ended already.
      }
      await child.status;
      await child.stdout.cancel().catch(() => {});
    },
  };
  try {
    daemon.endpoint = await readEndpoint(child.stdout);
    await run("exec", file, schema);
    return daemon;
  } catch (error) {
    await daemon[Symbol.asyncDispose]();
    throw error;
  }
}

/** Waits for the line `Serving FILE at ENDPOINT`; nothing comes after it. */
async function readEndpoint(stdout: ReadableStream<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  const reader = stdout.getReader();
  const timer = setTimeout(() => reader.cancel(), READY_MS_MAX);
  let text = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) throw new Error(`The daemon did not say that it serves, but: ${text}`);
      text += decoder.decode(value, { stream: true });
      const line = /^Serving .* at (.*?)\r?\n/m.exec(text);
      if (line) return line[1];
    }
  } finally {
    clearTimeout(timer);
    reader.releaseLock();
  }
}
