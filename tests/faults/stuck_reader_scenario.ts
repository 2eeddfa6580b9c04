import { DatabaseSync } from "node:sqlite";
import { type DaemonFixture, startDaemon } from "../daemon_fixture.ts";
import { exec, rows, sleep } from "../e2e/daemon_case.ts";
import { type Answer, WireClient } from "../wire_client.ts";
import { outcome, type Scenario, type Size } from "./scenario.ts";

const MIB = 1024 * 1024;
/** What one request writes, in bytes. */
const REQUEST_BYTES = 100_000;
/** The log is under it soon after the reader's end. */
const WAL_AFTER_BYTES_MAX = 64 * MIB;
const AFTER_MS_MAX = 10_000;
const ANSWER_MS_MAX = 100;
const TIMES_LATE_MAX = 3;
/** A log may be larger than its cap by what was under way when it was reached. */
const OVER_CAP_BYTES_MAX = 2 * MIB;

interface Run {
  readonly capMiB: number;
  readonly megabytes: number;
}

const RUNS: Readonly<Record<Size, readonly Run[]>> = {
  short: [{ capMiB: 16, megabytes: 24 }],
  faults: [{ capMiB: 1024, megabytes: 200 }, { capMiB: 64, megabytes: 200 }],
  soak: [
    { capMiB: 1024, megabytes: 900 },
    { capMiB: 128, megabytes: 1_000 },
    { capMiB: 16, megabytes: 200 },
  ],
};

/** A reader that keeps the log from being copied. */
export const scenario: Scenario = {
  name: "stuck reader",
  what:
    "another program reads for as long as much is written: the log keeps its cap, is small soon after " +
    "the reader's end, and no answer waits for a checkpoint",
  async run({ size, log }) {
    const failures: string[] = [];
    const tried: string[] = [];
    for (const run of RUNS[size]) {
      // An answer that waits for a checkpoint does so each time; one that waits for the machine does not.
      for (let i = 1;; i++) {
        await using daemon = await startDaemon({ args: ["--wal-limit", `${run.capMiB}MiB`] });
        const held = new Held(daemon, run, failures);
        const figures = await held.run();
        log(figures);
        const late = size === "short" ? null : held.late;
        if (late !== null && i < TIMES_LATE_MAX) continue;
        if (late !== null) failures.push(late);
        tried.push(figures);
        break;
      }
    }
    return outcome(tried.join("; "), failures);
  },
};

class Held {
  #largest = 0;
  #refused = 0;
  #kept = 0;
  /** The longest that an answer took: without the reader, with it, and after its end. */
  readonly #slowestMs = { without: 0, with: 0, after: 0 };

  constructor(
    readonly daemon: DaemonFixture,
    readonly options: Run,
    readonly failures: string[],
  ) {}

  async run(): Promise<string> {
    const { capMiB, megabytes } = this.options;
    await using first = await WireClient.open(this.daemon.endpoint);
    await using second = await WireClient.open(this.daemon.endpoint);
    const clients = [first, second];
    await exec(first, "create table t(id integer primary key, client, a)");
    await exec(first, "insert into t values (0, 0, '')");
    await this.#write(clients, megabytes / 4, "without");
    {
      using reader = new DatabaseSync(this.daemon.file, { readOnly: true });
      reader.exec("begin");
      const count = () => Number(reader.prepare("select count(*) as n from t").get()!.n);
      const seen = count();
      this.#largest = 0;
      await this.#write(clients, megabytes, "with");
      if (count() !== seen) this.failures.push("the reader saw what was written after it began");
      await this.#checkRefusals(first);
      reader.exec("end");
    }
    const afterMs = await this.#untilSmall(first);
    await this.#checkKept(first);
    const { without, with: beside, after } = this.#slowestMs;
    return `cap ${capMiB} MiB, ${megabytes} MB: log up to ${
      (this.#largest / MIB).toFixed(0)
    } MiB, ` +
      `${this.#refused} refused, small ${(afterMs / 1000).toFixed(1)} s after; slowest answer ` +
      `${without.toFixed(0)} ms without, ${beside.toFixed(0)} with, ${after.toFixed(0)} after`;
  }

