import { readFileSync } from "node:fs";
import { type DaemonFixture, startDaemon } from "../daemon_fixture.ts";
import { exec, sleep } from "../e2e/daemon_case.ts";
import { WireClient } from "../wire_client.ts";
import { type Harm, HARMS, type HarmStage, LARGE_FILE_BYTES } from "./harms.ts";
import { HoldingMeter, type Times } from "./holding_meter.ts";
import { outcome, type Scenario, type Size } from "./scenario.ts";

const MiB = 2 ** 20;
/** How long the statements of a harm may run. */
const TIMEOUT_MS: Readonly<Record<Size, number>> = { short: 600, faults: 6_000, soak: 60_000 };
/** Past it a harm is given up. */
const HARM_MS_MAX: Readonly<Record<Size, number>> = {
  short: 8_000,
  faults: 120_000,
  soak: 600_000,
};
/** What others may suffer; in the short form, on a machine that does much else, only what is no luck. */
const BOUNDS: Readonly<Record<Size, { p99: number; max: number; mebibytes: number }>> = {
  short: { p99: 1_000, max: 2_000, mebibytes: 500 },
  faults: { p99: 50, max: 250, mebibytes: 300 },
  soak: { p99: 50, max: 250, mebibytes: 300 },
};
const ROW_BYTES = 1_000_000;
const MEMORY_PAUSE_MS = 50;
/** With more than this a daemon is started anew. */
const MEBIBYTES_LEFT_MAX = 100;
/** As if there was a request in so many milliseconds, whether or not the one before was answered. */
const PACE_MS = 10;

/** One connection does harm; another asks for Ping, a query and a write on another database. */
export const scenario: Scenario = {
  name: "holding",
  what: "while one connection does what takes long or takes memory, others are answered as ever",
  skip: () => Deno.build.os === "linux" ? undefined : "only Linux tells a process's memory",
  async run({ size, log }) {
    await using daemon = await startDaemon({ files: ["harmed.db", "other.db"] });
    await prepare(daemon, size);
    const failures: string[] = [];
    let worst = 0;
    log(row("", "Ping p50", "p99", "max", "Query p99", "max", "write p99", "max", "MiB"));
    for (const harm of HARMS) {
      const found = await measure(daemon, harm, size);
      const { p50, p99, max } = spread(found.times.ping);
      const query = spread(found.times.query);
      const write = spread(found.times.write);
      const ms = [p50, p99, max, query.p99, query.max, write.p99, write.max];
      log(row(harm.name, ...ms.map((each) => each.toFixed(1)), found.mebibytes.toFixed(0)));
      worst = Math.max(worst, max);
      const bounds = BOUNDS[size];
      if (p99 > bounds.p99) failures.push(`${harm.name}: p99 of Ping ${p99.toFixed(0)} ms`);
      if (max > bounds.max) failures.push(`${harm.name}: slowest Ping ${max.toFixed(0)} ms`);
      if (found.mebibytes > bounds.mebibytes) {
        failures.push(`${harm.name}: ${found.mebibytes.toFixed(0)} MiB of private memory`);
      }
      failures.push(...found.failures.map((what) => `${harm.name}: ${what}`));
      // What one leaves behind is not the next one's.
      if (max > bounds.max || found.mebibytes > MEBIBYTES_LEFT_MAX) await daemon.restart();
    }
    failures.push(...await endTwice(daemon));
    return outcome(`${HARMS.length} harms, slowest Ping ${worst.toFixed(0)} ms`, failures);
  },
};

async function prepare({ endpoints }: DaemonFixture, size: Size): Promise<void> {
  await using harmed = await WireClient.open(endpoints[0]);
  await using other = await WireClient.open(endpoints[1]);
  await exec(other, "create table small(a)", "insert into small values (0)");
  await exec(harmed, "create table large(a)", "create table many(a)");
  const rows = LARGE_FILE_BYTES[size] / ROW_BYTES;
  const filling = "insert into large values (randomblob(?))";
  const stmts = Array.from({ length: 10 }, () => ({ sql: filling, params: [ROW_BYTES] }));
  for (let i = 0; i < rows; i += stmts.length) {
    const answer = await harmed.ask({ type: "ExecBatch", stmts, timeout_ms: 60_000 });
    if (answer.status !== "ok") throw new Error(JSON.stringify(answer));
  }
}

/** What was found while a harm was done. */
interface Found {
  readonly times: Times;
  /** The most that the daemon had. */
  readonly mebibytes: number;
  readonly failures: readonly string[];
}

async function measure(daemon: DaemonFixture, harm: Harm, size: Size): Promise<Found> {
  using meter = new HoldingMeter();
  await meter.begin(daemon.endpoints[1]);
  const memory = new MemoryWatch(daemon.pid);
  const failures: string[] = [];
  {
    await using stack = new AsyncDisposableStack();
    const stage: HarmStage = {
      daemon,
      size,
      timeoutMs: TIMEOUT_MS[size],
      open: async (endpoint = daemon.endpoint) => stack.use(await WireClient.open(endpoint)),
    };
    const harming = harm.run(stage).catch((error) => [String(error)]);
    const late = sleep(HARM_MS_MAX[size]).then(() => ["it was given up"]);
    failures.push(...await Promise.race([harming, late]));
  }
  const times = await meter.end();
  const mebibytes = memory.end();
  return { times, mebibytes, failures };
}

/** The most private memory that a process has. */
class MemoryWatch {
  #most = 0;
  readonly #timer: ReturnType<typeof setInterval>;

  constructor(readonly pid: number) {
    this.#timer = setInterval(() => this.#look(), MEMORY_PAUSE_MS);
    this.#look();
  }

  #look(): void {
    const text = readFileSync(`/proc/${this.pid}/smaps_rollup`, "utf8");
    const bytes = Number(/^Pss_Anon:\s+(\d+) kB$/m.exec(text)![1]) * 1024;
    this.#most = Math.max(this.#most, bytes / MiB);
  }

  end(): number {
    clearInterval(this.#timer);
    this.#look();
    return this.#most;
  }
}

/** A query of a day is under way: the second SIGTERM ends the process at once. */
async function endTwice({ child, endpoint }: DaemonFixture): Promise<string[]> {
  await using client = await WireClient.open(endpoint);
  const endless =
    "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n";
  await client.begin({ type: "Query", sql: endless, timeout_ms: 86_400_000 });
  child.kill("SIGTERM");
  await sleep(300);
  child.kill("SIGTERM");
  const ended = await Promise.race([child.status, sleep(10_000)]);
  return ended === undefined ? ["the second SIGTERM did not end the process"] : [];
}

function spread(times: readonly number[]): { p50: number; p99: number; max: number } {
  const paced = times.flatMap((ms) =>
    Array.from({ length: 1 + Math.floor(ms / PACE_MS) }, (_, i) => ms - i * PACE_MS)
  );
  const sorted = paced.toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.floor(share * (sorted.length - 1))] ?? NaN;
  return { p50: at(0.5), p99: at(0.99), max: at(1) };
}

/** A line of the table. */
function row(name: string, ...cells: string[]): string {
  return name.slice(0, 45).padEnd(46) + cells.map((cell) => cell.padStart(11)).join("");
}
