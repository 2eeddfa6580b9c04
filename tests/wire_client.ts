/**
 * A client of bare frames, for tests that send what the real client would not.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { connect, type Socket } from "node:net";
import { encodeFrame, FrameDecoder } from "../client/frame.ts";

/** An answer, as JSON. */
// deno-lint-ignore no-explicit-any -- tests look into answers of every kind
export type Answer = Record<string, any>;

/** A connection whose bytes the test decides. */
export class WireClient implements AsyncDisposable {
  readonly #socket: Socket;
  readonly #decoder = new FrameDecoder();
  readonly #answers: Answer[] = [];
  #wake: () => void = () => {};
  /** Whether the daemon has closed the connection. */
  closed = false;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk: Uint8Array) => {
      this.#decoder.push(chunk);
      for (let body; (body = this.#decoder.take()) !== null;) {
        this.#answers.push(JSON.parse(new TextDecoder().decode(body)));
      }
      this.#wake();
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      this.closed = true;
      this.#wake();
    });
  }

  /** Connects. */
  static open(endpoint: string): Promise<WireClient> {
    return new Promise((resolve, reject) => {
      const socket = connect(endpoint);
      socket.once("error", reject);
      socket.once("connect", () => {
        socket.off("error", reject);
        resolve(new WireClient(socket));
      });
    });
  }

  /** Sends bytes as they are. */
  sendBytes(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }

  /** Sends a text as a frame. */
  sendText(text: string): void {
    this.#socket.write(encodeFrame(text));
  }

  /** Sends a request without waiting for its answer. */
  send(request: unknown): void {
    this.sendText(JSON.stringify(request));
  }

  /** Sends a request and waits until it is in the pipe. */
  sent(request: unknown): Promise<void> {
    const frame = encodeFrame(JSON.stringify(request));
    return new Promise((resolve) => this.#socket.write(frame, () => resolve()));
  }

  /** Sends a request that takes a while, and waits until the daemon has read it. */
  async begin(request: unknown): Promise<void> {
    // In one write with it, and answered at once.
    const ping = { type: "Ping", id: "begun" };
    this.sendBytes(Buffer.concat([request, ping].map((each) => encodeFrame(JSON.stringify(each)))));
    const answer = await this.next();
    if (answer?.id !== ping.id) throw new Error(`Not a Ping's answer: ${JSON.stringify(answer)}`);
  }

  /** The next answer; `null` when the connection closes or `timeoutMs` pass first. */
  async next(timeoutMs = 20_000): Promise<Answer | null> {
    const until = performance.now() + timeoutMs;
    while (this.#answers.length === 0 && !this.closed && performance.now() < until) {
      let timer: ReturnType<typeof setTimeout> | undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        timer = setTimeout(resolve, until - performance.now());
      });
      clearTimeout(timer);
    }
    return this.#answers.shift() ?? null;
  }

  /** Sends a request and waits for the next answer. */
  async ask(request: unknown, timeoutMs?: number): Promise<Answer> {
    this.send(request);
    const answer = await this.next(timeoutMs);
    if (answer === null) throw new Error(`No answer to ${JSON.stringify(request).slice(0, 200)}`);
    return answer;
  }

  /** Stops reading: what the daemon answers stays in the pipe. */
  pause(): void {
    this.#socket.pause();
  }

  /** Reads again. */
  resume(): void {
    this.#socket.resume();
  }

  /** Closes at once. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.closed) return;
    const closed = new Promise((resolve) => this.#socket.once("close", resolve));
    this.#socket.destroy();
    await closed;
  }
}
