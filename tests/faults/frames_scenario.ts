import { Buffer } from "node:buffer";
import { connect, type Socket } from "node:net";
import { encodeFrame, FrameDecoder } from "../../client/frame.ts";
import { type DaemonFixture, startDaemon } from "../daemon_fixture.ts";
import { exec, sleep, within } from "../e2e/daemon_case.ts";
import { WireClient } from "../wire_client.ts";
import { mutated } from "./frame_mutator.ts";
import { counted, outcome, type Scenario, type ScenarioRun } from "./scenario.ts";

const FRAMES = { short: 10_000, faults: 1_000_000, soak: 10_000_000 };
const CONNECTIONS = 8;
/** Frames that are sent in one piece before the answers are awaited. */
const PIECE = 200;
/** Past it a request hangs, in milliseconds. */
const HANG_MS = 1_000;
const HUGE_LENGTHS = 1_000;
const GROWTH_BYTES_MAX = 10 * 1024 * 1024;

/** Sends broken frames. */
export const scenario: Scenario = {
  name: "frames",
  what: "mutated frames of every request: no crash, no hang over 1 s, the next good request is " +
    `served; ${HUGE_LENGTHS} lengths of 0xFFFFFFFF take less than 10 MB`,
  async run(it) {
    await using daemon = await startDaemon();
    await using client = await WireClient.open(daemon.endpoint);
    await exec(client, "create table t(a)");
    const attack = new Attack(it, daemon, client);
    const growth = await attack.sendHugeLengths();
    await attack.sendMutants(FRAMES[it.size]);
    const { status } = await client.ask({ type: "Ping" });
    if (status !== "ok") attack.failures.push(`Ping after all: ${status}`);
    if (/Unexpected|INTERNAL_ERROR|panicked/.test(daemon.log())) {
      attack.failures.push(
        `The log: ${daemon.log().match(/.*(Unexpected|INTERNAL|panic).*/)?.[0]}`,
      );
    }
    const memory = growth === undefined ? "" : `, ${(growth / 1e6).toFixed(1)} MB for huge lengths`;
    return outcome(
      `${counted(attack.sent)} frames, ${counted(attack.answers)} answers, ` +
        `slowest good request ${attack.slowestMs.toFixed(0)} ms${memory}`,
      attack.failures,
    );
  },
};

class Attack {
  readonly failures: string[] = [];
  sent = 0;
  answers = 0;
  slowestMs = 0;

  constructor(
    readonly it: ScenarioRun,
    readonly daemon: DaemonFixture,
    readonly client: WireClient,
  ) {}

  /** Many connections at once send mutants, while another one asks for what is right. */
  async sendMutants(count: number): Promise<void> {
    let attacking = true;
    const watching = this.#watch(() => attacking);
    await Promise.all(Array.from({ length: CONNECTIONS }, async () => {
      while (this.sent < count && this.failures.length === 0) await this.#sendPiece();
    }));
    attacking = false;
    await watching;
  }

