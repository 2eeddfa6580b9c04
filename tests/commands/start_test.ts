import assert from "node:assert/strict";
import { join } from "node:path";
import { Folder, Foreground, run } from "./command_line.ts";

const WINDOWS = Deno.build.os === "windows";

Deno.test("start prints where it serves and logs events when it is given a file alone", async () => {
  await using folder = new Folder();
  const file = folder.file("app.db");
  await using daemon = new Foreground(["app.db"], { cwd: folder.path });
  await daemon.ready(file);
  const endpoint = (await run(["endpoint", file])).stdout.trim();
  assert.equal((await run(["shutdown", file])).code, 0);
  const { code, stdout, stderr } = await daemon.ended();
  assert.equal(code, 0);
  assert.equal(stdout, `Created ${file}\nServing ${file} at ${endpoint}\n`);
  assert.match(stderr, /^\d{4}-\d\d-\d\dT[\d:.]+Z info +skylinedb: Serving .*\n/m);
});

Deno.test("start says Created of the files alone that it made, an empty one was there", async () => {
  await using folder = new Folder();
  const [empty, old, made] = ["empty.db", "old.db", "made.db"].map((name) => folder.file(name));
  Deno.writeTextFileSync(empty, "");
  await using first = new Foreground(["start", old]);
  await first.ready(old);
  assert.equal((await run(["shutdown", old])).code, 0);
  await using daemon = new Foreground(["start", empty, old, made]);
  await daemon.ready(made);
  const { databases } = JSON.parse((await run(["status", made, "--json"])).stdout);
  assert.equal((await run(["shutdown", made])).code, 0);
  const { stdout, stderr } = await daemon.ended();
  assert.deepEqual(stdout.match(/^Created .*/mg), [`Created ${made}`]);
  assert.equal(stderr.match(/Created/g)?.length, 1, stderr);
  assert.deepEqual(
    databases.map(({ path, created }: { path: string; created: boolean }) => [path, created]),
    [[empty, false], [old, false], [made, true]],
  );
});

Deno.test("start serves under a second name when it is given --pipe", async () => {
  await using folder = new Folder();
  const file = folder.file("app.db");
  const name = `skylinedb-test-${Deno.pid}`;
  await using daemon = new Foreground(["start", file, "--pipe", name]);
  await daemon.ready(file);
  const { connect } = await import("../../client/mod.ts");
  await using database = await connect({ pipe: name });
  assert.equal((await database.status()).databases[0].path, file);
});

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  Deno.test({
    name: `start ends in order when it gets ${signal}`,
    ignore: WINDOWS, // where a process cannot be sent one
    fn: async () => {
      await using folder = new Folder();
      const file = folder.file("app.db");
      await using daemon = new Foreground(["start", file]);
      await daemon.ready(file);
      await run(["exec", file, "create table t (a)"]);
      daemon.kill(signal);
      const { code, stderr } = await daemon.ended();
      assert.equal(code, 0, stderr);
      assert.match(stderr, new RegExp(`signal=${signal}`));
      assert.deepEqual([...Deno.readDirSync(folder.path)].map(({ name }) => name), ["app.db"]);
    },
  });
}

Deno.test("start names the daemon that has the file, exit code 3, when one serves it", async () => {
  await using folder = new Folder();
  const file = folder.file("app.db");
  await using daemon = new Foreground(["start", file]);
  await daemon.ready(file);
  const endpoint = (await run(["endpoint", file])).stdout.trim();
  const startedAt = performance.now();
  const { code, stdout, stderr } = await run(["start", join(folder.path, ".", "app.db")]);
  assert.ok(performance.now() - startedAt < 10_000);
  assert.equal(code, 3);
  assert.equal(stdout, "");
  assert.match(stderr, new RegExp(`^error: A daemon \\(pid ${daemon.pid}\\) serves `, "m"));
  assert.ok(stderr.includes(`, at ${endpoint}\nhint: `), stderr);
});

