import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { Folder, run } from "./command_line.ts";

const MAIN = fileURLToPath(new URL("../../daemon/main.ts", import.meta.url));

/** Commands that print, in each of their forms; FILE is a file that is served. */
const COMMANDS: readonly (readonly string[])[] = [
  ["status", "FILE"],
  ["status", "FILE", "--json"],
  ["status", "FILE", "--prometheus"],
  ["status", "FILE", "--watch", "--json"],
  ["list"],
  ["list", "--json"],
  ["ping", "FILE"],
  ["endpoint", "FILE"],
  ["exec", "FILE", "insert into t values (1) returning a"],
  ["exec", "FILE", "insert into t values (1) returning a", "--json"],
  ["query", "FILE", "select * from t"],
  ["query", "FILE", "select * from t", "--json"],
  ["query", "FILE", "select * from t", "--csv"],
  ["start", "FILE", "--background"],
  ["--help"],
  ["help", "exec"],
  ["--version"],
];

/** Runs a command with its output as the shell is told. */
async function runInto(
  args: readonly string[],
  output: string,
): Promise<{ code: number; stdout: string; stderr: string }> {
  const { code, stdout, stderr } = await new Deno.Command("bash", {
    args: [
      "-c",
      `set -o pipefail; "$0" run -A --quiet --v8-flags=--expose-gc "$@" ${output}`,
      ...[Deno.execPath(), MAIN, ...args],
    ],
    stdin: "null",
    signal: AbortSignal.timeout(30_000),
  }).output();
  const [out, error] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  return { code, stdout: out, stderr: error };
}

/** Runs every command with a daemon that serves a file. */
async function runEach(
  body: (args: readonly string[], words: string) => Promise<void>,
): Promise<void> {
  await using folder = new Folder();
  const file = folder.file("app.db");
  assert.equal((await run(["start", file, "--background"])).code, 0);
  assert.equal((await run(["exec", file, "create table t (a)"])).code, 0);
  for (const command of COMMANDS) {
    await body(command.map((word) => word === "FILE" ? file : word), command.join(" "));
  }
}

Deno.test({
  name: "every command says why, exit code 1, when its output cannot be written",
  ignore: Deno.build.os !== "linux", // which alone has /dev/full
  fn: () =>
    runEach(async (args, words) => {
      const { code, stderr } = await runInto(args, "> /dev/full");
      const expected = "error: Cannot write to standard output: No space left on device\n";
      assert.equal(stderr, expected, words);
      assert.equal(code, 1, words);
    }),
});

Deno.test({
  name: "every command is quiet, exit code 0, when nobody reads its output",
  ignore: Deno.build.os === "windows",
  fn: () =>
    runEach(async (args, words) => {
      // Whether the reader has gone before the command writes or not, the command is quiet; it starts much later.
      const { code, stderr } = await runInto(args, "| true");
      assert.equal(stderr, "", words);
      assert.equal(code, 0, words);
    }),
});

Deno.test({
  name: "a command that fails keeps its exit code when its reason cannot be written",
  ignore: Deno.build.os !== "linux",
  fn: async () => {
    await using folder = new Folder();
    const failing: readonly (readonly [string[], number])[] = [
      [["status", "no.db"], 4],
      [["statsu"], 2],
      [["start", "missing/app.db"], 5],
    ];
    for (const [args, expected] of failing) {
      for (const output of ["2> /dev/full", "2>&1 > /dev/null | true", "2>&-"]) {
        const { code, stdout } = await runInto(args, output);
        assert.deepEqual([code, stdout], [expected, ""], `${args.join(" ")} ${output}`);
      }
    }
    assert.deepEqual([...Deno.readDirSync(folder.path)], []);
  },
});
