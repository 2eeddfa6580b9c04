/** One daemon for a file, whoever starts it and wherever; and others are told who that is. */
import assert from "node:assert/strict";
import { mkdtempSync, realpathSync, rmSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { connect, SkylineError } from "../../client/mod.ts";
import { fileIdentity } from "../../daemon/process/file_identity.ts";
import { executable, type Program, source, startDaemon } from "../daemon_fixture.ts";
import {
  asUser,
  elsewhere,
  mayRunElsewhere,
  NOBODY,
  withPrivateTmp,
  withSession,
} from "../elsewhere.ts";
import { WireClient } from "../wire_client.ts";
import { runCommand } from "./command.ts";
import { daemonTest, exec, until, within } from "./daemon_case.ts";

const pipeName = `skylinedb-test-${crypto.randomUUID()}`;
const otherName = `skylinedb-test-${crypto.randomUUID()}`;
const program: Program = executable ?? source;

/** A test with a database file that is seen wherever /tmp is another. */
function ownerTest(name: string, body: (file: string) => Promise<void>): void {
  Deno.test(name, { ignore: !mayRunElsewhere }, () =>
    within(90_000, async () => {
      const folder = realpathSync(mkdtempSync("/var/tmp/skylinedb-owner-"));
      try {
        await body(join(folder, "app.db"));
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    }));
}

/** A second daemon on the file, and a program that looks for the first, each where it is `there`. */
async function assertRefused(
  file: string,
  pid: number,
  there: Program,
  says: RegExp,
): Promise<void> {
  for (const args of [["start", file], ["start", "--background", file], ["status", file]]) {
    const { code, stdout, stderr } = await runCommand(args, { program: there });
    const what = `${args.join(" ")}: ${code} ${stdout} ${stderr}`;
    const isStranger = says.source.includes("user");
    assert.equal(code, args[0] === "start" || isStranger ? 5 : 4, what);
    assert.match(stderr, says, what);
    assert.ok(stderr.includes(`pid ${pid}`), what);
    assert.ok(!stderr.includes("Start it"), what);
  }
}

ownerTest(
  "start is refused where /tmp is another one, as for a service with PrivateTmp",
  async (file) => {
    await using daemon = await startDaemon({ files: [file], program });
    await assertRefused(file, daemon.pid, withPrivateTmp(program), /does not listen where this/);
  },
);

ownerTest("start is refused when the daemon has a private /tmp itself", async (file) => {
  await using daemon = await startDaemon({ files: [file], program: withPrivateTmp(program) });
  await assertRefused(file, daemon.pid, program, /does not listen where this program looks/);
});

ownerTest(
  "start is refused, and NO_PERMISSION said, when root has the file of another user",
  async (file) => {
    await using daemon = await startDaemon({ files: [file], program });
    await assertRefused(file, daemon.pid, asUser(program, NOBODY), /daemon of user 0 /);
  },
);

ownerTest(
  "start is refused, and NO_PERMISSION said, when another user has the file of root",
  async (file) => {
    await using daemon = await startDaemon({ files: [file], program: asUser(program, NOBODY) });
    await assertRefused(file, daemon.pid, program, new RegExp(`daemon of user ${NOBODY} `));
    await assert.rejects(
      connect(file),
      (error) =>
        error instanceof SkylineError && error.code === "NO_PERMISSION" &&
        error.message.includes(`user ${NOBODY} (pid ${daemon.pid})`),
    );
  },
);

ownerTest(
  "start is refused in another container, where the file has another name",
  async (file) => {
    await using daemon = await startDaemon({ files: [file], program });
    const folder = join(file, "..");
    const there = elsewhere(
      ["unshare", "--pid", "--fork", "--mount-proc", ...program],
      `mount -t tmpfs none /tmp; mkdir /tmp/volume; mount --bind ${folder} /tmp/volume`,
    );
    const { code, stderr } = await runCommand(["start", "/tmp/volume/app.db"], { program: there });
    assert.equal(code, 5, stderr);
    assert.match(stderr, /serves \/tmp\/volume\/app\.db/);
    await using client = await WireClient.open(daemon.endpoint);
    await exec(client, "create table t(a)");
  },
);

ownerTest(
  "a daemon from before the login is found after it, and no second one starts",
  async (file) => {
    await using daemon = await startDaemon({ files: [file], program });
    const there = withSession(program, 0);
    const { code, stdout, stderr } = await runCommand(["endpoint", file], { program: there });
    assert.deepEqual([code, stdout.trim()], [0, daemon.endpoint], stderr);
    for (const command of ["ping", "status"]) {
      const answer = await runCommand([command, file], { program: there });
      assert.equal(answer.code, 0, answer.stderr);
    }
    const list = await runCommand(["list"], { program: there });
    assert.ok(list.stdout.includes(file), list.stdout);
    const second = await runCommand(["start", file], { program: there });
    assert.equal(second.code, 3, second.stderr);
    assert.ok(second.stderr.includes(String(daemon.pid)), second.stderr);
  },
);

ownerTest("a file that is a mount of its own is refused", async (file) => {
  Deno.writeTextFileSync(file, "");
  const there = elsewhere(program, `touch ${file}.mounted; mount --bind ${file} ${file}.mounted`);
  const { code, stderr } = await runCommand(["start", `${file}.mounted`], { program: there });
  assert.equal(code, 5, stderr);
  assert.match(stderr, /mounted by itself, without its folder/);
});

const UNIX = Deno.build.os !== "windows";

/** The notice beside a daemon's socket. */
function noticeOf(endpoint: string, file: string): string {
  return join(endpoint, "..", `${fileIdentity(file).key}.lock`);
}

function inodeOf(path: string): number | null | undefined {
  try {
    return Deno.lstatSync(path).ino;
  } catch {
    return undefined;
  }
}

daemonTest(
  "a socket and a notice that were removed are there again, and connections go on",
  async (it) => {
    const { endpoint, file } = it.daemon;
    const second = join(endpoint, "..", `${pipeName}.sock`);
    const notice = noticeOf(endpoint, file);
    await it.exec("create table t(a)");
    for (let round = 0; round < 2; round++) {
      for (const path of [endpoint, second, notice]) Deno.removeSync(path);
      await until(() => [endpoint, second, notice].every((path) => inodeOf(path) !== undefined));
      for (const path of [endpoint, second]) {
        await using client = await WireClient.open(path);
        await exec(client, `insert into t values (${round})`);
        assert.equal(Deno.lstatSync(path).mode! & 0o777, 0o600);
      }
      await it.exec("insert into t values (9)");
      const { stdout } = await runCommand(["list"]);
      assert.ok(stdout.includes(file), stdout);
    }
    assert.equal((await it.client.ask({ type: "Shutdown" })).status, "ok");
    await it.daemon.child.status;
    for (const path of [endpoint, second, notice]) assert.equal(inodeOf(path), undefined, path);
  },
  { args: ["--pipe", pipeName], ignore: !UNIX },
);

daemonTest(
  "a daemon leaves alone what is another's: a socket that took the place of its own",
  async (it) => {
    const { endpoint } = it.daemon;
    const name = join(endpoint, "..", `${otherName}.sock`);
    Deno.removeSync(name);
    const another = Deno.listen({ transport: "unix", path: name });
    try {
      const inode = inodeOf(name);
      await until(() => it.daemon.log().includes("another process listens there"));
      assert.equal((await it.client.ask({ type: "Shutdown" })).status, "ok");
      await it.daemon.child.status;
      assert.equal(inodeOf(name), inode);
      assert.equal(inodeOf(endpoint), undefined);
    } finally {
      another.close();
    }
  },
  { args: ["--pipe", otherName], ignore: !UNIX },
);

ownerTest("a daemon is found again after a logout took its folder away", async (file) => {
  // The mounts are the daemon's: it is told by a file to end the session.
  const folder = join(file, "..");
  const logout = `(while test ! -e ${folder}/logout; do sleep 0.1; done; umount -l /run/user) &`;
  const there = elsewhere(
    program,
    `mount -t tmpfs none /run/user; mkdir -m 700 /run/user/0; ${logout} true`,
  );
  await using daemon = await startDaemon({ files: [file], program: there });
  assert.match(daemon.endpoint, /^\/run\/user\/0\/skylinedb\//);
  Deno.writeTextFileSync(join(folder, "logout"), "");
  const { stdout } = await runCommand(["endpoint", file]);
  await until(() => inodeOf(stdout.trim()) !== undefined);
  assert.match(stdout, /^\/tmp\//);
  await using client = await WireClient.open(stdout.trim());
  assert.equal((await client.ask({ type: "Status" })).databases[0].endpoint, stdout.trim());
  await exec(client, "create table t(a)");
  await until(async () => (await runCommand(["list"])).stdout.includes(stdout.trim()));
});

daemonTest("a file that was moved while it was served gets no successor", async (it) => {
  const { file, folder, pid } = it.daemon;
  await it.exec("create table t(a)", "insert into t values (1)");
  Deno.renameSync(file, join(folder, "b.db"));
  const before = [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
  for (
    const args of [["start", file], ["start", "--background", file], ["start", `${folder}/b.db`]]
  ) {
    const { code, stderr } = await runCommand(args);
    assert.equal(code, 5, `${args}: ${stderr}`);
    assert.ok(stderr.includes(`shutdown --pid ${pid}`), `${args}: ${stderr}`);
  }
  for (
    const args of [["status", file], ["ping", file], ["exec", file, "insert into t values (2)"]]
  ) {
    const { stderr } = await runCommand(args);
    assert.ok(!/start/i.test(stderr) || stderr.includes(`--pid ${pid}`), `${args}: ${stderr}`);
  }
  const moved = await runCommand(["query", `${folder}/b.db`, "select 1"]);
  assert.equal(moved.code, 4);
  assert.ok(moved.stderr.includes(`shutdown --pid ${pid}`), moved.stderr);
  assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name).sort(), before);
  const wrong = await runCommand(["shutdown", "--pid", "1"]);
  assert.equal(wrong.code, 4, wrong.stderr);
  const ended = await runCommand(["shutdown", "--pid", String(pid)]);
  assert.equal(ended.code, 0, ended.stderr);
  await it.daemon.child.status;
  using direct = new DatabaseSync(join(folder, "b.db"), { readOnly: true });
  // The other write was answered OUTCOME_UNKNOWN: it may be there.
  assert.equal(direct.prepare("select min(a) as a from t").get()!.a, 1);
}, { ignore: !UNIX });

Deno.test("start makes no file beside the log of one that was moved away, killed daemons' too", () =>
  within(60_000, async () => {
    await using daemon = await startDaemon();
    const { file, folder, endpoint } = daemon;
    {
      await using client = await WireClient.open(endpoint);
      await exec(client, "create table t(a)", "insert into t values (1)");
    }
    await daemon.kill();
    Deno.renameSync(file, join(folder, "b.db"));
    const { code, stderr } = await runCommand(["start", file]);
    assert.equal(code, 5, stderr);
    assert.ok(stderr.includes("app.db-wal"), stderr);
    assert.throws(() => Deno.lstatSync(file), Deno.errors.NotFound);
    const ping = await runCommand(["ping", file]);
    assert.equal(ping.code, 4, ping.stderr);
    assert.ok(!ping.stderr.includes("Start it"), ping.stderr);
    Deno.renameSync(join(folder, "b.db"), file);
    await daemon.restart();
    await using client = await WireClient.open(endpoint);
    assert.deepEqual((await client.ask({ type: "Query", sql: "select a from t" })).rows, [[1]]);
  }));
