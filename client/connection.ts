/**
 * One connection to a daemon: requests go out as they come, many at once, and each gets its own answer or error.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import type { Socket } from "node:net";
import process from "node:process";
import { clearTimeout, setTimeout } from "node:timers";
import { SkylineError } from "./errors.ts";
import { encodeFrame, FrameDecoder } from "./frame.ts";
import { decodeJson } from "./json.ts";
import type { ErrorAnswer, Request, RequestId } from "./protocol.ts";
import { openSocket } from "./socket.ts";

/** What one request may be given. */
export interface RequestOptions {
  /** Milliseconds until it is given up with `TIMEOUT`; 0, the default: never. */
  readonly timeoutMs?: number;
  /** It has no effect, so that losing its answer loses nothing: such an error's `retry` is `safe`. */
  readonly readOnly?: boolean;
}

/** An answer that is not an error. */
export interface OkAnswer {
  readonly status: "ok";
  readonly id?: RequestId;
}

/** Bytes handed to the socket at once: larger gains nothing, and what is not handed over can still be taken back. */
const WRITE_BYTES = 256 * 1024;

/** A request whose answer has not come. */
class Pending {
  readonly resolve: (answer: OkAnswer) => void;
  readonly reject: (error: SkylineError) => void;
  readonly readOnly: boolean;
  readonly deadlineAt: number;
  /** The frame until it is handed to the socket. */
  frame: Uint8Array | null;

  constructor(
    resolve: (answer: OkAnswer) => void,
    reject: (error: SkylineError) => void,
    frame: Uint8Array,
    readOnly: boolean,
    deadlineAt: number,
  ) {
    this.resolve = resolve;
    this.reject = reject;
    this.frame = frame;
    this.readOnly = readOnly;
    this.deadlineAt = deadlineAt;
  }

  /** What its sender may do when it gets no answer. */
  get retry(): "safe" | "unknown" {
    return this.readOnly || this.frame !== null ? "safe" : "unknown";
  }
}

/**
 * A connection to a daemon. It keeps the process alive only while answers are awaited. Nothing is sent again by itself:
 * once the connection has ended, every request fails.
 */
export class Connection {
  /** The pipe's name or the socket's path. */
  readonly endpoint: string;
  readonly #socket: Socket;
  readonly #decoder = new FrameDecoder();
  readonly #inFlight = new Map<RequestId, Pending>();
  readonly #gone = Promise.withResolvers<void>();
  #nextId = 1;
  /** Requests whose frames wait for the end of this turn, or for the socket to take more. */
  #outbox: Pending[] = [];
  #flushPlanned = false;
  readonly #flushNow = (): void => this.#flush();
  #socketFull = false;
  /** Why requests are refused: this connection was closed, or has ended. */
  #refusal: SkylineError | null = null;
  #socketError: Error | undefined;
  #idle: (() => void) | null = null;
  #timer: NodeJS.Timeout | undefined;
  #timerAt = Infinity;

