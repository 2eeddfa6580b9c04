import assert from "node:assert/strict";
import { join } from "node:path";
import type { Outcome } from "./command_line.ts";

/** The first program under a new Wine prefix waits 12 s for the prefix. */
const COMMAND_MS_MAX = 60_000;

type Run = (folder: string, ...args: string[]) => Promise<Outcome>;

/** Runs an executable with its output in files: what Wine starts would keep a pipe open as long as the daemon lives. */
function runner(...program: string[]): Run {
  return async (folder, ...args) => {
    const { code } = await new Deno.Command("sh", {
      args: ["-c", 'exec "$@" >out.txt 2>err.txt </dev/null', "sh", ...program, ...args],
      cwd: folder,
      stdout: "null",
      stderr: "null",
      signal: AbortSignal.timeout(COMMAND_MS_MAX),
    }).output();
    const read = (name: string) =>
      Deno.readTextFileSync(join(folder, name)).replaceAll("\r\n", "\n");
    return { code, stdout: read("out.txt"), stderr: read("err.txt") };
  };
}

/** A daemon's life by the commands alone. */
async function liveAndEnd(run: Run, spelling: string): Promise<void> {
  const folder = Deno.realPathSync(Deno.makeTempDirSync({ prefix: "skylinedb-exe-" }));
  try {
    const started = await run(folder, "start", "app.db", "--background", "--log-file", "app.log");
    assert.equal(started.code, 0, started.stderr);
    const ready = JSON.parse(started.stdout);
    const again = await run(folder, spelling, "--background");
    assert.equal(JSON.parse(again.stdout).pid, ready.pid, again.stderr);
    const refused = await run(folder, "start", spelling);
    assert.equal(refused.code, 3);
    assert.ok(refused.stderr.includes(`(pid ${ready.pid})`), refused.stderr);
    assert.ok(refused.stderr.includes(ready.endpoint), refused.stderr);

    const written = await run(
      folder,
      "exec",
      spelling,
      "create table t (a)",
      "insert into t values (1)",
    );
    assert.equal(written.stdout, "1 row changed, revision 1\n", written.stderr);
    const queried = await run(folder, "query", "app.db", "select a from t");
    assert.ok(queried.stdout.includes("│ 1 │"), queried.stdout + queried.stderr);
    const listed = JSON.parse((await run(folder, "list", "--json")).stdout) as { pid: number }[];
    assert.equal(listed.filter(({ pid }) => pid === ready.pid).length, 1);

    const ended = await run(folder, "shutdown", "app.db");
    assert.match(ended.stdout, /^Ended: .*app\.db\n$/, ended.stderr);
    assert.equal((await run(folder, "ping", "app.db")).code, 4);
    assert.match(Deno.readTextFileSync(join(folder, "app.log")), /Serving/);
    const missing = await run(folder, "start", join("missing", "app.db"), "--background");
    assert.equal(missing.code, 5);
    assert.match(missing.stderr, /^error: Cannot open .*missing does not exist\nhint: /);
  } finally {
    await run(folder, "shutdown", "app.db");
    Deno.removeSync(folder, { recursive: true });
  }
}

const exe = Deno.env.get("SKYLINEDB_TEST_EXE");
const windowsExe = Deno.env.get("SKYLINEDB_TEST_EXE_WINDOWS");
const wine = Deno.env.get("SKYLINEDB_TEST_WINE");
const native = Boolean(exe) && Deno.build.os !== "windows";
const emulated = Boolean(windowsExe && wine);
if (!native) console.log("Skipping the commands of the executable: SKYLINEDB_TEST_EXE is not set");
if (!emulated) {
  console.log(
    "Skipping the commands of the Windows executable: SKYLINEDB_TEST_EXE_WINDOWS is not set",
  );
}

Deno.test({
  name: "the executable starts, serves, lists and ends a daemon of its own",
  ignore: !native,
  fn: () => liveAndEnd(runner(exe!), "./app.db"),
});

Deno.test({
  name: "the Windows executable starts, serves, lists and ends a daemon of its own",
  ignore: !emulated,
  fn: () => liveAndEnd(runner(wine!, windowsExe!), "APP.DB"),
});