Deno.test("start names the options that a daemon runs without, exit code 3, when it is asked for others", async () => {
  await using folder = new Folder();
  const file = folder.file("app.db");
  const log = join(folder.path, "app.log");
  await using daemon = new Foreground(["start", file, "--durability", "normal", "--keep-wal"]);
  await daemon.ready(file);
  const others = [
    ...["--durability", "full", "--wal-limit", "64MiB", "--close-idle", "90s"],
    ...["--exit-when-idle", "2h", "--foreign-keys", "off", "--keep-wal", "--log-file", log],
    ...["--pipe", "other", "--log-level", "debug"],
  ];
  const endpoint = (await run(["endpoint", file])).stdout.trim();
  const expected =
    `error: A daemon (pid ${daemon.pid}) serves ${file} already, at ${endpoint}, with other options: ` +
    `--pipe is none, not other; --log-file is standard error, not ${log}; --durability is normal, not full; ` +
    "--foreign-keys is on, not off; --wal-limit is 1GiB, not 64MiB; --close-idle is 5m, not 90s; " +
    "--exit-when-idle is off, not 2h; --log-level is info, not debug\nhint: ";
  for (const background of [[], ["--background"]]) {
    const { code, stdout, stderr } = await run(["start", file, ...others, ...background]);
    assert.equal(code, 3);
    assert.equal(stdout, "");
    assert.ok(stderr.startsWith(expected), stderr);
  }
  // The environment asks too, and what is the same is no difference.
  const env = { SKYLINEDB_DURABILITY: "full", SKYLINEDB_KEEP_WAL: "on" };
  const { code, stderr } = await run(["start", file], { env });
  assert.equal(code, 3);
  assert.match(stderr, /with other options: --durability is normal, not full\n/);
});

Deno.test("start says why, exit code 5, when the database cannot be opened", async () => {
  await using folder = new Folder();
  const file = join(folder.path, "missing", "app.db");
  const { code, stderr } = await run(["start", file]);
  assert.equal(code, 5);
  assert.match(stderr, /^error: Cannot open .*missing does not exist\nhint: /m);
});

Deno.test("start says why, exit code 5, when the log file cannot be opened", async () => {
  await using folder = new Folder();
  const log = join(folder.path, "missing", "app.log");
  const { code, stderr } = await run([folder.file("app.db"), "--log-file", log]);
  assert.equal(code, 5);
  assert.ok(stderr.startsWith(`error: Cannot open the log file ${log}: `), stderr);
});

Deno.test("start refuses to write its log into a database, under whatever name", async () => {
  await using folder = new Folder();
  const [served, other] = [folder.file("app.db"), folder.file("other.db")];
  assert.equal((await run(["start", other, "--background"])).code, 0);
  assert.equal((await run(["exec", other, "create table t (a)"])).code, 0);
  assert.equal((await run(["shutdown", other])).code, 0);
  const before = Deno.readFileSync(other);
  const link = WINDOWS ? served : join(folder.path, "link.log");
  if (!WINDOWS) Deno.symlinkSync(served, link);
  const refused: [string, string][] = [
    ...["app.db", "app.db-wal", "app.db-shm", "app.db-journal"].map((name): [string, string] => [
      ...[served, join(folder.path, name)] as const,
    ]),
    [served, other],
    [other, other],
  ];
  for (const [file, log] of refused) {
    const { code, stderr } = await run(["start", file, "--log-file", log]);
    assert.equal(code, 5, stderr);
    assert.ok(stderr.startsWith(`error: Cannot open the log file ${log}: it is `), stderr);
  }
  Deno.writeTextFileSync(served, "");
  const { code } = await run(["start", served, "--log-file", link]);
  assert.equal(code, 5, "an empty file that is to be one");
  assert.deepEqual(Deno.readFileSync(other), before);
  assert.equal(Deno.readTextFileSync(served), "");
});

Deno.test("start appends to the log file, with the reason when it cannot serve", async () => {
  await using folder = new Folder();
  const log = join(folder.path, "app.log");
  Deno.writeTextFileSync(log, "before\n");
  await run(["start", join(folder.path, "missing", "app.db"), "--log-file", log]);
  assert.match(
    Deno.readTextFileSync(log),
    /^before\n.* error +skylinedb: The daemon ends error="Cannot open /,
  );
});

Deno.test({
  name: "start goes on serving when nobody reads what it prints",
  ignore: WINDOWS, // no shell that closes standard handles
  fn: async () => {
    await using folder = new Folder();
    const file = folder.file("app.db");
    const { command } = await import("./command_line.ts");
    const child = command(["start", file], { stdin: "null", stdout: "piped", stderr: "piped" })
      .spawn();
    await child.stdout.cancel();
    await child.stderr.cancel();
    while ((await run(["ping", file])).code !== 0);
    assert.equal((await run(["shutdown", file])).code, 0);
    assert.equal((await child.status).code, 0);
  },
});

Deno.test({
  name: "start refuses names that SQLite uses otherwise, exit code 5, and makes no file",
  ignore: WINDOWS, // where a colon is in no name
  fn: async () => {
    await using folder = new Folder();
    for (const name of [":memory:", "file:x", "app.db-wal", "app.db-shm", "app.db-journal"]) {
      const { code, stderr } = await run(["start", name], { cwd: folder.path });
      assert.equal(code, 5, stderr);
      assert.match(
        stderr,
        /^error: Cannot open .*: (a daemon serves|SQLite gives) .*\nhint: Name /,
      );
    }
    assert.deepEqual([...Deno.readDirSync(folder.path)], []);
  },
});
