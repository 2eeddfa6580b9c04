/**
 * A worker that sends each request on a connection of its own: it connects, sends, waits for the answer and closes, on
 * so many connections at a time.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { connect, type Socket } from "node:net";
import { encodeFrame, FrameDecoder } from "../client/frame.ts";
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

const decoder = new TextDecoder();

/** The frames of one connection, in the order in which they are sent, each when the one before is answered. */
function framesOf({ request, session }: OneShotOptions): Uint8Array[] {
  if (!session) return [encodeFrame(JSON.stringify(request))];
  const client = crypto.randomUUID();
  return [{ ...request, client, seq: 1, acked: 0 }, { type: "Bye", client }]
    .map((each) => encodeFrame(JSON.stringify(each)));
}

/** Counts a connection's first request from the moment in which it connects; settles when the connection is closed. */
function shoot(options: OneShotOptions, tally: Tally): Promise<void> {
  const [request, bye] = framesOf(options);
  const since = performance.now();
  const socket = connect(options.endpoint);
  socket.write(request);
  return new Promise((resolve, reject) => {
    const answers = new FrameDecoder();
    let answered = false;
    socket.on("data", (chunk: Buffer) => {
      answers.push(chunk);
      const body = answers.take();
      if (body === null) return;
      const { status, code } = JSON.parse(decoder.decode(body));
      if (!answered) {
        if (status === "ok") tally.done(since, performance.now());
        else tally.failed(code, since, performance.now());
      } else if (status !== "ok") {
        reject(new Error(`Bye was answered ${code}`));
      }
      if (answered || bye === undefined) return close(socket, resolve);
      answered = true;
      socket.write(bye);
    });
    socket.on("error", reject);
    socket.on("end", () => reject(new Error("The daemon closed a connection")));
  });
}

function close(socket: Socket, closed: () => void): void {
  socket.once("close", closed);
  socket.destroy();
}

async function main(options: OneShotOptions): Promise<void> {
  const tally = await Tally.start(options);
  const shootOn = async () => {
    while (performance.now() < tally.until) await shoot(options, tally);
  };
  await Promise.all(Array.from({ length: options.atATime }, shootOn));
  tally.report();
}

if (import.meta.main) await main(JSON.parse(Deno.args[0]));
