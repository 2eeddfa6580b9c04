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
import { anyPoint, PointCheck } from "./points.ts";
import { Tally, type WorkerOptions } from "./worker.ts";

/** What the generator is told. */
export interface LoadOptions extends WorkerOptions {
  readonly endpoint: string;
  readonly connections: number;
  readonly inFlight: number;
  /** The request, without its id. */
  readonly request: object;
  /**
   * How one differs from the next: it is numbered in its connection's session, it has a key of its own, or it reads a
   * row of {@link POINTS} by id, its only parameter.
   */
  readonly varied?: "session" | "key" | "point";
}

const PREFIX_BYTES = 4;
/** An answer begins with its id and its status. */
const [ID_AT, STATUS_BEHIND] = [PREFIX_BYTES + '{"id":'.length, ',"status":"'.length];
const [LETTER_O, DIGIT_0, DIGIT_9, SPACE] = Buffer.from("o09 ");

/** Stands in the frames where a number is written over it, as wide as that. */
const PLACEHOLDERS = [1_000_000_001, 1_000_000_002] as const;
const DIGITS = 10;

/** What a request has more, with placeholders for what differs. */
function variation({ varied }: LoadOptions): object {
  const [number, acked] = PLACEHOLDERS;
  switch (varied) {
    case "session":
      return { client: crypto.randomUUID(), seq: number, acked };
    case "key":
      return { key: `${crypto.randomUUID()} ${number}` };
    case "point":
      return { params: [number] };
  }
  return {};
}

/** The frames of a connection's requests, twice in a row: any number of them that follow one another is one piece. */
class Frames {
  readonly #bytes: Buffer;
  readonly #ends: number[] = [0];
  /** Where in a frame the placeholders stand, if any. */
  readonly #numbersAt: number[];

  constructor(options: LoadOptions) {
    const ids = Array.from({ length: options.inFlight }, (_, id) => id);
    // The id last, so that the numbers stand at one place in all frames.
    const request = { ...options.request, ...variation(options) };
    const frames = ids.map((id) => encodeFrame(JSON.stringify({ ...request, id })));
    this.#bytes = Buffer.concat([...frames, ...frames]);
    for (const { length } of [...frames, ...frames]) this.#ends.push(this.#ends.at(-1)! + length);
    this.#numbersAt = PLACEHOLDERS.map((number) => this.#bytes.indexOf(String(number)))
      .filter((at) => at >= 0);
  }

  /** The frames of `count` places from `from` on, of which the one `i` places behind has the number `number(i)`. */
  slice(from: number, count: number, number: (i: number) => number, acked: number): Buffer {
    for (let i = 0; i < count && this.#numbersAt.length > 0; i++) {
      const frameAt = this.#ends[from + i];
      this.#numbersAt.forEach((at, which) => {
        this.#write(which === 0 ? number(i) : acked, frameAt + at);
      });
    }
    return this.#bytes.subarray(this.#ends[from], this.#ends[from + count]);
  }

  /** Writes a number over the one at `at`, behind spaces: by way of a text it takes twice as long. */
  #write(number: number, at: number): void {
    const last = at + DIGITS - 1;
    for (let i = last, left = number; i >= at; i--, left = Math.floor(left / 10)) {
      this.#bytes[i] = left > 0 || i === last ? DIGIT_0 + left % 10 : SPACE;
    }
  }
}

/** One connection. A request's id is its place; the next that takes the place is sent when it is answered. */
class Connection {
  readonly #socket: Socket;
  readonly #options: LoadOptions;
  readonly #frames: Frames;
  readonly #tally: Tally;
  readonly #sentAt: Float64Array;
  /** The rows that are asked for, by place. */
  readonly #points: Int32Array;
  readonly #pointCheck = new PointCheck();
  #sent = 0;
  #answered = 0;
  #rest: Buffer | undefined;
  readonly #ended = Promise.withResolvers<void>();

  constructor(socket: Socket, options: LoadOptions, tally: Tally) {
    this.#socket = socket;
    this.#options = options;
    this.#frames = new Frames(options);
    this.#tally = tally;
    this.#sentAt = new Float64Array(options.inFlight);
    this.#points = new Int32Array(options.inFlight);
    socket.on("data", (chunk: Buffer) => this.#received(chunk));
    socket.on("error", this.#ended.reject);
    socket.on("close", () => this.#ended.reject(new Error("The daemon closed a connection")));
  }

  /** Settles when the time is over and everything is answered. */
  run(): Promise<void> {
    this.#send(0, this.#options.inFlight, performance.now());
    return this.#ended.promise;
  }

  /** Sends the requests of `count` places from `from` on. */
  #send(from: number, count: number, now: number): void {
    const { inFlight, varied } = this.#options;
    const number = (i: number) => {
      if (varied !== "point") return this.#sent + 1 + i;
      return this.#points[(from + i) % inFlight] = anyPoint();
    };
    for (let i = 0; i < count; i++) this.#sentAt[(from + i) % inFlight] = now;
    this.#socket.write(this.#frames.slice(from, count, number, this.#answered));
    this.#sent += count;
  }

  #received(received: Buffer): void {
    const { inFlight } = this.#options;
    const chunk = this.#rest === undefined ? received : Buffer.concat([this.#rest, received]);
    const now = performance.now();
    const goesOn = now < this.#tally.until;
    let at = 0, from = 0, count = 0;
    while (at + PREFIX_BYTES <= chunk.length) {
      const end = at + PREFIX_BYTES + chunk.readUInt32LE(at);
      if (end > chunk.length) break;
      const place = this.#count(chunk.subarray(at, end), now);
      // Places that follow one another are one piece; answers that overtook others are not.
      if (count > 0 && place !== (from + count) % inFlight) {
        if (goesOn) this.#send(from, count, now);
        count = 0;
      }
      if (count === 0) from = place;
      count++;
      at = end;
    }
    this.#rest = at < chunk.length ? chunk.subarray(at) : undefined;
    if (goesOn && count > 0) this.#send(from, count, now);
    else if (this.#answered === this.#sent) this.#ended.resolve();
  }

  /** Counts an answer, and gives the place of its request. */
  #count(frame: Buffer, now: number): number {
    let place = 0, at = ID_AT;
    for (; frame[at] >= DIGIT_0 && frame[at] <= DIGIT_9; at++) {
      place = place * 10 + frame[at] - DIGIT_0;
    }
    const { varied, inFlight } = this.#options;
    if (varied === "session" && place !== this.#answered % inFlight) {
      throw new Error("Writes of a session were not answered in their order");
    }
    this.#answered++;
    const body = () => JSON.parse(frame.toString("utf8", PREFIX_BYTES));
    if (frame[at + STATUS_BEHIND] !== LETTER_O) {
      this.#tally.failed(body().code, this.#sentAt[place], now);
      return place;
    }
    this.#tally.done(this.#sentAt[place], now);
    if (varied === "point" && this.#pointCheck.isDue()) {
      this.#pointCheck.check(body().rows[0], this.#points[place]);
    }
    return place;
  }
}

async function main(options: LoadOptions): Promise<void> {
  const sockets = await Promise.all(
    Array.from({ length: options.connections }, () => open(options.endpoint)),
  );
  const tally = await Tally.start(options);
  await Promise.all(
    sockets.map((socket) => new Connection(socket, options, tally).run()),
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
