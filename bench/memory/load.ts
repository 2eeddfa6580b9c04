/**
 * A process that connects to a daemon and writes, as it is told line by line on its standard input; each line is answered
 * by one when it is done. It has a process of its own, so that its memory is not the daemon's.
 *
 * @module
 */
import { encodeFrame } from "../../client/frame.ts";

/** What the process is told to do. */
export type Order =
  /** Opens connections, which stay open. */
  | { readonly do: "open"; readonly connections: number }
  /** Each open connection writes so many times, all at once, with a pause after each time. */
  | { readonly do: "write"; readonly times: number; readonly pauseMs: number }
  /** Connections that write once and close: so many at a time, or all begun `everyMs` apart. */
  | { readonly do: "shoot"; readonly shots: number; readonly atATime: number }
  | { readonly do: "shoot"; readonly shots: number; readonly everyMs: number };

/** What it answers: how many shots a second each thousand of them made, where there were any. */
export interface Done {
  readonly perSecond: readonly number[];
}

const CREATE = frame("create table t (id integer primary key, text text)");
const WRITE = frame("insert into t (text) values (?)", "x".repeat(100));
const ANSWER_BYTES_MAX = 4_096;
const PREFIX_BYTES = 4;
const THOUSAND = 1_000;

const decoder = new TextDecoder();

function frame(sql: string, ...params: string[]): Uint8Array {
  return encodeFrame(JSON.stringify({ type: "ExecBatch", stmts: [{ sql, params }] }));
}

/** Sends a request and waits for the answer, which comes in one piece. */
async function ask(connection: Deno.Conn, request: Uint8Array): Promise<void> {
  await connection.write(request);
  const answer = new Uint8Array(ANSWER_BYTES_MAX);
  const length = await connection.read(answer);
  const text = decoder.decode(answer.subarray(PREFIX_BYTES, length ?? 0));
  if (JSON.parse(text || "{}").status !== "ok") throw new Error(`A write failed: ${text}`);
}

class Load {
  readonly #path: string;
  readonly #open: Deno.Conn[] = [];
  #hasTable = false;

  constructor(path: string) {
    this.#path = path;
  }

  /** Before the first order the table is made, on a connection of its own. */
  async run(order: Order): Promise<Done> {
    if (!this.#hasTable) await this.#shoot(CREATE);
    this.#hasTable = true;
    switch (order.do) {
      case "open":
        for (let i = 0; i < order.connections; i++) this.#open.push(await this.#connect());
        return { perSecond: [] };
      case "write":
        for (let i = 0; i < order.times; i++) {
          await Promise.all(this.#open.map((connection) => ask(connection, WRITE)));
          await sleep(order.pauseMs);
        }
        return { perSecond: [] };
      case "shoot":
        return "everyMs" in order
          ? await this.#shootEvery(order.shots, order.everyMs)
          : await this.#shootAtATime(order.shots, order.atATime);
    }
  }

  #connect(): Promise<Deno.Conn> {
    return Deno.connect({ transport: "unix", path: this.#path });
  }

  async #shoot(request = WRITE): Promise<void> {
    using connection = await this.#connect();
    await ask(connection, request);
  }

  async #shootAtATime(shots: number, atATime: number): Promise<Done> {
    const perSecond: number[] = [];
    let begun = 0, done = 0, since = performance.now();
    await Promise.all(Array.from({ length: atATime }, async () => {
      while (begun++ < shots) {
        await this.#shoot();
        if (++done % THOUSAND !== 0) continue;
        const now = performance.now();
        perSecond.push(THOUSAND / (now - since) * 1_000);
        since = now;
      }
    }));
    return { perSecond };
  }

  async #shootEvery(shots: number, everyMs: number): Promise<Done> {
    const from = performance.now();
    const running: Promise<void>[] = [];
    for (let i = 0; i < shots; i++) {
      await sleep(Math.max(0, from + i * everyMs - performance.now()));
      running.push(this.#shoot());
    }
    await Promise.all(running);
    return { perSecond: [] };
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

if (import.meta.main) {
  const load = new Load(Deno.args[0]);
  let rest = "";
  for await (const text of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    for (const line of lines) console.log(JSON.stringify(await load.run(JSON.parse(line))));
  }
}
