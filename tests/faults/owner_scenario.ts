import { mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { EXIT } from "../../daemon/commands/exit_code.ts";
import { fileIdentity } from "../../daemon/process/file_identity.ts";
import {
  type DaemonFixture,
  executable,
  type Program,
  source,
  startDaemon,
} from "../daemon_fixture.ts";
import { exec, sleep } from "../e2e/daemon_case.ts";
import { runCommand } from "../e2e/command.ts";
import { asUser, mayRunElsewhere, NOBODY, withPrivateTmp, withSession } from "../elsewhere.ts";
import { WireClient } from "../wire_client.ts";
import { counted, integerBetween, outcome, type Scenario, type ScenarioRun } from "./scenario.ts";

const ROUNDS = { short: 1, faults: 8, soak: 80 };
const CLIENTS = 4;
const program: Program = executable ?? source;

/** Starts daemons on a file that is served, from wherever it is another world, and takes away what tells where it is served. */
export const scenario: Scenario = {
  name: "owner",
  what:
    "starts by other users, with other mounts, after a login; sockets and notices removed; the file " +
    "moved: one daemon serves it, each revision is given once, what was acknowledged is there",
  skip: () =>
    Deno.build.os === "windows"
      ? "there a file in use cannot be moved, nor a pipe removed"
      : undefined,
  async run(it) {
    const failures: string[] = [];
    const total = { refused: 0, acknowledged: 0 };
    for (let round = 0; round < ROUNDS[it.size]; round++) {
      // Where /tmp is another one, this is not.
      const parent = mayRunElsewhere ? "/var/tmp" : tmpdir();
      const folder = realpathSync(mkdtempSync(join(parent, "skylinedb-owner-")));
      try {
        await using daemon = await startDaemon({ files: [join(folder, "app.db")] });
        const contest = new Contest(it, daemon);
        await contest.run(round % 2 === 0 ? "move" : "kill and move");
        failures.push(...contest.failures.map((each) => `round ${round}: ${each}`));
        total.refused += contest.refused;
        total.acknowledged += contest.revisions.size;
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
      it.log(`${round + 1} of ${ROUNDS[it.size]} rounds`);
    }
    const { refused, acknowledged } = total;
    return outcome(
      `${counted(refused)} starts refused, ${counted(acknowledged)} writes acknowledged`,
      failures,
    );
  },
};

/** Where a second daemon is started. */
const PLACES: readonly { what: string; there: Program }[] = [
  { what: "the same user", there: program },
  ...(mayRunElsewhere
    ? [
      { what: "another user", there: asUser(program, NOBODY) },
      { what: "a private /tmp", there: withPrivateTmp(program) },
      { what: "after a login", there: withSession(program, 0) },
    ]
    : []),
];

class Contest {
  readonly failures: string[] = [];
  /** The row by the revision that it was acknowledged with. */
  readonly revisions = new Map<number, number>();
  refused = 0;
  #rows = 0;
  #isOver = false;

  constructor(readonly it: ScenarioRun, readonly daemon: DaemonFixture) {}

  async run(end: "move" | "kill and move"): Promise<void> {
    await using first = await WireClient.open(this.daemon.endpoint);
    await exec(first, "create table t(n integer primary key)");
    const writers = Array.from({ length: CLIENTS }, () => this.#write());
    for (const { what, there } of this.#shuffled()) {
      this.#tidyUp();
      await this.#start(what, there);
      this.#checkLocks(what);
    }
    if (end === "kill and move") await this.daemon.kill();
    await this.#move(end === "move");
    this.#isOver = true;
    await Promise.all(writers);
    this.#checkRows();
  }

  #shuffled(): typeof PLACES {
    const order = new Map(PLACES.map((place) => [place, this.it.random()]));
    return [...PLACES].sort((a, b) => order.get(a)! - order.get(b)!);
  }

  /** Until something is refused: the file is gone then, or the daemon. */
  async #write(): Promise<void> {
    await using client = await WireClient.open(this.daemon.endpoint).catch(() => null);
    while (client && !this.#isOver) {
      const n = ++this.#rows;
      const stmts = [{ sql: "insert into t values (?)", params: [n] }];
      const answer = await client.ask({ type: "ExecBatch", stmts }).catch(() => null);
      if (answer?.status !== "ok") return;
      if (this.revisions.has(answer.rev)) this.failures.push(`revision ${answer.rev} came twice`);
      this.revisions.set(answer.rev, n);
      await sleep(1);
    }
  }

  /** As what cleans /tmp does. */
  #tidyUp(): void {
    const { endpoint, file } = this.daemon;
    const notice = join(endpoint, "..", `${fileIdentity(file).key}.lock`);
    for (const path of [endpoint, notice]) {
      if (this.it.random() < 0.5) rmSync(path, { force: true });
    }
  }

  async #start(what: string, there: Program): Promise<void> {
    const { file, pid } = this.daemon;
    const { code, stderr } = await runCommand(["start", file], { program: there });
    const isRefused = code === EXIT.alreadyRunning || code === EXIT.cannotOpen;
    if (isRefused && stderr.includes(`pid ${pid}`)) this.refused++;
    else this.failures.push(`a start by ${what} ended with ${code}: ${stderr}`);
  }

  /** Had the daemon opened and closed its file, SQLite's locks would be gone: any program could take the log away. */
  #checkLocks(what: string): void {
    if (Deno.build.os !== "linux") return;
    const { file, pid } = this.daemon;
    const inode = fileIdentity(file).key.split("-")[1];
    const locks = Deno.readTextFileSync("/proc/locks").split("\n")
      .filter((line) => line.includes(` ${pid} `) && line.includes(`:${BigInt(`0x${inode}`)} `));
    for (const kind of ["FLOCK", "POSIX"]) {
      if (locks.some((line) => line.includes(` ${kind} `))) continue;
      this.failures.push(`after a start by ${what} the daemon has no ${kind} lock: ${locks}`);
    }
  }

  /** The file goes, something is started, and the file comes back. */
  async #move(isAlive: boolean): Promise<void> {
    // What tells that the file is served is there again within a second; until then nobody can know.
    await sleep(1_500 + integerBetween(this.it.random, 0, 50));
    const { file, pid } = this.daemon;
    Deno.renameSync(file, `${file}.moved`);
    const { code, stderr } = await runCommand(["start", file]);
    if (code === EXIT.cannotOpen) this.refused++;
    else this.failures.push(`a start beside the moved file ended with ${code}: ${stderr}`);
    if (isAlive) {
      const ended = await runCommand(["shutdown", "--pid", String(pid)]);
      if (ended.code !== 0) this.failures.push(`shutdown --pid: ${ended.code} ${ended.stderr}`);
      await this.daemon.child.status;
    }
    try {
      Deno.lstatSync(file);
      this.failures.push("a file was made in place of the one that was moved");
    } catch {
      Deno.renameSync(`${file}.moved`, file);
    }
  }

  #checkRows(): void {
    using direct = new DatabaseSync(this.daemon.file);
    const kept = new Set(direct.prepare("select n from t").all().map(({ n }) => n));
    for (const [rev, n] of this.revisions) {
      if (!kept.has(n)) this.failures.push(`row ${n}, acknowledged as revision ${rev}, is gone`);
    }
    const [{ ok }] = direct.prepare("select integrity_check as ok from pragma_integrity_check")
      .all();
    if (ok !== "ok") this.failures.push(`the file is damaged: ${ok}`);
  }
}
