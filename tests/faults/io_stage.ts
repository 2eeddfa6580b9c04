/**
 * A daemon whose disk fails while clients write, and a comparison of what they were told with what is there.
 *
 * @module
 */
import { DatabaseSync } from "node:sqlite";
import { connect, type SkylineError } from "../../mod.ts";
import { type DaemonFixture, startDaemon } from "../daemon_fixture.ts";
import { exec, rows, sleep } from "../e2e/daemon_case.ts";
import { WireClient } from "../wire_client.ts";
import { killAlive } from "./crash.ts";
import { RepeatingClient } from "./repeating_client.ts";
import { counted } from "./scenario.ts";
import { Trace } from "./strace.ts";
import { countsText, type Told, ToldLedger } from "./told.ts";

/** Clients that never send anything twice. */
const PLAIN_CLIENTS = 2;
/** Requests of each of them, and rounds of each of the others. */
const REQUESTS_EACH = 6;
/** What a disk that fails may be answered with. */
const CODES = ["DISK_FULL", "DISK_FAILED", "OUTCOME_UNKNOWN"];
/** Past it a request hangs. */
const ANSWER_MS_MAX = 15_000;
/** As long may it take, once the disk works again, until the daemon writes again. */
const RECOVERY_MS_MAX = 5_000;
/** Frames in the log before the disk fails: the next checkpoint, at 1,000, comes while it does. */
const FRAMES_BEFORE = 990;
/** A disk that failed for good is found out by then. */
const LIBRARY_MS_MAX = 300;
/** What its calls may still wait for when they are given up. */
const LIBRARY_CODES = ["TIMEOUT", "SEQUENCE_GAP", "CLIENT_FORGOTTEN"];
const FILLINGS_MAX = 20;
const FRAME_BYTES = 24 + 4_096;
const SPIN = { sql: "update spin set i = i + 1" };

/** The calls by which data gets to the disk. */
export const CALLS = ["fdatasync", "fsync", "pwrite64"];

/** Which calls fail. */
export interface Fault {
  readonly call: string;
  readonly error: "EIO" | "ENOSPC";
  /** The first that fails is the Nth; 0 once, 1 or 2 that many after it too, `Infinity` for good. */
  readonly more: number;
  /** Calls that fail as well, of the daemon that opens the file again after its third fsync failed. */
  readonly reopening?: true;
}

/** The disk works again, or the daemon is killed while it does not. */
export type Ending = "recovers" | "killed";

/** A fault in words. */
export function nameOf({ call, error, more, reopening }: Fault): string {
  const how = more === Infinity ? "for good" : more === 0 ? "once" : `${more + 1} times`;
  return `${reopening ? "reopening: " : ""}${call} ${error} ${how}`;
}

/** What was tried, in numbers. */
export class IoTally {
  faults = 0;
  calls = 0;
  repeated = 0;
  readonly told: Record<Told, number> = { ok: 0, failed: 0, unknown: 0 };
  slowestRecoveryMs = 0;

  text(): string {
    return `${counted(this.faults)} faults, ${counted(this.calls)} calls failed; told ${
      countsText(this.told)
    }; ${counted(this.repeated)} sent until done; back in ${Math.round(this.slowestRecoveryMs)} ms`;
  }
}

/** A daemon whose disk fails again and again. */
export class IoStage implements AsyncDisposable {
  readonly tally = new IoTally();
  readonly #daemon: DaemonFixture;
  #nextId = 1;

  private constructor(daemon: DaemonFixture) {
    this.#daemon = daemon;
  }

  /** Starts it. */
  static async open(): Promise<IoStage> {
    const daemon = await startDaemon();
    await using client = await WireClient.open(daemon.endpoint);
    await exec(
      client,
      // What happens twice is there twice.
      "create table t(id integer, a)",
      "create index t_id on t(id)",
      "create table spin(i)",
      "insert into spin values (0)",
    );
    return new IoStage(daemon);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#daemon[Symbol.asyncDispose]();
  }

