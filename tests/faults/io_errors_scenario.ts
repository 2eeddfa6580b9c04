import { DatabaseSync } from "node:sqlite";
import { type DaemonFixture, startDaemon } from "../daemon_fixture.ts";
import { exec, rows, sleep } from "../e2e/daemon_case.ts";
import { WireClient } from "../wire_client.ts";
import { counted, outcome, type Scenario, type ScenarioRun, type Size } from "./scenario.ts";
import { Trace, whyNoTrace } from "./strace.ts";
import { countsText, type Told, ToldLedger } from "./told.ts";

const CLIENTS = 3;
const REQUESTS_EACH = 8;
/** What a disk that fails may be answered with. */
const CODES = ["DISK_FULL", "DISK_FAILED", "OUTCOME_UNKNOWN"];
/** Past it a request hangs. */
const ANSWER_MS_MAX = 15_000;
/** As long may it take, once the disk works again, until the daemon writes again. */
const RECOVERY_MS_MAX = 5_000;
/** Frames in the log before the disk fails: the next checkpoint, at 1,000, comes while it does. */
const FRAMES_BEFORE = 990;
const FRAME_BYTES = 24 + 4_096;
const SPIN = { sql: "update spin set i = i + 1" };

/** Which calls fail. */
interface Fault {
  readonly call: string;
  readonly error: "EIO" | "ENOSPC";
  /** The first that fails is the Nth; 0 once, 1 or 2 that many after it too, `Infinity` for good. */
  readonly more: number;
  /** Calls that fail as well, of the daemon that opens the file again after its third fsync failed. */
  readonly reopening?: true;
}

const CALLS = ["fdatasync", "fsync", "pwrite64"];
const ERRORS = ["EIO", "ENOSPC"] as const;

const ALL: readonly Fault[] = [
  ...CALLS.flatMap((call) =>
    ERRORS.flatMap((error) => [0, Infinity].map((more) => ({ call, error, more })))
  ),
  { call: "fdatasync", error: "EIO", more: 1 },
  { call: "fdatasync", error: "EIO", more: 2 },
  ...["pread64", "ftruncate", "openat", "unlink"].flatMap((call) =>
    [0, Infinity].map((more) => ({ call, error: "EIO" as const, more, reopening: true as const }))
  ),
];

/** A few of them; each with a few N. */
const SHORT: readonly [Fault, n: number][] = [
  [{ call: "fdatasync", error: "EIO", more: 0 }, 2],
  [{ call: "fdatasync", error: "EIO", more: 2 }, 2],
  [{ call: "fdatasync", error: "EIO", more: Infinity }, 3],
  [{ call: "pwrite64", error: "EIO", more: 0 }, 6],
  [{ call: "pwrite64", error: "ENOSPC", more: Infinity }, 4],
  [{ call: "openat", error: "EIO", more: 0, reopening: true }, 1],
];

/** How often every fault is gone through. */
const PASSES: Readonly<Record<Size, number>> = { short: 0, faults: 1, soak: 5 };

/** Lets the disk fail while clients write, at every call, and compares what they were told with what is there. */
export const scenario: Scenario = {
  name: "I/O errors",
  what: "fsync and write fail with EIO and ENOSPC, once and for good: no answer is false",
  skip: whyNoTrace,
  async run(it) {
    const tally = new Tally();
    const failures: string[] = [];
    await using stage = await Stage.open(tally);
    for (const [fault, n] of SHORT) {
      for (const ending of ["recovers", "killed"] as const) {
        failures.push(...(await stage.run(fault, n, ending)).failures);
      }
    }
    for (let pass = 0; pass < PASSES[it.size]; pass++) {
      for (const fault of ALL) failures.push(...await everyCall(it, stage, fault));
    }
    return outcome(tally.text(), failures);
  },
};

/** Fails the first call, the second and so on, until there are not as many. */
async function everyCall(it: ScenarioRun, stage: Stage, fault: Fault): Promise<string[]> {
  const failures: string[] = [];
  let n = 0;
  for (let failed = true; failed;) {
    n++;
    const ending = it.random() < 0.5 ? "recovers" : "killed";
    const result = await stage.run(fault, n, ending);
    failures.push(...result.failures);
    failed = result.injected > 0;
  }
  it.log(`${nameOf(fault)}: ${n - 1} places`);
  return failures;
}

function nameOf({ call, error, more, reopening }: Fault): string {
  const how = more === Infinity ? "for good" : more === 0 ? "once" : `${more + 1} times`;
  return `${reopening ? "reopening: " : ""}${call} ${error} ${how}`;
}

/** What was tried, in numbers. */
class Tally {
  faults = 0;
  calls = 0;
  readonly told: Record<Told, number> = { ok: 0, failed: 0, unknown: 0 };
  slowestRecoveryMs = 0;

  text(): string {
    return `${counted(this.faults)} faults, ${counted(this.calls)} calls failed; told ${
      countsText(this.told)
    }; back in ${Math.round(this.slowestRecoveryMs)} ms`;
  }
}

/** A daemon whose disk fails again and again. */
class Stage implements AsyncDisposable {
  #nextId = 1;

  private constructor(readonly daemon: DaemonFixture, readonly tally: Tally) {}

  static async open(tally: Tally): Promise<Stage> {
    const daemon = await startDaemon();
    await using client = await WireClient.open(daemon.endpoint);
    await exec(client, "create table t(id integer primary key, a)", "create table spin(i)");
    await exec(client, "insert into spin values (0)");
    return new Stage(daemon, tally);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.daemon[Symbol.asyncDispose]();
  }

