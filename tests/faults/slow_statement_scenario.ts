import { startDaemon } from "../daemon_fixture.ts";
import { exec, sleep } from "../e2e/daemon_case.ts";
import { WireClient } from "../wire_client.ts";
import { outcome, type Scenario } from "./scenario.ts";

const ENDLESS = "with recursive n(i) as (select 1 union all select i + 1 from n) select i from n";

/** Endless each in a way of its own. */
const REQUESTS: readonly object[] = [
  { type: "Query", sql: `select count(*) from (${ENDLESS})` },
  { type: "ExecBatch", stmts: [{ sql: `insert into t select count(*) from (${ENDLESS})` }] },
  {
    type: "ExecBatch",
    stmts: [{ sql: "insert into t values (1)" }, { sql: `insert into t ${ENDLESS}` }],
  },
];

const SIZES = {
  short: { repeats: 1, windowMs: 600 },
  faults: { repeats: 5, windowMs: 2_000 },
  soak: { repeats: 25, windowMs: 4_000 },
};
const PING_P99_MS_MAX = 50;
const WRITE_P99_RATIO_MAX = 2;
/** How much later than its deadline it may be cut. */
const LATE_MS_MAX = { short: 3_000, faults: 300, soak: 300 };

/** A statement that never ends. */
export const scenario: Scenario = {
  name: "slow statement",
  what:
    "an endless statement is cut at its timeout_ms; meanwhile a Ping takes as long as ever, and so do " +
    "writes to another database",
  async run({ size, log }) {
    await using daemon = await startDaemon({ files: ["slow.db", "other.db"] });
    await using slow = await WireClient.open(daemon.endpoints[0]);
    await using pinger = await WireClient.open(daemon.endpoints[0]);
    await using writer = await WireClient.open(daemon.endpoints[1]);
    await exec(slow, "create table t(a)");
    await exec(writer, "create table t(a)");
    const { repeats, windowMs } = SIZES[size];
    const failures: string[] = [];
    const figures: Figures[] = [];
    await measure(pinger, writer, windowMs);
    for (let i = 0; i < repeats * REQUESTS.length; i++) {
      const before = await measure(pinger, writer, windowMs);
      const started = performance.now();
      const answer = slow.ask({ ...REQUESTS[i % REQUESTS.length], timeout_ms: windowMs + 200 });
      const lateMs = answer.then(() => performance.now() - started - windowMs - 200);
      await sleep(100);
      const beside = await measure(pinger, writer, windowMs);
      const { code } = await answer;
      const late = await lateMs;
      if (code !== "TIMEOUT" || late < -5 || late > LATE_MS_MAX[size]) {
        failures.push(`It was answered ${code}, ${late.toFixed(0)} ms after its deadline`);
      }
      figures.push({ ping: beside.ping, writeBefore: before.write, write: beside.write });
    }
    const ping = median(figures.map((each) => each.ping));
    const ratio = median(figures.map(({ write, writeBefore }) => write / writeBefore));
    const write = median(figures.map((each) => each.write));
    log(figures.map(describe).join("; "));
    if (size !== "short") {
      if (ping > PING_P99_MS_MAX) failures.push(`p99 of Ping: ${ping.toFixed(1)} ms`);
      if (ratio > WRITE_P99_RATIO_MAX) failures.push(`p99 of writes: ${ratio.toFixed(2)}×`);
    }
    const tried = `${figures.length} times; p99 of Ping ${ping.toFixed(1)} ms, ` +
      `of writes elsewhere ${write.toFixed(1)} ms, ${ratio.toFixed(2)}×`;
    return outcome(tried, failures);
  },
};

/** 99th percentiles, in milliseconds. */
interface Figures {
  readonly ping: number;
  readonly writeBefore: number;
  readonly write: number;
}

function describe({ ping, writeBefore, write }: Figures): string {
  return `Ping ${ping.toFixed(1)}, writes ${writeBefore.toFixed(1)} → ${write.toFixed(1)} ms`;
}

/** The 99th percentiles of Pings and of writes that follow one another for so long. */
async function measure(
  pinger: WireClient,
  writer: WireClient,
  ms: number,
): Promise<{ ping: number; write: number }> {
  const until = performance.now() + ms;
  const times = async (ask: () => Promise<unknown>) => {
    const all: number[] = [];
    while (performance.now() < until) {
      const started = performance.now();
      await ask();
      all.push(performance.now() - started);
      await sleep(2);
    }
    return all.sort((a, b) => a - b)[Math.floor(all.length * 0.99)];
  };
  const [ping, write] = await Promise.all([
    times(() => pinger.ask({ type: "Ping" })),
    times(() => exec(writer, "insert into t values (1)")),
  ]);
  return { ping, write };
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1];
}
