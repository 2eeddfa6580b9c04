/**
 * Connections through a Unix socket: Deno's own, without the streams of `node:net`. Those take a quarter more time for a small
 * request and 65 KiB a connection, and copy 60 KiB where one ends.
 *
 * @module
 */
import { setTimeout as sleep } from "node:timers/promises";
import { cString, type FileFacts, fileFacts, isSameFile, look } from "../process/file_identity.ts";
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
  takenBytes = 0;

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
    this.takenBytes += sent;
    while (sent < bytes.length) {
      const more = await this.#connection.write(bytes.subarray(sent));
      this.takenBytes += more;
      sent += more;
    }
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
  readonly #path: string;
  readonly #cPath: Uint8Array<ArrayBuffer>;
  readonly #facts: FileFacts = fileFacts();
  readonly #pauses = new Pauses();
  #isClosed = false;

  private constructor(listener: Deno.UnixListener, events: AcceptorEvents, path: string) {
    this.#listener = listener;
    this.#events = events;
    this.#path = path;
    this.#cPath = cString(path);
    look(this.#cPath, this.#facts);
  }

  /**
   * Listens at `path`, in place of what is there; only this user may connect.
   *
   * @throws when the socket cannot be made.
   */
  static open(path: string, events: AcceptorEvents): Promise<UnixAcceptor> {
    // Deno removes at the end what then has the name that it was given, whoever's it is. So that is not the one that is used.
    const making = madeName(path);
    removeSocket(making);
    const listener = Deno.listen({ transport: "unix", path: making });
    try {
      Deno.chmodSync(making, 0o600);
      Deno.renameSync(making, path);
    } catch (error) {
      listener.close();
      throw error;
    }
    const acceptor = new UnixAcceptor(listener, events, path);
    acceptor.#acceptAll();
    return Promise.resolve(acceptor);
  }

  get isThere(): boolean {
    return look(this.#cPath, found) && isSameFile(found, this.#facts);
  }

  hide(): void {
    if (this.isThere) Deno.removeSync(this.#path);
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

const found = fileFacts();

/** The name under which a socket is made; it is not longer, as the system bounds it. */
function madeName(path: string): string {
  const last = path.at(-1) === "~" ? "-" : "~";
  return path.slice(0, -1) + last;
}

/** What a daemon left that was killed while it made one. */
function removeSocket(path: string): void {
  try {
    if (Deno.lstatSync(path).isSocket) Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
