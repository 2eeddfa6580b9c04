import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { fileURLToPath } from "node:url";
import { runtimeFolder } from "../../client/endpoint.ts";
import { SkylineError } from "../../client/errors.ts";
import { fileIdentity } from "../../daemon/process/file_identity.ts";
import {
  acquireInstance,
  AlreadyRunningError,
  findInstance,
  findStranger,
  listInstances,
  tryInstance,
} from "../../daemon/process/single_instance.ts";

const WINDOWS = Deno.build.os === "windows";
const HOLDER = fileURLToPath(new URL("instance_holder.ts", import.meta.url));

/** A file with a second name and a link, where the system lets this user make one. */
class Names implements Disposable {
  readonly folder = Deno.makeTempDirSync({ prefix: "skylinedb-instance-" });
  readonly path = join(this.folder, "app.db");
  readonly all: string[];

  constructor() {
    Deno.writeTextFileSync(this.path, "");
    this.all = [this.path, `${this.folder}/./app.db`];
    Deno.linkSync(this.path, join(this.folder, "hard.db"));
    this.all.push(join(this.folder, "hard.db"));
    if (WINDOWS) {
      this.all.push(this.path.toUpperCase()); // symbolic links need a privilege there
    } else {
      Deno.symlinkSync(this.path, join(this.folder, "link.db"));
      this.all.push(join(this.folder, "link.db"));
    }
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.folder, { recursive: true });
  }
}

/** A process that takes the instance of a file, or says who has it. */
class HolderProcess {
  readonly child: Deno.ChildProcess;
  readonly #words: ReadableStreamDefaultReader<string>;

  constructor(path: string) {
    this.child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", HOLDER, path],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
      signal: AbortSignal.timeout(20_000),
    }).spawn();
    this.#words = this.child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  }

  async answer(): Promise<string> {
    return (await this.#words.read()).value?.trim() ?? "nothing";
  }

  async end(signal?: Deno.Signal): Promise<void> {
    try {
      if (signal) this.child.kill(signal);
    } catch {
      // It has ended.
    }
    await this.child.stdin.close().catch(() => {});
    await this.child.status;
    await this.#words.cancel();
  }
}

function holderOf(path: string): { endpoint: string; pid: number; path: string } {
  return { endpoint: "E", pid: Deno.pid, path };
}

Deno.test("acquireInstance() lets one process have a file when 20 ask at once by all its names", async () => {
  using names = new Names();
  const processes = Array.from(
    { length: 20 },
    (_, i) => new HolderProcess(names.all[i % names.all.length]),
  );
  const answers = await Promise.all(processes.map((process) => process.answer()));
  const winner = processes[answers.indexOf("got it")];
  const others = answers.filter((answer) => answer !== "got it");
  await Promise.all(processes.map((process) => process.end()));
  assert.equal(others.length, 19);
  const { pid } = winner.child;
  assert.deepEqual(others, others.map(() => `running ${pid} E${pid}`));
});

Deno.test("acquireInstance() succeeds when the holder was killed", async () => {
  using names = new Names();
  const first = new HolderProcess(names.path);
  assert.equal(await first.answer(), "got it");
  assert.equal(findInstance(names.path)?.pid, first.child.pid);
  await first.end("SIGKILL");
  assert.equal(findInstance(names.path), null);
  using _instance = await acquireInstance(names.path, holderOf(names.path));
  assert.equal(findInstance(names.path)?.pid, Deno.pid);
});

Deno.test("acquireInstance() throws within a moment when this process has the file by another name", async () => {
  using names = new Names();
  using _instance = await acquireInstance(names.path, holderOf(names.path));
  for (const name of names.all) {
    const startedAt = performance.now();
    await assert.rejects(
      acquireInstance(name, { endpoint: "other", pid: Deno.pid, path: name }),
      (error) =>
        error instanceof AlreadyRunningError && error.endpoint === "E" && error.pid === Deno.pid &&
        error.path === names.path,
    );
    assert.ok(performance.now() - startedAt < 5_000);
  }
});

