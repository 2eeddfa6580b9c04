import assert from "node:assert/strict";
import { join } from "node:path";
import { Folder, run } from "./command_line.ts";

Deno.test("ping, status and list tell of the daemon when it serves", async () => {
  await using folder = new Folder();
  const file = folder.file("app.db");
  const { endpoint, pid, version } = JSON.parse((await run([file, "--background"])).stdout);
  await run(["exec", file, "create table t (a)"]);

  const ping = await run(["ping", file]);
  assert.equal(ping.code, 0);
  assert.match(ping.stdout, /^ok in \d+\.\d ms: /);
  assert.ok(ping.stdout.endsWith(`: skylinedb-daemon ${version}, pid ${pid}, at ${endpoint}\n`));

  const status = await run(["status", file]);
  assert.equal(status.code, 0);
  assert.match(status.stdout, new RegExp(`^skylinedb-daemon ${version}, SQLite 3\\.`));
  assert.ok(status.stdout.includes(`\n${file}\n`));
  assert.match(status.stdout, /\n {2}revision +1\n/);

  const json = JSON.parse((await run(["status", file, "--json"])).stdout);
  assert.equal(json.pid, pid);
  assert.equal(json.databases[0].endpoint, endpoint);
  assert.equal(json.databases[0].rev, 1);

  const listed = JSON.parse((await run(["list", "--json"])).stdout) as { path: string }[];
  assert.deepEqual(listed.filter(({ path }) => path === file), [{ endpoint, pid, path: file }]);
  const table = await run(["list"]);
  assert.match(table.stdout, /│ pid +│ database|│ +pid │ database/);
  assert.ok(table.stdout.includes(` ${pid} │ ${file} `));

  const ended = await run(["shutdown", file]);
  assert.deepEqual(ended, { code: 0, stdout: `Ended: ${file}\n`, stderr: "" });
  assert.ok(!(await run(["list", "--json"])).stdout.includes(`"pid":${pid},`));
  assert.equal((await run(["ping", file])).code, 4);
});

Deno.test("endpoint prints the same for every spelling of an existing file", async () => {
  await using folder = new Folder();
  const file = join(folder.path, "app.db");
  assert.equal((await run(["endpoint", file])).code, 4);
  Deno.writeTextFileSync(file, "");
  const { code, stdout } = await run(["endpoint", file]);
  assert.equal(code, 0);
  assert.match(stdout, /^\S*[\\/](skylinedb-)?[0-9a-f]{16}(\.sock)?\n$/);
  assert.equal((await run(["endpoint", "./app.db"], { cwd: folder.path })).stdout, stdout);
});

Deno.test("commands say that a folder is none of a daemon's files, and not how to start one", async () => {
  await using folder = new Folder();
  for (const args of [["status"], ["ping"], ["shutdown"], ["query", "select 1"]]) {
    const [command, ...others] = args;
    const { code, stderr } = await run([command, folder.path, ...others]);
    assert.equal(
      stderr,
      `error: No daemon serves ${folder.path}: it is a folder\nhint: Name a database file in it, such as app.db\n`,
    );
    assert.equal(code, 4);
  }
});