  /** The good request: at any time it is served in less than a second. It keeps the table small for what reads all of it. */
  async #watch(attacking: () => boolean): Promise<void> {
    let lateMs = 0;
    while (attacking()) {
      const started = performance.now();
      await within(20_000, () => exec(this.client, "delete from t", "insert into t values (1)"))
        .catch((error) => this.failures.push(`A good request is not served: ${error}`));
      const tookMs = performance.now() - started;
      this.slowestMs = Math.max(this.slowestMs, tookMs);
      // A busy machine delays this process as well: that is no hang.
      if (tookMs > HANG_MS + 5 * lateMs) {
        this.failures.push(
          `A good request took ${tookMs.toFixed(0)} ms; timers here are ${
            lateMs.toFixed(0)
          } ms late`,
        );
      }
      const paused = performance.now();
      await sleep(20);
      lateMs = Math.max(lateMs, performance.now() - paused - 20);
    }
  }

  /**
   * Sends some frames, the last one good, and waits until that is answered, or until the length of one has been refused,
   * which nothing can follow.
   */
  async #sendPiece(): Promise<void> {
    const frames: Uint8Array[] = [];
    for (let i = 0; i < PIECE; i++) {
      const mutant = mutated(this.it.random);
      frames.push(mutant.bytes);
      if (mutant.endsStream) break;
    }
    this.sent += frames.length;
    frames.push(encodeFrame(`{"type":"Ping","id":"last"}`));
    const link = await Link.open(this.daemon.endpoint);
    try {
      const started = performance.now();
      link.socket.write(Buffer.concat(frames));
      const ended = await link.ended();
      this.answers += link.answers;
      if (ended !== "answered") {
        const waited = (performance.now() - started).toFixed(0);
        this.failures.push(
          `The connection ${ended} after ${waited} ms and ${link.answers} answers to ${frames.length}: ` +
            Buffer.concat(frames).toString("latin1").slice(0, 3_000),
        );
      }
    } finally {
      link.socket.destroy();
    }
  }

  /** Declares frames of 4 GB; gives how many bytes the daemon's own memory grew by, where the system tells. */
  async sendHugeLengths(): Promise<number | undefined> {
    // What a daemon needs for its first connections is not what these lengths cost.
    await this.#often(async () => {
      await using client = await WireClient.open(this.daemon.endpoint);
      await client.ask({ type: "Nonsense" });
    });
    const before = await settledMemory(this.daemon.pid);
    await this.#often(async () => {
      const link = await Link.open(this.daemon.endpoint);
      link.socket.write(Buffer.from([0xff, 0xff, 0xff, 0xff, 1, 2, 3]));
      if (await link.ended() !== "answered") this.failures.push("0xFFFFFFFF is not answered");
      link.socket.destroy();
    });
    const after = await settledMemory(this.daemon.pid);
    if (before === undefined || after === undefined) return undefined;
    this.it.log(`private memory ${(before / 1e6).toFixed(1)} → ${(after / 1e6).toFixed(1)} MB`);
    if (after - before > GROWTH_BYTES_MAX) this.failures.push(`It grew by ${after - before} bytes`);
    return after - before;
  }

  /** Some at once, as often as there are huge lengths. */
  async #often(once: () => Promise<void>): Promise<void> {
    await Promise.all(Array.from({ length: CONNECTIONS }, async () => {
      for (let i = 0; i < HUGE_LENGTHS / CONNECTIONS; i++) await once();
    }));
  }
}

/** A connection that counts answers. */
class Link {
  answers = 0;
  #isDone = false;
  #isClosed = false;
  #lastAt = performance.now();
  readonly #decoder = new FrameDecoder();

  private constructor(readonly socket: Socket) {
    socket.on("error", () => {});
    socket.on("close", () => this.#isClosed = true);
    socket.on("data", (chunk) => {
      this.#lastAt = performance.now();
      this.#decoder.push(chunk);
      for (let body; (body = this.#decoder.take()) !== null;) {
        this.answers++;
        const text = Buffer.from(body);
        this.#isDone ||= text.includes('"id":"last"') || text.includes('"FRAME_TOO_LARGE"');
      }
    });
  }

  static open(endpoint: string): Promise<Link> {
    return new Promise((resolve, reject) => {
      const socket = connect(endpoint, () => resolve(new Link(socket)));
      socket.once("error", reject);
    });
  }

  /** How it ends: `hangs` if nothing comes for longer than a frame may be silent. */
  async ended(): Promise<"answered" | "closed" | "hangs"> {
    for (;;) {
      if (this.#isDone) return "answered";
      if (this.#isClosed) return "closed";
      if (performance.now() - this.#lastAt > 12_000) return "hangs";
      await sleep(this.answers === 0 ? 1 : 3);
    }
  }
}

/** Bytes of a process's own memory once it falls no more. */
async function settledMemory(pid: number): Promise<number | undefined> {
  let lowest: number | undefined;
  for (let i = 0; i < 20; i++) {
    const now = privateMemory(pid);
    if (now === undefined) return undefined;
    if (lowest !== undefined && now >= lowest && i > 5) return lowest;
    lowest = Math.min(lowest ?? now, now);
    await sleep(100);
  }
  return lowest;
}

function privateMemory(pid: number): number | undefined {
  try {
    const rollup = Deno.readTextFileSync(`/proc/${pid}/smaps_rollup`);
    const kilobytes = /^Pss_Anon:\s+(\d+) kB/m.exec(rollup)?.[1];
    return kilobytes === undefined ? undefined : Number(kilobytes) * 1024;
  } catch {
    return undefined;
  }
}
