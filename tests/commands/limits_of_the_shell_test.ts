import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { Folder, run } from "./command_line.ts";

const MAIN = fileURLToPath(new URL("../../daemon/main.ts", import.meta.url));
const WINDOWS = Deno.build.os === "windows";

/** A daemon that a shell starts after `before`; without the code cache, which a low `ulimit -f` would stop Deno from writing. */
async function startAfter(before: string, file: string): Promise<Deno.ChildProcess> {
  const child = new Deno.Command("sh", {
    args: [
      "-c",
      `${before}; exec "$0" run -A --quiet --no-code-cache "$1" start "$2"`,
      Deno.execPath(),
      MAIN,
      file,
    ],
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  const giveUpAt = performance.now() + 30_000;
  while ((await run(["ping", file])).code !== 0) assert.ok(performance.now() < giveUpAt);
  return child;
}

Deno.test({
  name: "a write past the limit of a file's size fails, and the daemon goes on",
  ignore: WINDOWS,
  fn: async () => {
    await using folder = new Folder();
    const file = folder.file("app.db");
    const child = await startAfter("ulimit -f 40000", file);
    assert.equal((await run(["exec", file, "create table t (a)"])).code, 0);
    const large = await run([
      "exec",
      file,
      "with n(i) as (select 1 union all select i + 1 from n where i < 40) insert into t select zeroblob(1000000) from n",
    ]);
    assert.equal(large.code, 1, large.stderr);
    assert.match(
      large.stderr,
      /^error: Statement 0: a file of the database has the largest size that it may have, .*\nhint: Raise /,
    );
    const small = await run(["exec", file, "insert into t values (1)"]);
    assert.equal(small.code, 0, small.stderr);
    assert.equal((await run(["shutdown", file])).code, 0);
    assert.equal((await child.status).code, 0);
  },
});

Deno.test({
  name: "a daemon that was started to ignore SIGHUP, as by nohup, goes on after it",
  ignore: WINDOWS,
  fn: async () => {
    await using folder = new Folder();
    const file = folder.file("app.db");
    const child = await startAfter("trap '' HUP", file);
    child.kill("SIGHUP");
    assert.equal((await run(["exec", file, "create table t (a)"])).code, 0);
    assert.equal((await run(["shutdown", file])).code, 0);
    assert.equal((await child.status).code, 0);
  },
});
