/**
 * Runs the tests with all that they need, and ends with one line: N passed, N failed, N skipped.
 *
 *     deno task test [PATH…] [WORD…] [--OPTION…]
 *
 * Paths choose files, other words choose tests whose name holds one of them, and options go to
 * `deno test`. The exit code is 0 only if tests ran and none failed.
 *
 * @module
 */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { testPrograms } from "./test_programs.ts";
import { testCounts } from "./test_summary.ts";

/** As much of the end of the output as is searched for the summary, in characters. */
const TAIL = 65_536;

const ROOT = join(import.meta.dirname!, "..");

const { environment, failures } = await testPrograms();
const winePrefix = await Deno.makeTempDir({ prefix: "skylinedb-wine-" });
let failed = true;
try {
  const env = { ...environment, WINEPREFIX: winePrefix, WINEDEBUG: "-all" };
  const { code, tail } = await runTests(testArguments(Deno.args), env);
  // A runner that fails by itself, such as on a type error, counts as a failed test,
  // and so does a program that could not be made.
  const counts = testCounts(tail) ?? { passed: 0, failed: 1, skipped: 0 };
  counts.failed += failures;
  failed = code !== 0 || counts.failed > 0 || counts.passed === 0;
  console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
} finally {
  await endWine(winePrefix, environment.SKYLINEDB_TEST_WINE);
}
Deno.exit(failed ? 1 : 0);

function testArguments(args: string[]): string[] {
  const options = args.filter((arg) => arg.startsWith("-"));
  const others = args.filter((arg) => !arg.startsWith("-"));
  const paths = others.filter((arg) => existsSync(arg));
  const words = others.filter((arg) => !existsSync(arg)).map((word) => RegExp.escape(word));
  return [
    ...options,
    ...(words.length > 0 ? [`--filter=/${words.join("|")}/`] : []),
    ...(paths.length > 0 ? paths : [join(ROOT, "tests")]),
  ];
}

/** Passes the runner's output through as it comes, and returns the end of it. */
async function runTests(
  args: string[],
  env: Record<string, string>,
): Promise<{ code: number; tail: string }> {
  const coloured = Deno.stdout.isTerminal() && !Deno.noColor;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["test", "--allow-all", ...args],
    env: { ...env, ...(coloured ? { FORCE_COLOR: "1" } : {}) },
    stdout: "piped",
  }).spawn();
  const decoder = new TextDecoder();
  let tail = "";
  for await (const bytes of child.stdout) {
    for (let at = 0; at < bytes.length;) at += await Deno.stdout.write(bytes.subarray(at));
    tail = (tail + decoder.decode(bytes, { stream: true })).slice(-TAIL);
  }
  return { code: (await child.status).code, tail };
}

/** Ends what Wine left running for these tests alone, so that their folder can be removed. */
async function endWine(prefix: string, wine: string | undefined): Promise<void> {
  const used = existsSync(join(prefix, "drive_c"));
  if (wine !== undefined && used) {
    const server = join(dirname(wine), "wineserver");
    await new Deno.Command(server, { args: ["-k"], env: { WINEPREFIX: prefix } }).output();
  }
  await Deno.remove(prefix, { recursive: true });
}