  /** One fault: clients write while it lasts, it ends in one of two ways, and what is there is compared. */
  async run(
    fault: Fault,
    n: number,
    ending: Ending,
  ): Promise<{ failures: string[]; injected: number }> {
    const where = `${nameOf(fault)} at call ${n}, ${ending}`;
    try {
      const { failures, injected } = await this.#run(fault, n, ending);
      return { failures: failures.map((failure) => `${where}: ${failure}`), injected };
    } catch (error) {
      // Most likely it has ended.
      const said = [(error as Error).message, ...await killAlive(this.#daemon)];
      return { failures: [`${where}: ${said.join("; ")}`], injected: 0 };
    }
  }

  async #run(
    fault: Fault,
    n: number,
    ending: Ending,
  ): Promise<{ failures: string[]; injected: number }> {
    await this.#startWithFullLog();
    await using trace = await Trace.attach(this.#daemon.pid, this.#traceArgs(fault, n));
    const { ledger, repeating } = await this.#write(fault);
    const failures = [...ledger.failures];
    // The daemon is alive whatever its disk does.
    if (!await this.#answers()) failures.push("Ping failed");
    if (ending === "killed") failures.push(...await killAlive(this.#daemon));
    const lines = (await trace.end()).split("\n");
    const isHit = (line: string) => line.includes("(INJECTED)") && line.includes(fault.call);
    const injected = lines.filter(isHit).length;
    if (ending === "killed") await this.#daemon.restart();
    else failures.push(...await this.#recover());
    for (const each of repeating) failures.push(...await this.#finish(each));
    failures.push(...await this.#compare(ledger, repeating, "once the disk works again"));
    failures.push(...await killAlive(this.#daemon));
    await this.#daemon.restart();
    failures.push(...await this.#compare(ledger, repeating, "after a restart"));
    this.#count(ledger, repeating, injected);
    return { failures, injected };
  }

  #count(ledger: ToldLedger, repeating: readonly RepeatingClient[], injected: number): void {
    this.tally.faults++;
    this.tally.calls += injected;
    for (const told of ["ok", "failed", "unknown"] as const) {
      this.tally.told[told] += ledger.counts[told];
    }
    for (const { ids } of repeating) this.tally.repeated += ids.length;
  }

  /** Starts with a log that is due for a checkpoint soon, of the same two pages again and again. */
  async #startWithFullLog(): Promise<void> {
    await this.#daemon.kill();
    // The last connection to close takes the log away.
    {
      using direct = new DatabaseSync(this.#daemon.file);
      direct.prepare("select count(*) from t").get();
    }
    await this.#daemon.restart();
    await using client = await WireClient.open(this.#daemon.endpoint);
    for (let times = 0; times < FILLINGS_MAX; times++) {
      const { databases: [{ wal_bytes }] } = await client.ask({ type: "Status" });
      const missing = Math.floor(FRAMES_BEFORE - wal_bytes / FRAME_BYTES);
      if (missing <= 0) return;
      // Each statement is a transaction, of the daemon's own row as well.
      const stmts = Array.from({ length: Math.ceil(missing / 2) }, () => SPIN);
      const answer = await client.ask({ type: "ExecBatch", tx: "none", stmts });
      if (answer.status !== "ok") throw new Error(JSON.stringify(answer));
    }
    throw new Error("The log does not grow");
  }

  #traceArgs({ call, error, more, reopening }: Fault, n: number): string[] {
    const when = more === Infinity ? `${n}+` : more === 0 ? `${n}` : `${n}..${n + more}`;
    const { file } = this.#daemon;
    return [
      ...["-P", file, "-P", `${file}-wal`],
      ...["-e", `trace=${[...CALLS, call].join(",")}`],
      ...["-e", `inject=${call}:error=${error}:when=${when}`],
      ...(reopening ? ["-e", "inject=fdatasync:error=EIO:when=3"] : []),
    ];
  }

  /** Lets all clients write, and notes what they are told. */
  async #write({ call }: Fault): Promise<{ ledger: ToldLedger; repeating: RepeatingClient[] }> {
    // What SQLite makes of a read that failed, and of a file that cannot be opened.
    const codes = call === "pread64" || call === "openat" ? [...CODES, "SQL_ERROR"] : CODES;
    const ledger = new ToldLedger();
    const name = `client-${this.#nextId}`;
    const repeating = [
      new RepeatingClient(`${name}a`, "session", [...codes, "SEQUENCE_GAP"], shortWrite),
      new RepeatingClient(`${name}b`, "session", [...codes, "SEQUENCE_GAP"], longWrite),
      new RepeatingClient(`${name}c`, "key", codes, shortWrite),
    ];
    const plain = Array.from(
      { length: PLAIN_CLIENTS },
      (_, i) => this.#writePlainly(ledger, codes, i, REQUESTS_EACH),
    );
    await Promise.all([
      ...plain,
      this.#writeEach(ledger, codes),
      this.#writeByLibrary(ledger, [...codes, ...LIBRARY_CODES]),
      ...repeating.map(async (each) => {
        await using client = await WireClient.open(this.#daemon.endpoint);
        await each.write(client, REQUESTS_EACH, () => this.#nextId++);
      }),
    ]);
    // Nothing comes after it that would write over what a failed commit has left in the log.
    await this.#writePlainly(ledger, codes, 0, 1);
    return { ledger, repeating };
  }

  async #writePlainly(
    ledger: ToldLedger,
    codes: readonly string[],
    index: number,
    requests: number,
  ): Promise<void> {
    await using client = await WireClient.open(this.#daemon.endpoint);
    const waiting = new Set<number>();
    let sent = 0;
    const send = () => {
      const id = this.#nextId++;
      waiting.add(id);
      const stmts = index === 1 && sent === 1 ? longWrite(id) : shortWrite(id);
      sent++;
      client.send({ type: "ExecBatch", id, timeout_ms: 10_000, stmts });
    };
    for (let i = 0; i <= index; i++) send();
    while (waiting.size > 0) {
      const answer = await client.next(ANSWER_MS_MAX);
      if (answer === null) {
        for (const id of waiting) ledger.note(id, null, codes);
        return;
      }
      waiting.delete(answer.id);
      ledger.note(answer.id, answer, codes);
      if (sent < requests) send();
    }
  }

  /** Each statement is a transaction: what came before the one that failed stays. */
  async #writeEach(ledger: ToldLedger, codes: readonly string[]): Promise<void> {
    await using client = await WireClient.open(this.#daemon.endpoint);
    for (let i = 0; i < REQUESTS_EACH; i++) {
      const ids = [this.#nextId++, this.#nextId++, this.#nextId++];
      client.send({
        type: "ExecBatch",
        tx: "none",
        timeout_ms: 10_000,
        stmts: ids.flatMap(shortWrite),
      });
      ledger.noteEach(ids, await client.next(ANSWER_MS_MAX), codes);
    }
  }

  /** The client library sends again only what is not known, as long as its calls may take. */
  async #writeByLibrary(ledger: ToldLedger, codes: readonly string[]): Promise<void> {
    await using db = await connect(this.#daemon.file, { timeoutMs: LIBRARY_MS_MAX });
    await Promise.all(
      Array.from({ length: REQUESTS_EACH }, async (_, i) => {
        await sleep(i * 2);
        const id = this.#nextId++;
        try {
          await db.batch(shortWrite(id));
          ledger.note(id, { status: "ok" }, codes);
        } catch (error) {
          const { code, retry, message } = error as SkylineError;
          ledger.note(id, { status: "error", code, retry, message }, codes);
        }
      }),
    );
  }

  async #answers(): Promise<boolean> {
    await using client = await WireClient.open(this.#daemon.endpoint);
    return (await client.ask({ type: "Ping" })).status === "ok";
  }

  /** The disk works again: so must the daemon, without a restart. */
  async #recover(): Promise<string[]> {
    await using client = await WireClient.open(this.#daemon.endpoint);
    const started = performance.now();
    for (;;) {
      const answer = await client.ask({ type: "ExecBatch", stmts: [SPIN] });
      const ms = performance.now() - started;
      if (answer.status === "ok") {
        this.tally.slowestRecoveryMs = Math.max(this.tally.slowestRecoveryMs, ms);
        return [];
      }
      if (ms > RECOVERY_MS_MAX) return [`writes still fail: ${JSON.stringify(answer)}`];
      await sleep(20);
    }
  }

  async #finish(repeating: RepeatingClient): Promise<string[]> {
    await using client = await WireClient.open(this.#daemon.endpoint);
    const isDone = await repeating.finish(client, RECOVERY_MS_MAX);
    return [...repeating.failures, ...(isDone ? [] : [`${repeating.name} is not done`])];
  }

  async #compare(
    ledger: ToldLedger,
    repeating: readonly RepeatingClient[],
    where: string,
  ): Promise<string[]> {
    await using client = await WireClient.open(this.#daemon.endpoint);
    const sql = "select id, count(*), max(a = id) from t group by id";
    const found = await rows(client, sql) as [id: number, times: number, whole: number][];
    const there = new Set(found.map(([id]) => id));
    const failures = ledger.compare(there);
    for (const [id, times, whole] of found) {
      if (times > 1) failures.push(`${id} is there ${times} times`);
      // A request of many statements is there whole or not at all.
      if (!whole) failures.push(`${id} is there in part`);
    }
    for (const { ids, refused, name, by } of repeating) {
      const wrong = ids.filter((id) => there.has(id) === refused.has(id));
      if (wrong.length > 0) failures.push(`${wrong} of ${name} (${by}) are not as it was told`);
    }
    const [[integrity]] = await rows(client, "pragma integrity_check");
    if (integrity !== "ok") failures.push(`integrity_check says ${integrity}`);
    return failures.map((failure) => `${failure}, ${where}`);
  }
}

/** Shares a commit with others. */
function shortWrite(id: number) {
  return [{ sql: "insert into t values (?, ?)", params: [id, id] }];
}

/** Has so many statements that it runs alone, off the loop. */
function longWrite(id: number) {
  const steps = Array.from({ length: 501 }, (_, step) => ({
    sql: "update t set a = ? where id = ?",
    params: [step === 500 ? id : 0, id],
  }));
  return [{ sql: "insert into t values (?, 0)", params: [id] }, ...steps];
}