  get #walBytes(): number {
    return Deno.lstatSync(`${this.daemon.file}-wal`).size;
  }

  /** Each client writes its share; what is refused is not sent again. */
  async #write(
    clients: readonly WireClient[],
    megabytes: number,
    when: "without" | "with",
  ): Promise<void> {
    const requests = Math.ceil(megabytes * 1e6 / REQUEST_BYTES / clients.length);
    await Promise.all(clients.map(async (client, c) => {
      for (let i = 0; i < requests; i++) {
        this.#note(await this.#writeOne(client, c, when));
        if (i % 10 === 0) this.#largest = Math.max(this.#largest, this.#walBytes);
      }
    }));
    this.#largest = Math.max(this.#largest, this.#walBytes);
    const bound = this.options.capMiB * MIB + OVER_CAP_BYTES_MAX;
    if (this.#largest > bound) this.failures.push(`The log grew to ${this.#largest} bytes`);
  }

  async #writeOne(
    client: WireClient,
    c: number,
    when: "without" | "with" | "after",
  ): Promise<Answer> {
    const sql = `insert into t(client, a) values (${c}, randomblob(${REQUEST_BYTES}))`;
    const started = performance.now();
    const answer = await client.ask({ type: "ExecBatch", stmts: [{ sql }] });
    this.#slowestMs[when] = Math.max(this.#slowestMs[when], performance.now() - started);
    return answer;
  }

  #note({ status, code, retry }: Answer): void {
    if (status === "ok") this.#kept++;
    else if (code === "WAL_FULL" && retry === "safe") this.#refused++;
    else this.failures.push(`A write was answered ${code}, retry ${retry}`);
  }

  /** Once the cap is reached writes are refused, and only then; reads go on. */
  async #checkRefusals(client: WireClient): Promise<void> {
    const { capMiB, megabytes } = this.options;
    const isOver = megabytes * 1e6 > capMiB * MIB;
    if (isOver !== this.#refused > 0) {
      this.failures.push(`${this.#refused} of ${megabytes} MB refused at a cap of ${capMiB} MiB`);
    }
    await this.#checkKept(client);
    const { databases: [{ wal_held_ms: heldMs }] } = await client.ask({ type: "Status" });
    if (!(heldMs > 0)) this.failures.push(`Status says that the log is held for ${heldMs} ms`);
  }

  async #checkKept(client: WireClient): Promise<void> {
    const [[count]] = await rows(client, "select count(*) from t where id > 0");
    if (count !== this.#kept) {
      this.failures.push(`${this.#kept} were acknowledged, ${count} are there`);
    }
  }

  /** Writes a little, until the log is small again; gives how long that took. */
  async #untilSmall(client: WireClient): Promise<number> {
    const ended = performance.now();
    let accepted = false;
    for (;;) {
      const answer = await this.#writeOne(client, 9, "after");
      this.#note(answer);
      accepted ||= answer.status === "ok";
      const tookMs = performance.now() - ended;
      if (accepted && this.#walBytes < WAL_AFTER_BYTES_MAX) return tookMs;
      if (tookMs > AFTER_MS_MAX) {
        const size = (this.#walBytes / MIB).toFixed(0);
        this.failures.push(
          `10 s after the reader's end the log has ${size} MiB, accepted: ${accepted}`,
        );
        return tookMs;
      }
      await sleep(20);
    }
  }

  /** Which answer took too long; `null` if none, or if one takes as long without a reader. */
  get late(): string | null {
    const { without, with: beside, after } = this.#slowestMs;
    const most = Math.max(ANSWER_MS_MAX, 2 * without);
    if (beside > most) return `An answer took ${beside.toFixed(0)} ms beside the reader`;
    return after > most ? `An answer took ${after.toFixed(0)} ms after the reader's end` : null;
  }
}
