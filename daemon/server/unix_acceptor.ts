/**
 * Connections through a Unix socket: Deno's own, without the streams of `node:net`. Those take a quarter more time for a small
 * request and 65 KiB a connection, and copy 60 KiB where one ends.
 *
 * @module
 */
import { setTimeout as sleep } from "node:timers/promises";
import { LIMITS } from "../process/limits.ts";
import type { Acceptor, AcceptorEvents, Channel } from "./channel.ts";
import { Pauses } from "./pauses.ts";

/** Buffers of connections that have ended, for those to come: as garbage they made the C library's heap three times as large. */
const spareBuffers: Uint8Array<ArrayBuffer>[] = [];
const EMPTY = new Uint8Array(0);

/** A connection through a Unix socket. */
class UnixChannel implements Channel {
  readonly #connection: Deno.UnixConn;
  #buffer = spareBuffers.pop() ?? new Uint8Array(LIMITS.readBytes.min);
  /** How long the buffer of the next read is to be. */
  #length: number = LIMITS.readBytes.min;
  #isClosed = false;

  constructor(connection: Deno.UnixConn) {
    this.#connection = connection;
  }

  async read(reuse: boolean): Promise<Uint8Array | null> {
    if (!reuse || this.#buffer.length !== this.#length) this.#buffer = new Uint8Array(this.#length);
    let count: number | null = null;
    try {
      count = await this.#connection.read(this.#buffer);
      if (count === null) return null;
      this.#adapt(count);
      return this.#buffer.subarray(0, count);
    } finally {
      if (count === null) this.#spareBuffer();
    }
  }

  #spareBuffer(): void {
    const { min, spareMax } = LIMITS.readBytes;
    if (this.#buffer.length === min && spareBuffers.length < spareMax) {
      spareBuffers.push(this.#buffer);
    }
    this.#buffer = EMPTY;
  }

  /** A buffer that was filled was too short; one that is hardly used is memory that a silent connection would keep. */
  #adapt(count: number): void {
    const { min, max, factor } = LIMITS.readBytes;
    if (count === this.#length) this.#length = Math.min(this.#length * factor, max);
    else if (count < this.#length / (factor * factor)) this.#length = min;
  }

  async write(bytes: Uint8Array): Promise<void> {
    let sent = await this.#connection.write(bytes);
    while (sent < bytes.length) sent += await this.#connection.write(bytes.subarray(sent));
  }

  end(): void {
    this.destroy();
  }

  destroy(): void {
    // To close it again would be an error, which takes longer to make than all of a short connection's JavaScript.
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#connection.close();
  }
}

/** Accepts connections at a Unix socket. */
export class UnixAcceptor implements Acceptor {
  readonly #listener: Deno.UnixListener;
  readonly #events: AcceptorEvents;
  readonly #pauses = new Pauses();
  #isClosed = false;

  private constructor(listener: Deno.UnixListener, events: AcceptorEvents) {
    this.#listener = listener;
    this.#events = events;
  }

  /**
   * Listens at `path`, where nothing is; only this user may connect.
   *
   * @throws when the socket cannot be made.
   */
  static open(path: string, events: AcceptorEvents): Promise<UnixAcceptor> {
    const acceptor = new UnixAcceptor(Deno.listen({ transport: "unix", path }), events);
    Deno.chmodSync(path, 0o600);
    acceptor.#acceptAll();
    return Promise.resolve(acceptor);
  }

  async #acceptAll(): Promise<void> {
    while (!this.#isClosed) {
      try {
        this.#pauses.restart();
        for (;;) this.#events.accepted(new UnixChannel(await this.#listener.accept()));
      } catch (error) {
        // Such as a shortage of file descriptors: those that wait to be accepted go on waiting.
        if (this.#isClosed) return;
        this.#events.failed(error);
        await sleep(this.#pauses.next());
      }
    }
  }

  close(): void {
    this.#isClosed = true;
    this.#listener.close();
  }
}
