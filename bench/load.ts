/**
 * A worker that sends one request over and over to a daemon: on each of its connections so many are in flight, and each
 * answer is followed by the next request. It costs little, or it would measure itself: frames are made beforehand,
 * requests that become due together are one write, and of an answer only its length and its status are looked at.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { connect, type Socket } from "node:net";
import { encodeFrame } from "../client/frame.ts";
import { Tally, type WorkerOptions } from "./worker.ts";

/** What the generator is told. */
export interface LoadOptions extends WorkerOptions {
  readonly endpoint: string;
  readonly connections: number;
  readonly inFlight: number;
  /** The request, without its id. */
  readonly request: object;
  /** How its repetition would be known: it is numbered in its connection's session, or has a key of its own. */
  readonly once?: "session" | "key";
}

const PREFIX_BYTES = 4;
const LETTER_O = "o".charCodeAt(0);

/** Stands in the frames where a number is written over it, as wide as that. */
const PLACEHOLDERS = [1_000_000_001, 1_000_000_002] as const;
const DIGITS = 10;

/** What a request has more so that its repetition would be known. */
function identity({ once }: LoadOptions): object {
  const [number, acked] = PLACEHOLDERS;
  if (once === "session") return { client: crypto.randomUUID(), seq: number, acked };
  return once === "key" ? { key: `${crypto.randomUUID()} ${number}` } : {};
}

/** The frames of a connection's requests, twice in a row: any number of them that follow one another is one piece. */
class Frames {
  readonly #bytes: Buffer;
  readonly #ends: number[] = [0];
  /** Where in a frame the placeholders stand, if any. */
  readonly #numbersAt: number[];
  /** Where in its answer the status begins, by the place of the request. */
  readonly statusAt: number[];

  constructor(options: LoadOptions) {
    const ids = Array.from({ length: options.inFlight }, (_, id) => id);
    // The id last, so that the numbers stand at one place in all frames.
    const request = { ...options.request, ...identity(options) };
    const frames = ids.map((id) => encodeFrame(JSON.stringify({ ...request, id })));
    this.#bytes = Buffer.concat([...frames, ...frames]);
    for (const { length } of [...frames, ...frames]) this.#ends.push(this.#ends.at(-1)! + length);
    this.#numbersAt = PLACEHOLDERS.map((number) => this.#bytes.indexOf(String(number)))
      .filter((at) => at >= 0);
    this.statusAt = ids.map((id) => PREFIX_BYTES + `{"id":${id},"status":"`.length);
  }

  /** The frames of `count` places from `from` on, for the requests from number `seq` on. */
  slice(from: number, count: number, seq: number, acked: number): Buffer {
    for (let i = 0; i < count && this.#numbersAt.length > 0; i++) {
      const frameAt = this.#ends[from + i];
      this.#numbersAt.forEach((at, which) => {
        const number = which === 0 ? seq + i : acked;
        this.#bytes.write(String(number).padEnd(DIGITS), frameAt + at, "latin1");
      });
    }
    return this.#bytes.subarray(this.#ends[from], this.#ends[from + count]);
  }
}

/** One connection. Answers come in the order of the requests, since all are to one database. */
class Connection {
  readonly #socket: Socket;
  readonly #frames: Frames;
  readonly #tally: Tally;
  readonly #sentAt: Float64Array;
  #oldest = 0;
  #waiting = 0;
  #answered = 0;
  #rest: Buffer | undefined;
  readonly #ended = Promise.withResolvers<void>();

  constructor(socket: Socket, frames: Frames, inFlight: number, tally: Tally) {
    this.#socket = socket;
    this.#frames = frames;
    this.#tally = tally;
    this.#sentAt = new Float64Array(inFlight);
    socket.on("data", (chunk: Buffer) => this.#received(chunk));
    socket.on("error", this.#ended.reject);
    socket.on("close", () => this.#ended.reject(new Error("The daemon closed a connection")));
  }

  /** Settles when the time is over and everything is answered. */
  run(): Promise<void> {
    this.#send(this.#sentAt.length, performance.now());
    return this.#ended.promise;
  }

  #send(count: number, now: number): void {
    const from = (this.#oldest + this.#waiting) % this.#sentAt.length;
    for (let i = 0; i < count; i++) this.#sentAt[(from + i) % this.#sentAt.length] = now;
    const seq = this.#answered + this.#waiting + 1;
    this.#waiting += count;
    this.#socket.write(this.#frames.slice(from, count, seq, this.#answered));
  }

  #received(received: Buffer): void {
    const chunk = this.#rest === undefined ? received : Buffer.concat([this.#rest, received]);
    const now = performance.now();
    const waiting = this.#waiting;
    let at = 0;
    while (at + PREFIX_BYTES <= chunk.length) {
      const end = at + PREFIX_BYTES + chunk.readUInt32LE(at);
      if (end > chunk.length) break;
      const since = this.#sentAt[this.#oldest];
      if (chunk[at + this.#frames.statusAt[this.#oldest]] === LETTER_O) {
        this.#tally.done(since, now);
      } else {
        const { code } = JSON.parse(chunk.toString("utf8", at + PREFIX_BYTES, end));
        this.#tally.failed(code, since, now);
      }
      this.#oldest = (this.#oldest + 1) % this.#sentAt.length;
      this.#waiting--;
      this.#answered++;
      at = end;
    }
    this.#rest = at < chunk.length ? chunk.subarray(at) : undefined;
    if (now < this.#tally.until) this.#send(waiting - this.#waiting, now);
    else if (this.#waiting === 0) this.#ended.resolve();
  }
}

async function main(options: LoadOptions): Promise<void> {
  const sockets = await Promise.all(
    Array.from({ length: options.connections }, () => open(options.endpoint)),
  );
  const tally = await Tally.start(options);
  await Promise.all(
    sockets.map((socket) =>
      new Connection(socket, new Frames(options), options.inFlight, tally).run()
    ),
  );
  tally.report();
  for (const socket of sockets) socket.destroy();
}

function open(endpoint: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(endpoint);
    socket.once("error", reject);
    socket.once("connect", () => {
      socket.off("error", reject);
      resolve(socket);
    });
  });
}

if (import.meta.main) await main(JSON.parse(Deno.args[0]));