  /** One fault: writes while it lasts, ends it in one of two ways, and compares. */
  async run(
    fault: Fault,
    n: number,
    ending: "recovers" | "killed",
  ): Promise<{ failures: string[]; injected: number }> {
    await this.#startWithFullLog();
    const ledger = new ToldLedger();
    await using trace = await Trace.attach(this.daemon.pid, this.#traceArgs(fault, n));
    await this.#write(fault, ledger);
    const { failures } = ledger;
    // The daemon is alive whatever its disk does.
    await using client = await WireClient.open(this.daemon.endpoint);
    if ((await client.ask({ type: "Ping" })).status !== "ok") failures.push("Ping failed");
    if (ending === "killed") await this.daemon.kill();
    const lines = (await trace.end()).split("\n");
    const injected =
      lines.filter((line) => line.includes("(INJECTED)") && line.includes(fault.call)).length;
    if (ending === "recovers") {
      failures.push(...await this.#recover(client));
      failures.push(...await this.#compare(ledger, "in the daemon that went on"));
    }
    await this.daemon.restart();
    failures.push(...await this.#compare(ledger, "after a restart"));
    this.tally.faults++;
    this.tally.calls += injected;
    for (const told of ["ok", "failed", "unknown"] as const) {
      this.tally.told[told] += ledger.counts[told];
    }
    const where = `${nameOf(fault)} at call ${n}, ${ending}`;
    return { failures: failures.map((failure) => `${where}: ${failure}`), injected };
  }

  /** Starts with a log that is due for a checkpoint soon, of the same two pages again and again. */
  async #startWithFullLog(): Promise<void> {
    await this.daemon.kill();
    // The last connection to close takes the log away.
    {
      using direct = new DatabaseSync(this.daemon.file);
      direct.prepare("select count(*) from t").get();
    }
    await this.daemon.restart();
    await using client = await WireClient.open(this.daemon.endpoint);
    for (;;) {
      const { databases: [{ wal_bytes }] } = await client.ask({ type: "Status" });
      const missing = Math.floor(FRAMES_BEFORE - wal_bytes / FRAME_BYTES);
      if (missing <= 0) return;
      // Each statement is a transaction, of the daemon's own row as well.
      const stmts = Array.from({ length: Math.ceil(missing / 2) }, () => SPIN);
      const answer = await client.ask({ type: "ExecBatch", tx: "none", stmts });
      if (answer.status !== "ok") throw new Error(JSON.stringify(answer));
    }
  }

  #traceArgs({ call, error, more, reopening }: Fault, n: number): string[] {
    const when = more === Infinity ? `${n}+` : more === 0 ? `${n}` : `${n}..${n + more}`;
    const { file } = this.daemon;
    return [
      ...["-P", file, "-P", `${file}-wal`],
      ...["-e", `trace=${[...CALLS, call].join(",")}`],
      ...["-e", `inject=${call}:error=${error}:when=${when}`],
      ...(reopening ? ["-e", "inject=fdatasync:error=EIO:when=3"] : []),
    ];
  }

  /** Lets all clients write, and notes what they are told. */
  async #write({ call }: Fault, ledger: ToldLedger): Promise<void> {
    // What SQLite makes of a read that failed.
    const codes = call === "pread64" ? [...CODES, "SQL_ERROR"] : CODES;
    await Promise.all(
      Array.from({ length: CLIENTS }, async (_, c) => {
        await using client = await WireClient.open(this.daemon.endpoint);
        const waiting = new Set<number>();
        let sent = 0;
        const send = () => {
          const id = this.#nextId++;
          waiting.add(id);
          const isLong = c === 2 && sent === 1;
          sent++;
          client.send({ type: "ExecBatch", id, timeout_ms: 10_000, stmts: statements(id, isLong) });
        };
        for (let i = 0; i < c; i++) send();
        send();
        while (waiting.size > 0) {
          const answer = await client.next(ANSWER_MS_MAX);
          if (answer === null) {
            for (const id of waiting) ledger.note(id, null, codes);
            return;
          }
          waiting.delete(answer.id);
          ledger.note(answer.id, answer, codes);
          if (sent < REQUESTS_EACH) send();
        }
      }),
    );
  }

  /** The disk works again: so must the daemon, without a restart. */
  async #recover(client: WireClient): Promise<string[]> {
    const started = performance.now();
    for (;;) {
      const answer = await client.ask({
        type: "ExecBatch",
        stmts: [SPIN],
      });
      const ms = performance.now() - started;
      if (answer.status === "ok") {
        this.tally.slowestRecoveryMs = Math.max(this.tally.slowestRecoveryMs, ms);
        return [];
      }
      if (ms > RECOVERY_MS_MAX) return [`writes still fail: ${JSON.stringify(answer)}`];
      await sleep(20);
    }
  }

  async #compare(ledger: ToldLedger, where: string): Promise<string[]> {
    await using client = await WireClient.open(this.daemon.endpoint);
    const found = await rows(client, "select id, a = id from t") as [id: number, whole: number][];
    const failures = ledger.compare(new Set(found.map(([id]) => id)));
    // A request of many statements is there whole or not at all.
    for (const [id, whole] of found) if (!whole) failures.push(`${id} is there in part`);
    const [[integrity]] = await rows(client, "pragma integrity_check");
    if (integrity !== "ok") failures.push(`integrity_check says ${integrity}`);
    return failures.map((failure) => `${failure}, ${where}`);
  }
}

/** Most requests share a commit; a long one runs alone, off the loop. */
function statements(id: number, isLong: boolean) {
  const insert = { sql: "insert into t values (?, ?)", params: [id, isLong ? 0 : id] };
  if (!isLong) return [insert];
  const steps = Array.from({ length: 501 }, (_, step) => ({
    sql: "update t set a = ? where id = ?",
    params: [step === 500 ? id : 0, id],
  }));
  return [insert, ...steps];
}
