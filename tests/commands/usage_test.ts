import assert from "node:assert/strict";
import config from "../../deno.json" with { type: "json" };
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { Folder, Foreground, run } from "./command_line.ts";

const MAIN = fileURLToPath(new URL("../../daemon/main.ts", import.meta.url));

/** A command line that cannot be understood, and what is said of it. */
const MISTAKES: readonly [string[], RegExp][] = [
  [["stauts"], /^error: unknown command 'stauts'\nhint: Did you mean status\?\n$/],
  [["start"], /^error: missing required argument 'file'\nhint: .*--help/],
  [["exec"], /^error: missing required argument 'file'\n/],
  [["list", "--yaml"], /^error: unknown option '--yaml'\n/],
  [["list", "a.db"], /^error: too many arguments/],
  [
    ["start", "a.db", "--durability", "some"],
    /^error: --durability takes full or normal, not "some"\n/,
  ],
  [["a.db", "--foreign-keys", "1"], /^error: --foreign-keys takes on or off, not "1"\n/],
  [["--log-level", "loud", "a.db"], /^error: --log-level takes debug, info, warning or error/],
  [["a.db", "--pipe", "a b"], /^error: --pipe: A pipe's name has 1 to 64 letters/],
  [["a.db", "b.db", "--pipe", "x"], /^error: --pipe names one database's endpoint, and 2 files/],
  [["query", "a.db"], /^error: No SQL is given\nhint: .*--file -/],
  [["query", "a.db", "select 1", "--file", "a.sql"], /^error: query takes one statement/],
  [["query", "a.db", "select 1", "--json", "--csv"], /^error: --json and --csv exclude/],
  [
    ["query", "a.db", "select 1", "--timeout", "5 s"],
    /^error: --timeout takes a time .* not "5 s"\n/,
  ],
  [["exec", "a.db", "--file", "missing.sql"], /^error: --file: cannot read missing.sql: \S.*\n$/],
  [["exec", "a.db", "--file", ""], /^error: --file names no file\n$/],
  [["a.db", "--log-file", ""], /^error: --log-file names no file\n$/],
  [["help", "stauts"], /^(.*\n)+error: unknown command 'stauts'\n$/],
  ...["start", "status", "shutdown", "ping", "endpoint"].map((command): [string[], RegExp] => [
    [command, ""],
    /^error: The name of a database file is empty\n$/,
  ]),
  ...["exec", "query"].map((command): [string[], RegExp] => [
    [command, "", "select 1"],
    /^error: The name of a database file is empty\n$/,
  ]),
  [["shutdown", "a.db", "--all"], /^error: --all and FILE exclude one another\n/],
];

for (const [args, said] of MISTAKES) {
  const words = args.map((word) => word || '""').join(" ");
  Deno.test(`the command line says what is wrong, exit code 2, when given: ${words}`, async () => {
    const { code, stdout, stderr } = await run(args);
    assert.match(stderr, said);
    assert.equal(stdout, "");
    assert.equal(code, 2);
  });
}

Deno.test("the command line names the variable when the environment's value is wrong", async () => {
  const { code, stderr } = await run(["a.db"], { env: { SKYLINEDB_DURABILITY: "most" } });
  assert.equal(stderr, 'error: SKYLINEDB_DURABILITY takes full or normal, not "most"\n');
  assert.equal(code, 2);
});

Deno.test("the command line prints help as an error when nothing is given", async () => {
  const { code, stdout, stderr } = await run([]);
  assert.match(stderr, /^Usage: skylinedb-daemon FILE… \| COMMAND\n/);
  assert.equal(stdout, "");
  assert.equal(code, 2);
});

Deno.test("the command line prints help as data when it is asked for", async () => {
  const whole = await run(["--help"]);
  assert.equal(whole.code, 0);
  for (const name of ["start", "exec", "query", "status", "list", "ping", "endpoint", "shutdown"]) {
    assert.match(whole.stdout, new RegExp(`^  ${name} `, "m"));
  }
  const one = await run(["start", "--help"]);
  assert.equal(one.code, 0);
  assert.match(one.stdout, /--durability <level>/);
  assert.equal(whole.stderr + one.stderr, "");
});

Deno.test("the command line prints the package's version when asked for it", async () => {
  assert.deepEqual(await run(["--version"]), {
    code: 0,
    stdout: `${config.version}\n`,
    stderr: "",
  });
});

Deno.test("a command that needs a daemon names the one that starts it when none runs", async () => {
  await using folder = new Folder();
  const file = folder.file("app.db");
  for (const args of [["ping"], ["query", "x"], ["exec", "x"], ["status"], ["shutdown"]]) {
    const [name, ...rest] = args;
    const { code, stdout, stderr } = await run([name, file, ...rest]);
    assert.equal(
      stderr,
      `error: No daemon serves ${file}\nhint: Start it: skylinedb-daemon start --background "${file}"\n`,
    );
    assert.equal(stdout, "");
    assert.equal(code, 4);
  }
  Deno.writeTextFileSync(file, "");
  assert.equal((await run(["ping", file])).code, 4);
});

Deno.test({
  name: "the command line refuses arguments that are not UTF-8, and takes U+FFFD itself",
  ignore: Deno.build.os !== "linux", // where others do not show what was typed
  fn: async () => {
    await using folder = new Folder();
    const file = folder.file("app.db");
    assert.equal((await run(["start", file, "--background"])).code, 0);
    const typed = (word: string, ...args: string[]) =>
      new Deno.Command("bash", {
        args: [
          "-c",
          `exec "$0" run -A --quiet --v8-flags=--expose-gc "$@" ${word}`,
          ...[Deno.execPath(), MAIN, ...args],
        ],
        cwd: folder.path,
        stdin: "null",
        signal: AbortSignal.timeout(30_000),
      }).output();
    const wrong = [
      await typed("$'x\\xff.db'", "start"),
      await typed("$'x\\xff.db'", "status"),
      await typed("$'create table t\\xff (a)'", "exec", file),
    ];
    for (const { code, stderr } of wrong) {
      // From source older runtimes refuse them before the program has a say; not in the executable.
      const said = new TextDecoder().decode(stderr).split("\n")[0];
      assert.match(said, /^error: (An argument is not UTF-8: "|invalid UTF-8 was detected)/);
      assert.notEqual(code, 0);
    }
    assert.equal((await typed("$'create table \"\\uFFFD\" (a)'", "exec", file)).code, 0);
    const { stdout } = await run(["query", file, "select name from sqlite_schema", "--csv"]);
    assert.match(stdout, /^name\n.*\uFFFD\n/s);
    const names = [...Deno.readDirSync(folder.path)].map(({ name }) => name);
    assert.ok(names.every((name) => name.startsWith("app.db")), names.join());
  },
});

Deno.test({
  name: "start, status and shutdown print a name with control characters on one line, without them",
  ignore: Deno.build.os === "windows", // where no name has any
  fn: async () => {
    await using folder = new Folder();
    const file = folder.file("new\nline\x1b[31m.db");
    const shown = join(folder.path, "new\\x0aline\\x1b[31m.db");
    await using daemon = new Foreground(["start", file]);
    await daemon.ready(file);
    assert.ok((await run(["status", file])).stdout.includes(`\n${shown}\n`));
    assert.equal((await run(["shutdown", file])).stdout, `Ended: ${shown}\n`);
    assert.match((await daemon.ended()).stdout, /^Created .*\nServing .* at .*\n$/);
  },
});
