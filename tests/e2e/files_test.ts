import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { endpointOf } from "../../client/endpoint.ts";
import { executable, startDaemon } from "../daemon_fixture.ts";
import { WireClient } from "../wire_client.ts";
import { type CommandResult, runCommand } from "./command.ts";
import { daemonTest, exec, within } from "./daemon_case.ts";

/** A test with an empty folder of its own. */
function folderTest(
  name: string,
  body: (folder: string) => Promise<void>,
  options: { ignore?: boolean } = {},
): void {
  Deno.test(name, options, () =>
    within(90_000, async () => {
      const folder = await Deno.makeTempDir({ prefix: "skylinedb-files-" });
      try {
        await body(await Deno.realPath(folder));
      } finally {
        await Deno.remove(folder, { recursive: true });
      }
    }));
}

function names(folder: string): string[] {
  return [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
}

daemonTest(
  "start leaves the database, its log and its index in the folder, and nothing else",
  async (it) => {
    const { folder, file } = it.daemon;
    assert.deepEqual(names(folder), ["app.db", "app.db-shm", "app.db-wal"]);
    await it.exec("create table t(a)", "insert into t values ('é')");
    for (let i = 0; i < 50; i++) await it.exec(["insert into t values (?)", "x".repeat(10_000)]);
    assert.deepEqual(names(folder), ["app.db", "app.db-shm", "app.db-wal"]);
    assert.equal((await it.client.ask({ type: "Shutdown" }, 10_000)).status, "ok");
    assert.deepEqual(names(folder), ["app.db"], "at the answer already");
    assert.equal((await it.daemon.child.status).code, 0);
    assert.deepEqual(names(folder), ["app.db"]);
    using direct = new DatabaseSync(file, { readOnly: true });
    assert.equal(direct.prepare("select count(*) as n from t").get()!.n, 51);
  },
);

daemonTest("start makes the database readable and writable for its user alone", async (it) => {
  for (const name of names(it.daemon.folder)) {
    const { mode } = await Deno.lstat(join(it.daemon.folder, name));
    assert.equal(mode! & 0o077, 0, `${name} has mode ${mode!.toString(8)}`);
  }
  const { mode } = await Deno.lstat(it.daemon.endpoint);
  assert.equal(mode! & 0o777, 0o600);
}, { ignore: Deno.build.os === "windows" });

const python = await new Deno.Command("python3", {
  args: ["-c", "import sqlite3; print(sqlite3.sqlite_version)"],
}).output().then(({ success }) => success, () => false);
if (!python) console.log("Skipping reads by Python: there is no python3 with sqlite3");

daemonTest("ExecBatch is read at once from the file by Python", async (it) => {
  await it.exec("create table t(a)");
  const reader = new Deno.Command("python3", {
    args: [
      "-c",
      "import sqlite3, sys\n" +
      "db = sqlite3.connect(sys.argv[1], timeout=5)\n" +
      "for _ in sys.stdin: print(db.execute('select max(a), count(*) from t').fetchone(), flush=True)",
      it.daemon.file,
    ],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const output = reader.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const line = async () => {
    let text = "";
    while (!text.endsWith("\n")) text += (await output.read()).value ?? "\n";
    return text.trim();
  };
  const ask = reader.stdin.getWriter();
  for (let i = 1; i <= 20; i++) {
    await it.exec(["insert into t values (?)", i]);
    await ask.write(new TextEncoder().encode("\n"));
    assert.equal(await line(), `(${i}, ${i})`);
  }
  await ask.close();
  await output.cancel();
  assert.equal((await reader.status).code, 0);
}, { ignore: !python });

/** What a start that cannot be done says: one line of what, one of what to do, exit code 5. */
function assertRefused(result: CommandResult, message: RegExp): void {
  assert.equal(result.code, 5, result.stderr + result.stdout);
  assert.match(result.stderr, message);
  assert.ok(!/^\s+at /m.test(result.stderr), "no stack");
  assert.doesNotMatch(result.stdout, /Serving/);
}

folderTest("start says what is wrong when a folder is named in place of a file", async (folder) => {
  assertRefused(await runCommand(["start", folder]), /Cannot open database .*: it is a folder/);
  assert.deepEqual(names(folder), []);
});

folderTest("start says what is wrong when the file's folder does not exist", async (folder) => {
  const file = join(folder, "missing", "app.db");
  const result = await runCommand(["start", file]);
  assertRefused(result, /Cannot open database .*app\.db: folder .*missing does not exist/);
  assert.match(result.stderr, /hint: /);
  assert.deepEqual(names(folder), [], "nothing was made");
  const below = join(folder, "file", "app.db");
  await Deno.writeTextFile(join(folder, "file"), "text");
  assertRefused(await runCommand(["start", below]), /file is not a folder|does not exist/);
});

folderTest("start leaves a file alone that is not a database", async (folder) => {
  const text = "This is a letter, and it is longer than the header of a database. ".repeat(20);
  for (const [name, content] of [["letter.txt", text], ["short.db", "no database\n"]]) {
    const file = join(folder, name);
    await Deno.writeTextFile(file, content);
    assertRefused(
      await runCommand(["start", file]),
      /Cannot open database .*not a SQLite database/,
    );
    assert.equal(await Deno.readTextFile(file), content);
  }
  assert.deepEqual(names(folder), ["letter.txt", "short.db"]);
});

folderTest("start says what is wrong when the database is damaged", async (folder) => {
  const file = join(folder, "app.db");
  const direct = new DatabaseSync(file);
  direct.exec("create table t(a); insert into t values (1)");
  direct.close();
  const bytes = await Deno.readFile(file);
  bytes.fill(0xee, 100, 4096); // the root page of the schema
  await Deno.writeFile(file, bytes);
  assertRefused(await runCommand(["start", file]), /Cannot open database .*: it is damaged/);
});

folderTest("start refuses a device and a socket", async (folder) => {
  assertRefused(await runCommand(["start", "/dev/null"]), /not a regular file/);
  const pipe = join(folder, "pipe");
  if (!(await new Deno.Command("mkfifo", { args: [pipe] }).output()).success) return;
  assertRefused(await runCommand(["start", pipe]), /not a regular file/);
}, { ignore: Deno.build.os === "windows" });

folderTest("start refuses a file with several names, and says how to find them", async (folder) => {
  const [file, other] = [join(folder, "app.db"), join(folder, "other.db")];
  const direct = new DatabaseSync(file);
  direct.exec("create table t(a)");
  direct.close();
  Deno.linkSync(file, other);
  const before = await Deno.readFile(file);
  for (const name of [file, other]) {
    const result = await runCommand(["start", name]);
    assertRefused(result, /Cannot open database .*: it has 2 names \(hard links\)/);
    assert.match(result.stderr, /hint: .*(-samefile|hardlink list)/);
  }
  assert.deepEqual(names(folder), ["app.db", "other.db"]);
  assert.deepEqual(await Deno.readFile(file), before);
  await Deno.remove(other);
  await using daemon = await startDaemon({ files: [file] });
  await using client = await WireClient.open(daemon.endpoint);
  await exec(client, "insert into t values (1)");
});

folderTest("start takes a database that exists, and an empty file", async (folder) => {
  const file = join(folder, "existing.db");
  const direct = new DatabaseSync(file);
  direct.exec("create table t(a); insert into t values (41)"); // not in WAL mode
  direct.close();
  await Deno.writeTextFile(join(folder, "empty.db"), "");
  await using daemon = await startDaemon({ files: [file, join(folder, "empty.db")] });
  await using client = await WireClient.open(daemon.endpoint);
  await exec(client, "update t set a = a + 1");
  assert.deepEqual((await client.ask({ type: "Query", sql: "select a from t" })).rows, [[42]]);
});

folderTest(
  "start serves a path with spaces, umlauts, quotes and a percent sign",
  async (folder) => {
    const inner = join(folder, "Größe 100% 'x' a%20b");
    await Deno.mkdir(inner);
    const file = join(inner, "Übung ? #1.db");
    await using daemon = await startDaemon({ files: [file] });
    assert.equal(daemon.endpoint, endpointOf(file));
    await using client = await WireClient.open(daemon.endpoint);
    await exec(client, "create table t(a)");
    assert.equal((await client.ask({ type: "Ping", db: "Übung ? #1.db" })).db_path, file);
    assert.deepEqual(names(inner), ["Übung ? #1.db", "Übung ? #1.db-shm", "Übung ? #1.db-wal"]);
    assert.deepEqual(names(folder), ["Größe 100% 'x' a%20b"]);
    assert.equal((await client.ask({ type: "Shutdown" })).status, "ok");
    await daemon.child.status;
    assert.deepEqual(names(inner), ["Übung ? #1.db"]);
  },
  { ignore: Deno.build.os === "windows" },
);

/** A user without rights: nobody. Only root may become it. */
const NOBODY = 65534;
const mayBecomeNobody = Deno.build.os === "linux" && Deno.uid() === 0 && executable !== undefined;
if (!mayBecomeNobody) console.log("Skipping what needs to become another user: not root on Linux");

folderTest("start says what is wrong when the file or its folder is read-only", async (folder) => {
  await Deno.chmod(folder, 0o777);
  const program = join(folder, "daemon"); // where nobody may reach it
  await Deno.copyFile(executable![0], program);
  await Deno.chmod(program, 0o755);
  const asNobody = (args: string[]) =>
    runCommand(args, { program: [program], uid: NOBODY, cwd: folder, env: { HOME: folder } });
  const data = join(folder, "data");
  await Deno.mkdir(data);
  const file = join(data, "app.db");
  const direct = new DatabaseSync(file);
  direct.exec("create table t(a)");
  direct.close();
  const before = await Deno.readFile(file);

  await Deno.chmod(data, 0o777);
  await Deno.chmod(file, 0o444);
  assertRefused(
    await asNobody(["start", file]),
    /Cannot open database .*read-only for this user/,
  );
  await Deno.chmod(file, 0o666);
  await Deno.chmod(data, 0o755);
  assertRefused(
    await asNobody(["start", file]),
    /Cannot open database .*no right to it, or to the folder that holds it/,
  );
  assertRefused(await asNobody(["start", join(data, "new.db")]), /may not create a file in/);
  await Deno.chmod(data, 0o700);
  assertRefused(await asNobody(["start", file]), /Cannot open database .*no right to it, or to/);
  assert.deepEqual(names(data), ["app.db"]);
  assert.deepEqual(await Deno.readFile(file), before);
}, { ignore: !mayBecomeNobody });

folderTest("start serves an ordinary user, and nobody else reaches its socket", async (folder) => {
  await Deno.chmod(folder, 0o755);
  const program = join(folder, "daemon");
  await Deno.copyFile(executable![0], program);
  await Deno.chmod(program, 0o755);
  const data = join(folder, "data");
  await Deno.mkdir(data);
  await Deno.chmod(data, 0o777);
  const file = join(data, "app.db");
  const child = new Deno.Command(program, {
    args: ["start", file],
    uid: NOBODY,
    gid: NOBODY,
    cwd: folder,
    env: { HOME: folder },
    stdin: "null",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  try {
    const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    const { value } = await reader.read();
    const endpoint = /^Serving .* at (.*)$/m.exec(value ?? "")?.[1];
    assert.ok(endpoint, `it says where it serves: ${value}`);
    await reader.cancel();
    const [socket, parent] = [await Deno.lstat(endpoint), await Deno.lstat(join(endpoint, ".."))];
    assert.deepEqual([socket.uid, socket.mode! & 0o777], [NOBODY, 0o600]);
    assert.deepEqual([parent.uid, parent.mode! & 0o777], [NOBODY, 0o700]);
    await using client = await WireClient.open(endpoint); // root may
    await exec(client, "create table t(a)");
    assert.equal((await client.ask({ type: "Shutdown" })).status, "ok");
    assert.equal((await child.status).code, 0);
  } finally {
    try {
      child.kill("SIGKILL");
    } catch {
      // It has ended, as it should.
    }
    await child.status;
  }
}, { ignore: !mayBecomeNobody });

daemonTest("shutdown with --keep-wal leaves -wal and -shm", async (it) => {
  await it.exec("create table t(a)", "insert into t values (1)");
  assert.equal((await it.client.ask({ type: "Shutdown" })).status, "ok");
  assert.equal((await it.daemon.child.status).code, 0);
  assert.deepEqual(names(it.daemon.folder), ["app.db", "app.db-shm", "app.db-wal"]);
  using direct = new DatabaseSync(it.daemon.file, { readOnly: true });
  assert.equal(direct.prepare("select count(*) as n from t").get()!.n, 1);
}, { args: ["--keep-wal"] });
