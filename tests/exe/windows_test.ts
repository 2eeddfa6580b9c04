import assert from "node:assert/strict";
import { basename, dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { compile } from "../../tools/compile.ts";

const daemon = Deno.env.get("SKYLINEDB_TEST_EXE_WINDOWS");
const wine = Deno.env.get("SKYLINEDB_TEST_WINE");
const dll = Deno.env.get("SKYLINEDB_TEST_WINE_DLL");
const ignore = !daemon || !wine;
if (ignore) {
  console.log("Skipping the Windows executable: SKYLINEDB_TEST_EXE_WINDOWS or _WINE is not set");
}

const CLIENT = fileURLToPath(new URL("windows_client.ts", import.meta.url));
/** The first start of Wine alone takes 12 s. */
const TIMEOUT_MS = 240_000;
/** How long its last output may take to arrive. */
const OUTPUT_MS = 2_000;
/** How many checks it makes. */
const CHECKS = 16;
const ATTEMPTS_MAX = 3;

interface Check {
  readonly name: string;
  readonly ok: boolean;
  readonly error?: string;
  readonly tookMs: number;
}

/** The path as Windows programs under Wine know it. */
function windowsPath(path: string): string {
  return `Z:${path.replaceAll("/", "\\")}`;
}

/**
 * Runs the client, anew if Deno's own code for pipes panicked in it or in the daemon, which leaves it hanging: when a peer
 * closes a pipe in the moment in which a read begins (https://github.com/tokio-rs/mio/issues/1819).
 */
async function runChecks(): Promise<Check[]> {
  for (let attempt = 1;; attempt++) {
    const folder = await Deno.makeTempDir({ prefix: "skylinedb-windows-" });
    try {
      return await runClient(folder);
    } catch (error) {
      if (!(error instanceof PipePanic) || attempt === ATTEMPTS_MAX) throw error;
      console.log(`Deno panicked over a pipe: the checks are made again (${attempt})`);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  }
}

/** Deno's code for pipes panicked. */
class PipePanic extends Error {}

async function runClient(folder: string): Promise<Check[]> {
  const client = join(folder, "windows_client.exe");
  await compile({ entry: CLIENT, target: "x86_64-pc-windows-msvc", output: client });
  if (dll) await Deno.copyFile(dll, join(folder, "bcryptprimitives.dll")); // Wine 8 lacks it
  const child = new Deno.Command(wine!, {
    args: [client, windowsPath(daemon!), windowsPath(folder)],
    cwd: dirname(daemon!),
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    signal: AbortSignal.timeout(TIMEOUT_MS),
  }).spawn();
  const lines: string[] = [];
  let panicked = false;
  const ended = new AbortController();
  const reading = Promise.all([
    readLines(child.stdout, ended.signal, (line) => line.startsWith("{") && lines.push(line)),
    readLines(child.stderr, ended.signal, (line) => {
      console.error(line);
      if (!/panicked at .*named_pipe\.rs/.test(line)) return;
      panicked = true;
      child.kill("SIGKILL");
    }),
  ]);
  // A daemon that it left inherited its output, and keeps it open.
  const { code } = await child.status;
  await Promise.race([reading, delay(OUTPUT_MS)]);
  ended.abort();
  if (panicked) throw new PipePanic("Deno's code for pipes panicked");
  if (lines.length < CHECKS) {
    throw new Error(`The client ended with ${code} after these checks:\n${lines.join("\n")}`);
  }
  return lines.map((line) => JSON.parse(line));
}

async function readLines(
  stream: ReadableStream<Uint8Array>,
  signal: AbortSignal,
  take: (line: string) => void,
): Promise<void> {
  let rest = "";
  try {
    for await (const text of stream.pipeThrough(new TextDecoderStream(), { signal })) {
      const parts = (rest + text).split("\n");
      rest = parts.pop()!;
      parts.forEach(take);
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

Deno.test(`Windows executable serves its named pipe under Wine`, { ignore }, async (t) => {
  const checks = await runChecks();
  for (const { name, ok, error, tookMs } of checks) {
    await t.step(`${basename(daemon!)} ${name} (${tookMs} ms)`, () => assert.ok(ok, error));
  }
});
