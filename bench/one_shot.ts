/**
 * A worker that sends each request on a connection of its own: it connects, sends, waits for the answer and closes, on
 * so many connections at a time.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { once } from "node:events";
import { connect } from "node:net";
import { encodeFrame } from "../client/frame.ts";
import { Tally, type WorkerOptions } from "./worker.ts";

/** What the generator is told. */
export interface OneShotOptions extends WorkerOptions {
  readonly endpoint: string;
  /** Connections that are open at a time. */
  readonly atATime: number;
  readonly request: object;
  /** Whether the request is the first of a session, which ends with the connection, as the client's do. */
  readonly session: boolean;
}

/** A connection, as Deno's are. */
type Pipe = Pick<Deno.Conn, "write" | "read" | "close">;

/** Longer than any answer here, which comes in one piece. */
const ANSWER_BYTES_MAX = 4_096;
const PREFIX_BYTES = 4;

const decoder = new TextDecoder();

/** Deno's own sockets where it has them: with those of `node:net` the generator took a third more time, and was measured. */
async function open(endpoint: string): Promise<Pipe> {
  if (Deno.build.os !== "windows") {
    return await Deno.connect({ transport: "unix", path: endpoint });
  }
  const socket = connect(endpoint);
  await once(socket, "connect");
  return {
    write: (bytes) => new Promise((done) => socket.write(bytes, () => done(bytes.length))),
    async read(into) {
      const [chunk] = await once(socket, "data") as [Buffer];
      return chunk.copy(into);
    },
    close: () => void socket.destroy(),
  };
}

/** Sends a request and gives what is wrong with its answer, or `null`. */
async function ask(pipe: Pipe, request: object, into: Uint8Array): Promise<string | null> {
  await pipe.write(encodeFrame(JSON.stringify(request)));
  const length = await pipe.read(into);
  if (length === null) throw new Error("The daemon closed a connection");
  const { status, code } = JSON.parse(decoder.decode(into.subarray(PREFIX_BYTES, length)));
  return status === "ok" ? null : code;
}

async function main(options: OneShotOptions): Promise<void> {
  const tally = await Tally.start(options);
  const shootOn = async () => {
    const answer = new Uint8Array(ANSWER_BYTES_MAX);
    while (performance.now() < tally.until) await shoot(options, tally, answer);
  };
  await Promise.all(Array.from({ length: options.atATime }, shootOn));
  tally.report();
}

/** Counts a connection's request from the moment in which it connects. */
async function shoot(
  { endpoint, request, session }: OneShotOptions,
  tally: Tally,
  answer: Uint8Array,
): Promise<void> {
  const client = crypto.randomUUID();
  const since = performance.now();
  const pipe = await open(endpoint);
  const whole = session ? { ...request, client, seq: 1, acked: 0 } : request;
  const failure = await ask(pipe, whole, answer);
  if (failure === null) tally.done(since, performance.now());
  else tally.failed(failure, since, performance.now());
  if (session && await ask(pipe, { type: "Bye", client }, answer) !== null) {
    throw new Error("Bye was not answered well");
  }
  pipe.close();
}

if (import.meta.main) await main(JSON.parse(Deno.args[0]));
