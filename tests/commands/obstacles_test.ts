/** What is in the way of a start, and that it says so. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { type Program, source } from "../daemon_fixture.ts";
import { SmallDisk, whyNoSmallDisk } from "../faults/small_disk.ts";
import { cachedLibraryPath } from "../../daemon/sqlite/library.ts";
import { Folder, type Outcome, run } from "./command_line.ts";

const WINDOWS = Deno.build.os === "windows";

function assertRefused({ code, stderr }: Outcome, reason: RegExp, hint: RegExp): void {
  const lines = stderr.split("\n").filter((line) => /^(error|hint): /.test(line));
  assert.equal(lines.length, 2, stderr);
  assert.match(lines[0], reason);
  assert.match(lines[1], hint);
  assert.equal(code, 5, stderr);
}

Deno.test({
  name: "start says that a name or a path is too long, and makes no file",
  ignore: WINDOWS, // whose paths have other bounds
  fn: async () => {
    await using folder = new Folder();
    // Of two bytes each.
    const name = (bytes: number) => "é".repeat((bytes - 5) / 2) + "xx.db";
    for (const bytes of [249, 255]) {
      assertRefused(
        await run(["start", folder.file(name(bytes))]),
        new RegExp(`: its name has ${bytes} bytes, and 247 is the most`),
        /^hint: Give it a shorter name$/,
      );
    }
    for (const command of ["start", "status"]) {
      assertRefused(
        await run([command, folder.file(name(301))]),
        /: .* longer than the system/,
        /./,
      );
    }
    const deep = join(folder.path, "d".repeat(200), "e".repeat(200));
    Deno.mkdirSync(deep, { recursive: true });
    const path = (bytes: number) => join(deep, "f".repeat(bytes - deep.length - 4) + ".db");
    assertRefused(
      await run(["start", path(505)]),
      /: its path has 505 bytes, and 504 is /,
      /shorter/,
    );
    assert.deepEqual([...Deno.readDirSync(deep)], []);
    const longest = [folder.file(name(247)), path(504)];
    const { code, stderr } = await run(["start", ...longest, "--background"]);
    assert.equal(code, 0, stderr);
    assert.equal((await run(["exec", longest[1], "create table t (a)"])).code, 0);
    assert.equal((await run(["shutdown", longest[1]])).code, 0);
  },
});

Deno.test({
  name: "start says that links lead to one another, and that a folder on the path is a file",
  ignore: WINDOWS,
  fn: async () => {
    await using folder = new Folder();
    const [a, b] = ["a.db", "b.db"].map((name) => join(folder.path, name));
    Deno.symlinkSync(a, b);
    Deno.symlinkSync(b, a);
    for (const command of ["start", "status"]) {
      assertRefused(await run([command, a]), /links that lead to one another$/, /^hint: /);
    }
    const file = join(folder.path, "file");
    Deno.writeTextFileSync(file, "");
    const { stderr } = await run(["start", join(file, "app.db")]);
    assert.match(stderr, /file is not a folder\n/);
  },
});

/** Runs a command after `before` in a shell. */
async function runAfter(
  before: string,
  [command, ...args]: Program,
  env: Record<string, string> = {},
): Promise<Outcome> {
  const { code, stdout, stderr } = await new Deno.Command("sh", {
    args: ["-c", `${before}; exec "$0" "$@"`, command, ...args],
    env,
    stdin: "null",
    signal: AbortSignal.timeout(30_000),
  }).output();
  const [out, error] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  return { code, stdout: out, stderr: error };
}

Deno.test({
  name: "start says that there are too few descriptors, and makes no file",
  ignore: WINDOWS,
  fn: async () => {
    await using folder = new Folder();
    const file = join(folder.path, "app.db");
    assertRefused(
      await runAfter("ulimit -n 40", [...source, "start", file]),
      /^error: This process may have 40 files open, and a daemon needs 64$/,
      /^hint: Raise the limit: ulimit -n /,
    );
    assert.deepEqual([...Deno.readDirSync(folder.path)], []);
  },
});

