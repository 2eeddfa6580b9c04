/** What the executable opens outside the database's folder, held against the list in docs/security.md. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { executable } from "../daemon_fixture.ts";
import { until } from "../e2e/daemon_case.ts";
import { whyNoTrace } from "../faults/strace.ts";

const reason = executable ? await whyNoTrace() : "SKYLINEDB_TEST_EXE is not set";
if (reason) console.log(`Skipping the list of files that are opened: ${reason}`);

/** Under these the executable may do as it likes: the paths in the list's second column. */
function listedPaths(): string[] {
  const text = readFileSync(new URL("../../docs/security.md", import.meta.url), "utf8");
  const table = text.slice(0, text.indexOf("On Windows")).split("\n").filter((line) =>
    line.startsWith("|")
  );
  const paths = table.flatMap((line) => line.split("|")[2].match(/`\/[^`]*`/g) ?? []);
  const shared = ["/tmp", "/var/tmp", "/usr/tmp"];
  return paths.map((path) => path.slice(1, -1).replace("UID", String(Deno.uid())))
    .filter((path) => !shared.includes(path));
}

/** A system call that names a path. */
interface Call {
  readonly name: string;
  readonly path: string;
  readonly line: string;
}

function callsOf(trace: string): Call[] {
  return trace.split("\n").flatMap((line) => {
    const [, name, args] = /^\d+ +(\w+)\((.*)/.exec(line) ?? [];
    if (name === undefined || name === "execve") return [];
    const paths = [...args.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, path]) => path);
    const count = /^(rename|link|symlink)/.test(name) ? 2 : 1;
    return paths.slice(0, count).filter((path) => path.startsWith("/"))
      .map((path) => ({ name, path, line }));
  });
}

/** Asks where a path leads, and no more. */
const LOOKS = new Set(["readlink", "newfstatat", "stat", "lstat", "statx", "access", "getcwd"]);

class Place {
  readonly folder = mkdtempSync(join(tmpdir(), "skylinedb-opened-"));
  readonly file = join(this.folder, "data", "app.db");
  readonly temporary = join(this.folder, "temporary");
  readonly #program = Deno.realPathSync(executable![0]);
  #count = 0;

  constructor() {
    for (const folder of [dirname(this.file), this.temporary]) mkdirSync(folder);
  }

  /** Runs a command under strace; `done` gives its trace once it has ended. */
  run(...args: string[]): { status: Promise<Deno.CommandStatus>; trace(): string } {
    const trace = join(this.folder, `trace${this.#count++}`);
    const child = new Deno.Command("strace", {
      args: ["-f", "-e", "trace=%file,connect,bind", "-s", "4096", "-o", trace].concat(
        this.#program,
        args,
      ),
      cwd: this.folder,
      env: { TMPDIR: this.temporary, HOME: join(this.folder, "home") },
      ...{ stdin: "null", stdout: "null", stderr: "null" },
    }).spawn();
    return { status: child.status, trace: () => readFileSync(trace, "utf8") };
  }

  /** Runs a command to its end. */
  async command(...args: string[]): Promise<string> {
    const { status, trace } = this.run(...args);
    assert.equal((await status).code, 0, args.join(" "));
    return trace();
  }

  isListed({ name, path, line }: Call, listed: readonly string[]): boolean {
    const within = (folder: string) => path === folder || path.startsWith(`${folder}/`);
    if (within(dirname(this.file)) || path === this.#program) return true;
    if (path.startsWith(join(this.temporary, "etilqs_"))) {
      return !line.includes("openat") || /O_CREAT\|O_EXCL\|O_NOFOLLOW.*0600/.test(line);
    }
    if (LOOKS.has(name) && (this.file.startsWith(path) || path === this.temporary)) return true;
    const isOfProgram = path === dirname(this.#program) || path === this.folder;
    if (isOfProgram && /^(chdir|getcwd)$/.test(name)) return true;
    return listed.some(within);
  }
}

Deno.test(
  "executable opens nothing outside the database's folder that docs/security.md does not list",
  { ignore: reason !== undefined },
  async () => {
    const place = new Place();
    const { file } = place;
    const traces: string[] = [];
    const command = async (...args: string[]) => void traces.push(await place.command(...args));
    try {
      const serving = place.run("start", file);
      await until(async () => (await place.run("ping", file).status).code === 0, 30_000);
      const rows =
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < 60000)";
      // Large enough for SQLite's temporary files.
      await command("exec", file, `create table t as ${rows} select hex(randomblob(100)) a from n`);
      await command("exec", file, "create index t_a on t(a)");
      await command("exec", file, "vacuum");
      await command(
        "query",
        file,
        "select a, datetime('now', 'localtime') from t order by a || 1 limit 1",
      );
      for (const name of ["status", "ping", "endpoint"]) await command(name, file);
      await command("list");
      await command("--help");
      await command("shutdown", file);
      assert.equal((await serving.status).code, 0);
      traces.push(serving.trace());
      const background = place.run("start", "--background", file);
      await until(async () => (await place.run("ping", file).status).code === 0, 30_000);
      await command("shutdown", file);
      await background.status;
      traces.push(background.trace());

      const listed = listedPaths();
      const calls = traces.flatMap(callsOf);
      assert.ok(calls.some(({ path }) => path.includes("etilqs_")), "temporary files were made");
      const others = calls.filter((call) => !place.isListed(call, listed)).map(({ line }) => line);
      assert.deepEqual([...new Set(others)], []);
    } finally {
      await place.run("shutdown", file).status;
      rmSync(place.folder, { recursive: true, force: true });
    }
  },
);
