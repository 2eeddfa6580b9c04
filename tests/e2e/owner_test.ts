/** One daemon for a file, whoever starts it and wherever; and others are told who that is. */
import assert from "node:assert/strict";
import { mkdtempSync, realpathSync, rmSync } from "node:fs";
import { join } from "node:path";
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
import { exec, within } from "./daemon_case.ts";

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
    assert.ok(code !== 0, what);
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
