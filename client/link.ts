/**
 * One connection to a daemon: frames out, answers in, until either side ends it.
 *
 * @module
 */
import type { Socket } from "node:net";
import { SkylineError } from "./errors.ts";
import { FrameDecoder } from "./frame.ts";
import { decodeJson } from "./json.ts";
import type { ErrorAnswer, RequestId } from "./protocol.ts";
import { openSocket } from "./socket.ts";

/** An answer that is not an error. */
export interface OkAnswer {
  readonly status: "ok";
  readonly id?: RequestId;
}

/** Who is told what happens on a {@link Link}; nothing any more once it has ended. */
export interface LinkOwner {
  /** An answer, or, without `id`, what the daemon says of the connection itself. */
  answered(answer: OkAnswer | ErrorAnswer): void;
  /** All that has arrived was told. */
  arrived(): void;
  /** It takes more again. */
  writable(): void;
  /** It has ended, not by its owner. */
  ended(reason: SkylineError): void;
}

/** A connection. It keeps the process alive only after {@link Link.ref}. */
export class Link {
  readonly #endpoint: string;
  readonly #socket: Socket;
  readonly #owner: LinkOwner;
  readonly #decoder = new FrameDecoder();
  readonly #gone = Promise.withResolvers<void>();
  #full = false;
  #ended = false;
  #socketError: Error | undefined;

  private constructor(endpoint: string, socket: Socket, owner: LinkOwner) {
    this.#endpoint = endpoint;
    this.#socket = socket;
    this.#owner = owner;
    socket.unref();
    socket.on("data", (chunk: Uint8Array) => this.#receive(chunk));
    socket.on("drain", () => {
      this.#full = false;
      if (!this.#ended) owner.writable();
    });
    socket.on("error", (error) => this.#socketError = error);
    socket.on("close", () => {
      this.#lose("The connection ended", this.#socketError);
      this.#gone.resolve();
    });
  }

  /**
   * Connects to an endpoint.
   *
   * @param timeoutMs milliseconds that it may take; 0: no bound.
   * @throws {SkylineError} `NOT_RUNNING`, `NO_PERMISSION`, `TIMEOUT`, `TOO_MANY_CONNECTIONS`.
   */
  static async open(endpoint: string, timeoutMs: number, owner: LinkOwner): Promise<Link> {
    return new Link(endpoint, await openSocket(endpoint, timeoutMs), owner);
  }

  /** Whether the socket wants no more for now. What it is given all the same waits in memory. */
  get full(): boolean {
    return this.#full;
  }

  /** Resolves when the socket is closed. */
  get gone(): Promise<void> {
    return this.#gone.promise;
  }

  /** Sends frames. */
  write(frames: Uint8Array): void {
    this.#full = !this.#socket.write(frames);
  }

  /** Keeps the process alive. */
  ref(): void {
    this.#socket.ref();
  }

  /** Lets the process end. */
  unref(): void {
    this.#socket.unref();
  }

  /** Ends it; the owner is told nothing more. */
  close(): void {
    this.#ended = true;
    this.#socket.destroy();
  }

  #receive(chunk: Uint8Array): void {
    try {
      this.#decoder.push(chunk);
      while (!this.#ended) {
        const body = this.#decoder.take();
        if (body === null) break;
        this.#owner.answered(decodeJson(body).value as OkAnswer | ErrorAnswer);
      }
    } catch (error) {
      this.#lose("The daemon's answer cannot be read", error as Error);
    }
    if (!this.#ended) this.#owner.arrived();
  }

  #lose(what: string, cause: Error | undefined): void {
    if (this.#ended) return;
    this.close();
    const why = cause === undefined ? "" : `: ${cause.message}`;
    const message = `${what} (${this.#endpoint})${why}`;
    this.#owner.ended(new SkylineError("CONNECTION_LOST", message, { cause }));
  }
}
