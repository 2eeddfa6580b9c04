/**
 * The daemon that is measured.
 *
 * @module
 */
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { connect } from "../client/mod.ts";
import { V8_FLAGS } from "../daemon/process/v8_flags.ts";
import { compile } from "../tools/compile.ts";

const READY_MS_MAX = 30_000;

/** How a daemon is run, and how the report calls that. */
export interface Program {
  readonly command: readonly [program: string, ...args: string[]];
  readonly description: string;
}

/** The daemon as it is developed. */
export const SOURCE: Program = {
  command: [
    Deno.execPath(),
    "run",
    "-A",
    V8_FLAGS,
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

/** How durable what was written is. */
export type Durability = "full" | "normal";

/** A daemon that serves one file. At dispose it is ended. */
export interface DaemonUnderTest extends AsyncDisposable {
  readonly file: string;
  readonly endpoint: string;
  readonly pid: number;
}

/** What a daemon says of its work up to now. */
export interface WorkDone {
  /** Requests that wrote. */
  readonly writes: number;
  /** Commits that they shared. */
  readonly groups: number;
  /** Processor time that it took, in seconds; NaN where the system does not say. */
  readonly cpuSeconds: number;
}

/**
 * Starts a daemon that serves `file`, and waits until it says so.
 *
 * @throws {Error} when it does not start.
 */
export async function startDaemon(
  { command: [program, ...args] }: Program,
  file: string,
  durability: Durability,
): Promise<DaemonUnderTest> {
  const child = new Deno.Command(program, {
    args: [...args, "start", file, "--durability", durability, "--log-level", "error"],
    stdin: "null",
    stdout: "piped",
  }).spawn();
  const end = async () => {
    try {
      child.kill();
    } catch {
      // It has ended already.
    }
    await child.status;
    await child.stdout.cancel().catch(() => {});
  };
  try {
    const endpoint = await readEndpoint(child.stdout);
    return { file, endpoint, pid: child.pid, [Symbol.asyncDispose]: end };
  } catch (error) {
    await end();
    throw new Error(`Cannot start a daemon for ${basename(file)}`, { cause: error });
  }
}

/** What a daemon has done; nothing that is measured may run meanwhile, for this is a connection too. */
export async function workDone({ endpoint, pid }: DaemonUnderTest): Promise<WorkDone> {
  await using client = await connect({ pipe: endpoint }, { retry: false });
  const { databases: [{ writes, groups }] } = await client.status();
  return { writes, groups, cpuSeconds: cpuSeconds(pid) };
}

/** Linux counts in hundredths of a second. */
function cpuSeconds(pid: number): number {
  if (Deno.build.os !== "linux") return NaN;
  const fields = Deno.readTextFileSync(`/proc/${pid}/stat`).split(") ")[1].split(" ");
  const [user, system] = fields.slice(11, 13).map(Number);
  return (user + system) / 100;
}

/** The rows of the table `t`, as the daemon says. */
export async function rowsIn({ endpoint }: DaemonUnderTest): Promise<number> {
  await using client = await connect({ pipe: endpoint }, { retry: false });
  const [[rows]] = await client.values("select count(*) from t");
  return Number(rows);
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