const noDisk = await whyNoSmallDisk();

type DiskBody = (
  start: (...args: string[]) => Promise<Outcome>,
  folder: string,
) => Promise<void>;

/** A disk of 1 MiB on which `script` is run first, in its folder. */
function diskTest(name: string, script: string, body: DiskBody): void {
  Deno.test({
    name,
    ignore: noDisk !== undefined,
    fn: async () => {
      await using disk = await SmallDisk.mount(1);
      const shell: Program = ["sh", "-ec", `cd "$1"; ${script}`, "sh", disk.folder];
      const made = await runAfter("true", disk.inside(shell));
      assert.equal(made.code, 0, made.stderr);
      await body((...args) => {
        const env = args.filter((arg) => /^SKYLINEDB_\w+=/.test(arg));
        const others = args.filter((arg) => !env.includes(arg));
        return runAfter(
          "true",
          disk.inside([...source, "start", ...others]),
          Object.fromEntries(env.map((each) => each.split("=", 2))),
        );
      }, disk.folder);
    },
  });
}

diskTest(
  "start says that the file system is read-only, of a new file, of an old one and of the log",
  'touch old.db; mount -o remount,ro "$1"',
  async (start, folder) => {
    const [reason, hint] = [
      /: its file system is mounted read-only$/,
      /^hint: Mount it for writing/,
    ];
    for (const name of ["old.db", "new.db"]) {
      assertRefused(await start(join(folder, name)), reason, hint);
    }
    await using elsewhere = new Folder();
    const file = elsewhere.file("app.db");
    assertRefused(await start(file, "--log-file", join(folder, "app.log")), reason, hint);
  },
);

const refusesForFullDisk: DiskBody = async (start, folder) => {
  for (const name of ["old.db", "new.db"]) {
    assertRefused(await start(join(folder, name)), /: the disk is full/, /^hint: Free some space/);
  }
};

diskTest(
  "start says that the disk is full",
  "touch old.db; cat /dev/zero > filler || true",
  refusesForFullDisk,
);

diskTest(
  "start says that the disk is full when it has no room for the names of SQLite's files",
  'touch old.db; mount -o remount,nr_inodes=2 "$1"',
  refusesForFullDisk,
);

diskTest(
  "start says that SQLite's library lies where nothing may be executed, and what is no SQLite",
  `echo "no library" > other.so; mount -o remount,noexec,size=16m "$1"; cp '${
    cachedLibraryPath(Deno.build.target)
  }' sqlite.so`,
  async (start, folder) => {
    await using elsewhere = new Folder();
    const file = elsewhere.file("app.db");
    const library = (name: string) => `SKYLINEDB_SQLITE=${join(folder, name)}`;
    assertRefused(
      await start(file, library("sqlite.so")),
      /Cannot load SQLite: .*sqlite\.so lies where nothing may be executed: .* noexec$/,
      /^hint: Name a folder elsewhere/,
    );
    assertRefused(
      await start(file, library("other.so")),
      /^error: Cannot load SQLite: .*other\.so: (file too short|invalid ELF header)/,
      /^hint: /,
    );
    assertRefused(
      await start(file, library("missing.so")),
      /missing\.so, which does not exist$/,
      /^hint: Correct it/,
    );
  },
);

const hasSession = Deno.build.os === "linux" && existsSync(`/run/user/${Deno.uid()}`);

diskTest(
  "start says that the disk is full when it cannot tell others where it serves",
  'cat /dev/zero > filler || true; mount --bind "$1" /tmp',
  async (start) => {
    if (hasSession) return; // what tells is elsewhere then
    const folder = Deno.makeTempDirSync({ dir: "/var/tmp", prefix: "skylinedb-commands-" });
    try {
      const refused = await start(join(folder, "app.db"));
      assertRefused(refused, /^error: Cannot write the file .*: the disk is full$/, /^hint: Free/);
    } finally {
      Deno.removeSync(folder, { recursive: true });
    }
  },
);
