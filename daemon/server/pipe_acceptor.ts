/**
 * Connections through a Windows pipe, which Deno has in `node:net` only.
 *
 * @module
 */
import { createServer, type Server, type Socket } from "node:net";
import process from "node:process";
import type { Acceptor, AcceptorEvents, Channel } from "./channel.ts";
import { Pauses } from "./pauses.ts";

/** A connection through a pipe. */
class PipeChannel implements Channel {
  readonly #socket: Socket;
  takenBytes = 0;
  #isEnded = false;
  #error = new Error("The connection was closed");
  /** Ends the wait of a read. */
  #wake = () => {};

  constructor(socket: Socket) {
    this.#socket = socket;
    // Never pause() and resume(): on Deno 2.6 a second read starts beside the first, and bytes arrive out of order.
    socket.on("readable", () => this.#wake());
    socket.on("end", () => {
      this.#isEnded = true;
      this.#wake();
    });
    socket.on("error", (error) => this.#error = error);
    socket.on("close", () => this.#wake());
  }

  async read(): Promise<Uint8Array | null> {
    for (;;) {
      const chunk: Uint8Array | null = this.#socket.read();
      if (chunk !== null) return chunk;
      if (this.#isEnded) return null;
      if (this.#socket.destroyed) throw this.#error;
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  write(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#socket.write(bytes, (error) => {
        if (error) return reject(error);
        this.takenBytes += bytes.length;
        resolve();
      });
    });
  }

  async end(): Promise<void> {
    // A write's callback is not its delivery, but on a pipe closing keeps what was written for the reader.
    await new Promise<void>((resolve) => this.#socket.end(resolve));
    this.#socket.destroy();
  }

  destroy(): void {
    this.#socket.destroy();
  }
}

/**
 * Accepts connections at a pipe. Once accepting has failed it may never succeed again: a pipe's listener is gone after its 255th
 * client, or after one that left while it was being accepted. So it listens anew then.
 */
export class PipeAcceptor implements Acceptor {
  readonly #path: string;
  readonly #events: AcceptorEvents;
  readonly #pauses = new Pauses();
  #server: Server;
  /** Set while it is about to listen anew. */
  #again: ReturnType<typeof setTimeout> | undefined;
  #isClosed = false;

  private constructor(path: string, events: AcceptorEvents) {
    this.#path = path;
    this.#events = events;
    this.#server = this.#newServer();
  }

  /**
   * Listens at `path`.
   *
   * @throws when the pipe cannot be made.
   */
  static async open(path: string, events: AcceptorEvents): Promise<PipeAcceptor> {
    const acceptor = new PipeAcceptor(path, events);
    try {
      await acceptor.#listen();
    } catch (error) {
      acceptor.close();
      throw error;
    }
    return acceptor;
  }

  #newServer(): Server {
    const server = createServer(
      { allowHalfOpen: true },
      (socket) => this.#events.accepted(new PipeChannel(socket)),
    );
    server.on("error", (error) => server === this.#server && this.#failed(error));
    return server;
  }

  async #listen(): Promise<void> {
    const server = this.#server;
    // A pipe has as many instances as this says, 4 by default; past the last one its listener stops for ever.
    process.env.NODE_PENDING_PIPE_INSTANCES = "254";
    try {
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject);
        server.listen(this.#path, () => {
          server.off("error", reject);
          resolve();
        });
      });
    } finally {
      delete process.env.NODE_PENDING_PIPE_INSTANCES;
    }
    this.#pauses.restart();
  }

  #failed(error: unknown): void {
    if (this.#isClosed || this.#again !== undefined) return;
    this.#events.failed(error);
    this.#server.close();
    this.#again = setTimeout(() => this.#listenAnew(), this.#pauses.next());
  }

  async #listenAnew(): Promise<void> {
    this.#server = this.#newServer();
    try {
      await this.#listen();
      this.#again = undefined;
    } catch (error) {
      this.#again = undefined;
      // While a pipe has connections, Windows may refuse another listener.
      this.#events.blocked();
      this.#failed(error);
    }
  }

  /** A pipe's name is there as long as its instances. */
  get isThere(): boolean {
    return true;
  }

  hide(): void {
    // A pipe has no name to take away.
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#again);
    this.#server.close();
  }
}
