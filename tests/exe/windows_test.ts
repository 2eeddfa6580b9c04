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
const CHECKS = 14;

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

async function runChecks(folder: string): Promise<Check[]> {
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
  const reading = Promise.all([
    readLines(child.stdout, (line) => line.startsWith("{") && lines.push(line)),
    readLines(child.stderr, (line) => console.error(line)),
  ]);
  // A daemon that it left inherited its output, and keeps it open.
  const { code } = await child.status;
  await Promise.race([reading, delay(OUTPUT_MS)]);
  if (lines.length < CHECKS) {
    throw new Error(`The client ended with ${code} after these checks:\n${lines.join("\n")}`);
  }
  return lines.map((line) => JSON.parse(line));
}

async function readLines(
  stream: ReadableStream<Uint8Array>,
  take: (line: string) => void,
): Promise<void> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const parts = (rest + text).split("\n");
    rest = parts.pop()!;
    parts.forEach(take);
  }
}

Deno.test(`Windows executable serves its named pipe under Wine`, { ignore }, async (t) => {
  const folder = await Deno.makeTempDir({ prefix: "skylinedb-windows-" });
  try {
    const checks = await runChecks(folder);
    for (const { name, ok, error, tookMs } of checks) {
      await t.step(`${basename(daemon!)} ${name} (${tookMs} ms)`, () => assert.ok(ok, error));
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
