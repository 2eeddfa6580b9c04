/**
 * A socket between a client and a daemon that ends connections where a test wants it.
 *
 * @module
 */
import { randomUUID } from "node:crypto";
import { connect, createServer, type Server, type Socket } from "node:net";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

/** After how many bytes of one direction a connection is cut; by default never. */
export interface Cut {
  /** Bytes that reach the daemon. */
  readonly toDaemon?: number;
  /** Bytes that reach the client. */
  readonly toClient?: number;
}

/** A listening proxy. */
export class Proxy {
  readonly endpoint: string;
  /** Connections that it has had. */
  connections = 0;
  readonly #server: Server;
  readonly #folder: string;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server, folder: string, endpoint: string) {
    this.#server = server;
    this.#folder = folder;
    this.endpoint = endpoint;
  }

  /** Starts one before a daemon's endpoint; `cutOf` says where a connection, numbered from 0, is cut. */
  static async start(daemon: string, cutOf: (connection: number) => Cut): Promise<Proxy> {
    const folder = mkdtempSync(join(tmpdir(), "proxy-"));
    const endpoint = process.platform === "win32"
      ? `\\\\.\\pipe\\proxy-${randomUUID()}`
      : join(folder, "proxy.sock");
    const server = createServer();
    const proxy = new Proxy(server, folder, endpoint);
    server.on("connection", (client) => proxy.#serve(client, connect(daemon), cutOf));
    await new Promise<void>((resolve) => server.listen(endpoint, resolve));
    return proxy;
  }

  /** Cuts what is connected and listens no more. */
  async [Symbol.asyncDispose](): Promise<void> {
    const closed = [...this.#sockets].map((socket) =>
      new Promise((resolve) => socket.once("close", resolve).destroy())
    );
    this.#server.close();
    await Promise.all(closed);
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #serve(client: Socket, daemon: Socket, cutOf: (connection: number) => Cut): void {
    const { toDaemon = Infinity, toClient = Infinity } = cutOf(this.connections++);
    // What was received before the cut still arrives: a socket that is ended sends first.
    const end = () => {
      client.end();
      daemon.end();
      client.destroySoon();
      daemon.destroySoon();
    };
    for (const socket of [client, daemon]) {
      this.#sockets.add(socket);
      socket.on("error", end);
      socket.on("close", () => {
        this.#sockets.delete(socket);
        end();
      });
    }
    let leftToDaemon = toDaemon;
    client.on("data", (chunk: Uint8Array) => {
      daemon.write(chunk.subarray(0, leftToDaemon));
      if ((leftToDaemon -= chunk.length) <= 0) end();
    });
    let leftToClient = toClient;
    daemon.on("data", (chunk: Uint8Array) => {
      client.write(chunk.subarray(0, leftToClient));
      if ((leftToClient -= chunk.length) <= 0) end();
    });
  }
}
