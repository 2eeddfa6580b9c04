import { Buffer } from "node:buffer";
import { encodeFrame } from "../../client/frame.ts";
import { startDaemon } from "../daemon_fixture.ts";
import { exec, sleep } from "../e2e/daemon_case.ts";
import { WireClient } from "../wire_client.ts";
import { SCHEMA_ALL } from "./poison_model.ts";
import { type Poison, POISONS, USED_KEY } from "./poisons.ts";
import { integerBetween, outcome, type Scenario } from "./scenario.ts";

const CLIENTS = 8;
const IN_FLIGHT = 4;
const WINDOW_MS = 500;
/** A ratio over this is measured again, and the median of so many counts. */
const SLOWER_MAX = 2;
const REPEATS = 3;

/** A client that fails all day, beside clients that write. */
export const scenario: Scenario = {
  name: "failing all day",
  what: "a client that fails all day, in each way, slows the others by less than 2×",
  async run({ size, random, log }) {
    await using daemon = await startDaemon();
    await using stack = new AsyncDisposableStack();
    const open = async () => stack.use(await WireClient.open(daemon.endpoint));
    const poisoner = await open();
    await exec(poisoner, ...SCHEMA_ALL);
    const stmts = [{ sql: "select 'the request of this key'" }];
    await poisoner.ask({ type: "ExecBatch", stmts, key: USED_KEY });
    const load = new Load(await Promise.all(Array.from({ length: CLIENTS }, open)));
    const kinds = size === "short" ? some(POISONS, 3, random) : POISONS;
    const failures: string[] = [];
    let worst = { kind: "none", ratio: 0 };
    await load.rate(WINDOW_MS);
    for (const poison of kinds) {
      let ratio = await slower(load, poisoner, poison);
      if (ratio > SLOWER_MAX && size !== "short") {
        const all = [ratio];
        while (all.length < REPEATS) all.push(await slower(load, poisoner, poison));
        ratio = all.sort((a, b) => a - b)[REPEATS >> 1];
        if (ratio > SLOWER_MAX) failures.push(`${poison.kind}: ${ratio.toFixed(2)}× slower`);
      }
      log(`${poison.kind}: ${ratio.toFixed(2)}×`);
      if (ratio > worst.ratio) worst = { kind: poison.kind, ratio };
    }
    await load.end();
    const tried = `${kinds.length} kinds, worst ${worst.ratio.toFixed(2)}× (${worst.kind})`;
    return outcome(tried, [...failures, ...load.failures]);
  },
};

function some<T>(all: readonly T[], count: number, random: () => number): T[] {
  return Array.from({ length: count }, () => all[integerBetween(random, 0, all.length - 1)]);
}

/** How many times as much the others write without the poisoner as with it. */
async function slower(load: Load, poisoner: WireClient, poison: Poison): Promise<number> {
  const before = await load.rate(WINDOW_MS);
  let poisoning = true;
  const frame = encodeFrame(
    JSON.stringify({ type: "ExecBatch", stmts: poison.stmts, ...poison.fields }),
  );
  const work = (async () => {
    while (poisoning) {
      poisoner.sendBytes(frame);
      const { status } = await poisoner.next() ?? {};
      if (status !== "error") throw new Error(`${poison.kind} was answered ${status}`);
    }
  })();
  const beside = await load.rate(WINDOW_MS);
  poisoning = false;
  await work;
  const after = await load.rate(WINDOW_MS);
  return (before + after) / 2 / beside;
}

/** Clients that each keep some writes in flight. */
class Load {
  readonly failures: string[] = [];
  #done = 0;
  #on = true;
  readonly #working: Promise<void[]>;

  constructor(clients: readonly WireClient[]) {
    const frame = encodeFrame(JSON.stringify({
      type: "ExecBatch",
      id: 1,
      stmts: [{ sql: "insert into numbers(client, n) values (?, ?)", params: [1, "some text"] }],
    }));
    this.#working = Promise.all(clients.map(async (client) => {
      client.sendBytes(Buffer.concat(Array<Uint8Array>(IN_FLIGHT).fill(frame)));
      let waiting = IN_FLIGHT;
      while (waiting > 0) {
        const answer = await client.next();
        if (answer?.status !== "ok") this.failures.push(JSON.stringify(answer));
        if (answer === null) return;
        this.#done++;
        if (this.#on) client.sendBytes(frame);
        else waiting--;
      }
    }));
  }

  /** Answers a second, over so many milliseconds. */
  async rate(ms: number): Promise<number> {
    const [done, started] = [this.#done, performance.now()];
    await sleep(ms);
    return (this.#done - done) / (performance.now() - started) * 1000;
  }

  async end(): Promise<void> {
    this.#on = false;
    await this.#working;
  }
}