Deno.test("tryInstance() and findStranger() leave SQLite's locks when this process has the file", {
  ignore: Deno.build.os !== "linux", // the one system that tells them
}, async () => {
  using names = new Names();
  using _instance = await acquireInstance(names.path, holderOf(names.path));
  using direct = new DatabaseSync(names.path);
  direct.exec("pragma journal_mode = wal; create table t(a)");
  const inode = Deno.statSync(names.path).ino;
  const locks = () =>
    Deno.readTextFileSync("/proc/locks").split("\n").filter((line) =>
      line.includes(" POSIX ") && line.includes(`:${inode} `)
    ).length;
  assert.equal(locks(), 1);
  for (const name of names.all) {
    assert.equal(tryInstance(name, holderOf(name)), null);
    assert.deepEqual(findStranger(name), { pid: Deno.pid, user: Deno.uid() });
    assert.equal(locks(), 1, `closing the file by ${name} dropped them`);
  }
});

Deno.test("Instance.release() lets the next one have the file and leaves nothing behind", async () => {
  using names = new Names();
  const instance = await acquireInstance(names.path, holderOf(names.path));
  instance.release();
  instance.release();
  assert.equal(findInstance(names.path), null);
  if (!WINDOWS) {
    const { key } = fileIdentity(names.path);
    assert.ok(![...Deno.readDirSync(runtimeFolder())].some(({ name }) => name.startsWith(key)));
  }
  (await acquireInstance(names.path, holderOf(names.path))).release();
});

Deno.test("acquireInstance() names the process that holds the file when its words are gone", {
  ignore: Deno.build.os !== "linux", // elsewhere the words go with it, or the system does not tell
}, async () => {
  using names = new Names();
  const process = new HolderProcess(names.path);
  assert.equal(await process.answer(), "got it");
  const { key } = fileIdentity(names.path);
  Deno.removeSync(join(runtimeFolder(), `${key}.lock`));
  const { pid } = process.child;
  await assert.rejects(
    acquireInstance(names.path, { endpoint: "here", pid: 7, path: names.path }),
    (error) =>
      error instanceof SkylineError && error.code === "NOT_RUNNING" &&
      error.message.includes(`pid ${pid}`),
  );
  assert.deepEqual(findStranger(names.path), { pid, user: Deno.uid() });
  assert.equal(findInstance(names.path), null);
  await process.end();
  assert.equal(findStranger(names.path), null);
});

Deno.test("Instance.tell() says again who serves the file when that was removed", {
  ignore: WINDOWS, // where it cannot be removed
}, async () => {
  using names = new Names();
  using instance = await acquireInstance(names.path, holderOf(names.path));
  const { key } = fileIdentity(names.path);
  const notice = join(runtimeFolder(), `${key}.lock`);
  Deno.removeSync(notice);
  assert.equal(findInstance(names.path), null);
  instance.tell(holderOf(names.path));
  assert.deepEqual(findInstance(names.path), holderOf(names.path));
  const moved = { ...holderOf(names.path), endpoint: "E2" };
  instance.tell(moved);
  assert.deepEqual(findInstance(names.path), moved);
  // Another's is left alone, also at the end.
  Deno.removeSync(notice);
  Deno.writeTextFileSync(notice, "another's");
  instance.release();
  assert.equal(Deno.readTextFileSync(notice), "another's");
  Deno.removeSync(notice);
});

Deno.test("listInstances() returns who serves what, and none that has ended", async () => {
  using names = new Names();
  const killed = new Names();
  const process = new HolderProcess(killed.path);
  await process.answer();
  await process.end("SIGKILL");
  using _instance = await acquireInstance(names.path, holderOf(names.path));
  const mine = (await listInstances()).filter(({ path }) =>
    path === names.path || path === killed.path
  );
  assert.deepEqual(mine, [holderOf(names.path)]);
  // A killed holder's file stays until the next holder of the same file removes it.
  (await acquireInstance(killed.path, holderOf(killed.path))).release();
  killed[Symbol.dispose]();
});
