/** Holds README.md to what the programs do. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { EXIT } from "../../daemon/commands/exit_code.ts";
import { findNode, findPython } from "../../examples/shop/programs.ts";
import { type DaemonFixture, executable, source, startDaemon } from "../daemon_fixture.ts";
import { codeBlocks, names, readDocument, tableRows } from "./document.ts";

const README = readDocument("README.md");
const [node, python] = await Promise.all([findNode(), findPython()]);
const skipped = node === null ? "there is no Node from 22.18 on" : "there is no Python 3";
const canRun = node !== null && python !== null;

Deno.test("README.md has the exit codes of the program", () => {
  const documented = tableRows(README, "exit code").map(([code]) => Number(code));
  assert.deepEqual(documented, Object.values(EXIT));
});

Deno.test("README.md has the environment variables that the sources read", async () => {
  const documented = tableRows(README, "environment variable").flatMap(([name]) => names(name));
  const found = new Set(
    [
      ...["PIPE", "DURABILITY", "FOREIGN_KEYS", "KEEP_WAL", "WAL_LIMIT", "CLOSE_IDLE"],
      ...["EXIT_WHEN_IDLE", "LOG_FILE", "LOG_LEVEL"],
    ].map((name) => `SKYLINEDB_${name}`),
  );
  for (const file of ["daemon/process/config.ts", "daemon/sqlite/library.ts"]) {
    const text = await Deno.readTextFile(new URL(`../../${file}`, import.meta.url));
    for (const [name] of text.matchAll(/SKYLINEDB_[A-Z_]+[A-Z]/g)) found.add(name);
  }
  assert.deepEqual(documented.toSorted(), [...found].sort());
});

Deno.test("README.md's links lead to files that exist", async () => {
  for (const [, target] of README.matchAll(/\]\((?!https?:)([^)#]+)/g)) {
    await Deno.stat(new URL(`../../${target}`, import.meta.url));
  }
});

Deno.test({
  name: `README.md's first screen works as it stands${canRun ? "" : ` (skipped: ${skipped})`}`,
  ignore: !canRun,
  fn: async () => {
    await using daemon = await startDaemon();
    await Deno.mkdir(join(daemon.folder, "data"));
    const program = executable ?? source;
    const commands = codeBlocks(README, "sh")[0].trim().split("\n").map(argumentsOf);
    assert.equal(commands.length, 3);
    try {
      for (const args of commands) await run(daemon, program[0], [...program.slice(1), ...args]);
      await runExamples(daemon);
    } finally {
      await run(daemon, program[0], [...program.slice(1), "shutdown", "data/app.db"]);
    }
  },
});

async function runExamples(daemon: DaemonFixture): Promise<void> {
  const write = (name: string, text: string) => Deno.writeTextFile(join(daemon.folder, name), text);
  const client = new URL("../../mod.ts", import.meta.url).href;
  const [example] = codeBlocks(README, "ts");
  await write("example.ts", example.replace('"@skylinedb/client"', JSON.stringify(client)));
  const [, protocol] = codeBlocks(readDocument("docs/protocol.md"), "python");
  await write("skylinedb.py", protocol);
  const [writing, reading] = codeBlocks(README, "python");
  await write("writing.py", writing);
  await write("reading.py", reading);

  const deno = ["run", "--no-lock", "-A", "example.ts"];
  assert.match(await run(daemon, Deno.execPath(), deno), /oat milk.*bread/s);
  assert.match(await run(daemon, node!, ["example.ts"]), /oat milk.*bread.*oat milk.*bread/s);
  const rows = [["oat milk"], ["bread"], ["oat milk"], ["bread"], ["eggs"]];
  const printed = await run(daemon, python!, ["writing.py"]);
  assert.deepEqual(JSON.parse(printed.replaceAll("'", '"')), rows);
  assert.equal((await run(daemon, python!, ["reading.py"])).trim(), "(5,)");
}

/** The arguments of a line `skylinedb-daemon … # what it does`. */
function argumentsOf(line: string): string[] {
  const [program, ...args] = line.replace(/\s+#.*/, "").match(/"[^"]*"|\S+/g)!;
  assert.equal(program, "skylinedb-daemon");
  return args.map((arg) => arg.replaceAll('"', ""));
}

async function run({ folder }: DaemonFixture, command: string, args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(command, {
    args,
    cwd: folder,
    signal: AbortSignal.timeout(20_000),
  }).output();
  const decoder = new TextDecoder();
  assert.ok(success, `${command} ${args.join(" ")}:\n${decoder.decode(stderr)}`);
  return decoder.decode(stdout);
}