  private constructor(endpoint: string, socket: Socket) {
    this.endpoint = endpoint;
    this.#socket = socket;
    socket.unref();
    socket.on("data", (chunk: Uint8Array) => this.#receive(chunk));
    socket.on("drain", () => {
      this.#socketFull = false;
      this.#flush();
    });
    socket.on("error", (error) => this.#socketError = error);
    socket.on("close", () => {
      this.#end(this.#lost("The connection ended", this.#socketError));
      this.#gone.resolve();
    });
  }

  /**
   * Connects to an endpoint, of `endpointOf` or `endpointOfName`.
   *
   * @param options `timeoutMs`: milliseconds that it may take, 10,000 by default; 0: no bound.
   * @throws {SkylineError} `NOT_RUNNING`, `NO_PERMISSION`, `TIMEOUT`, `TOO_MANY_CONNECTIONS`.
   */
  static async open(
    endpoint: string,
    options: { readonly timeoutMs?: number } = {},
  ): Promise<Connection> {
    return new Connection(endpoint, await openSocket(endpoint, options.timeoutMs ?? 10_000));
  }

  /** Resolves when the connection has ended, whoever ended it. */
  get gone(): Promise<void> {
    return this.#gone.promise;
  }

  /** Sends a request of plain JSON; {@link Connection.requestText} tells the rest. */
  request<Answer extends OkAnswer>(fields: Request, options?: RequestOptions): Promise<Answer> {
    return this.requestText(JSON.stringify(fields).slice(1, -1), options);
  }

  /**
   * Sends a request that is given as JSON text: the members of its object without the braces and without `id`. Only so can
   * exact integers and REALs be written.
   *
   * @returns the answer as `decodeJson` gives it.
   * @throws {SkylineError} the daemon's error; `TIMEOUT`, `CONNECTION_LOST`, `CLOSED`, `FRAME_TOO_LARGE`.
   */
  requestText<Answer extends OkAnswer>(
    members: string,
    options?: RequestOptions,
  ): Promise<Answer> {
    return new Promise<OkAnswer>((resolve, reject) => {
      if (this.#refusal !== null) throw copyOf(this.#refusal);
      const id = this.#nextId++;
      const frame = encodeFrame(`{"id":${id},${members}}`);
      const timeoutMs = options?.timeoutMs ?? 0;
      const deadlineAt = timeoutMs === 0 ? Infinity : performance.now() + timeoutMs;
      const pending = new Pending(resolve, reject, frame, options?.readOnly ?? false, deadlineAt);
      if (this.#inFlight.size === 0) this.#socket.ref();
      this.#inFlight.set(id, pending);
      this.#outbox.push(pending);
      if (deadlineAt < this.#timerAt) this.#armTimer(deadlineAt);
      if (!this.#flushPlanned && !this.#socketFull) {
        this.#flushPlanned = true;
        // After this turn, so that what is asked for in one turn goes out in one write.
        process.nextTick(this.#flushNow);
      }
    }) as Promise<Answer>;
  }

  /** Takes no more requests, waits for the answers in flight, and ends the connection. */
  async close(): Promise<void> {
    if (this.#refusal === null) {
      this.#refusal = new SkylineError("CLOSED", "This connection was closed");
      if (this.#inFlight.size > 0) await new Promise<void>((resolve) => this.#idle = resolve);
      this.#end(this.#refusal);
    }
    await this.#gone.promise;
  }

  /** Closes: see {@link Connection.close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #flush(): void {
    this.#flushPlanned = false;
    let taken = 0;
    while (taken < this.#outbox.length && !this.#socketFull) {
      const frames: Uint8Array[] = [];
      for (let bytes = 0; taken < this.#outbox.length && bytes < WRITE_BYTES; taken++) {
        const pending = this.#outbox[taken];
        // It was given up before its turn came.
        if (pending.frame === null) continue;
        frames.push(pending.frame);
        bytes += pending.frame.length;
        pending.frame = null;
      }
      if (frames.length === 0) break;
      this.#socketFull = !this.#socket.write(
        frames.length === 1 ? frames[0] : Buffer.concat(frames),
      );
    }
    this.#outbox = taken === this.#outbox.length ? [] : this.#outbox.slice(taken);
  }

  #receive(chunk: Uint8Array): void {
    try {
      this.#decoder.push(chunk);
      for (let body = this.#decoder.take(); body !== null; body = this.#decoder.take()) {
        this.#settle(decodeJson(body).value as OkAnswer | ErrorAnswer);
      }
    } catch (error) {
      this.#end(this.#lost("The daemon's answer cannot be read", error as Error));
    }
    if (this.#inFlight.size === 0) this.#rest();
  }

  #settle(answer: OkAnswer | ErrorAnswer): void {
    if (answer.id === undefined) {
      // What the daemon says of no request is about the connection, and the last that it says.
      if (answer.status === "error") this.#end(errorOf(answer));
      return;
    }
    const pending = this.#inFlight.get(answer.id);
    // Given up before.
    if (pending === undefined) return;
    this.#inFlight.delete(answer.id);
    if (answer.status === "ok") pending.resolve(answer);
    else pending.reject(errorOf(answer));
  }

  /** Nothing is awaited: the process may end. */
  #rest(): void {
    this.#socket.unref();
    this.#idle?.();
  }

  #armTimer(at: number): void {
    clearTimeout(this.#timer);
    this.#timerAt = at;
    if (at === Infinity) return;
    this.#timer = setTimeout(() => this.#giveUpLate(), Math.max(1, at - performance.now()));
    this.#timer.unref();
  }

  #giveUpLate(): void {
    const now = performance.now();
    let next = Infinity;
    for (const [id, pending] of this.#inFlight) {
      if (pending.deadlineAt > now) {
        next = Math.min(next, pending.deadlineAt);
        continue;
      }
      this.#inFlight.delete(id);
      const retry = pending.retry;
      pending.frame = null;
      const message = "The daemon did not answer within the time given";
      const hint = "Give a longer timeoutMs; if the daemon answers nobody, its log may tell why.";
      pending.reject(new SkylineError("TIMEOUT", message, { retry, hint }));
    }
    this.#armTimer(next);
    if (this.#inFlight.size === 0) this.#rest();
  }

  /** Ends the connection, for `reason` unless it had ended before. */
  #end(reason: SkylineError): void {
    this.#refusal ??= copyOf(reason, "safe");
    this.#armTimer(Infinity);
    const alone = this.#inFlight.size <= 1;
    for (const pending of this.#inFlight.values()) {
      // Refused at the door, or the one that it is about; the others may have been executed all the same.
      const meant = alone || reason.code === "TOO_MANY_CONNECTIONS";
      const own = reason.code !== "CONNECTION_LOST" && meant && pending.frame === null;
      pending.reject(copyOf(reason, own ? reason.retry : pending.retry));
    }
    this.#inFlight.clear();
    this.#outbox = [];
    this.#idle?.();
    this.#socket.destroy();
  }

  #lost(what: string, cause: Error | undefined): SkylineError {
    const why = cause === undefined ? "" : `: ${cause.message}`;
    return new SkylineError("CONNECTION_LOST", `${what} (${this.endpoint})${why}`, { cause });
  }
}

function errorOf(answer: ErrorAnswer): SkylineError {
  return new SkylineError(answer.code, answer.message, {
    sqliteCode: answer.sqlite_code,
    statement: answer.statement,
    retry: answer.retry,
    hint: answer.hint,
  });
}

/** An error of its own for each that it is thrown at. */
function copyOf(error: SkylineError, retry = error.retry): SkylineError {
  const { sqliteCode, statement, hint, cause } = error;
  return new SkylineError(error.code, error.message, { sqliteCode, statement, hint, cause, retry });
}
