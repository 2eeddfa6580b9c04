/**
 * Listening on a pipe or a Unix socket.
 *
 * @module
 */
import { connect, createServer, type Server, type Socket } from "node:net";
import process from "node:process";
import { SkylineError } from "../../client/errors.ts";
import { LIMITS } from "../process/limits.ts";
import { quiet } from "./quiet.ts";
import { Session, type SessionOptions } from "./session.ts";

const IS_WINDOWS = Deno.build.os === "windows";

/** Listens at one endpoint and keeps its connections. */
export class Listener {
  readonly endpoint: string;
  #server: Server;
  /** Set while it is about to listen anew. */
  #again: ReturnType<typeof setTimeout> | undefined;
  /** How long it waits before it listens anew, in milliseconds, and when it last did. */
  #pauseMs: number = LIMITS.listenPauseMs.min;
  #listenedAt = 0;
  #isStopping = false;
  readonly #options: Omit<SessionOptions, "onClose">;
  readonly #sessions = new Set<Session>();
  /** Connections that were accepted since the start. */
  accepted = 0;

  private constructor(endpoint: string, options: Omit<SessionOptions, "onClose">) {
    this.endpoint = endpoint;
    this.#options = options;
    this.#server = this.#newServer();
  }

  #newServer(): Server {
    // Half open: on Unix a client may end its side, and still wait for its answers.
    const server = createServer({ allowHalfOpen: true }, (socket) => this.#connected(socket));
    server.on("error", (error) => server === this.#server && this.#failed(error));
    return server;
  }

  /**
   * Starts to listen. A socket's file that nobody listens at is taken over.
   *
   * @throws {SkylineError} `CANNOT_OPEN` when another process listens there, or it cannot be made.
   */
  static async open(endpoint: string, options: Omit<SessionOptions, "onClose">): Promise<Listener> {
    if (await isServed(endpoint)) throw cannotListen(endpoint, "another process listens there");
    if (!IS_WINDOWS) removeSocket(endpoint);
    const listener = new Listener(endpoint, options);
    try {
      await listener.#listen();
    } catch (error) {
      clearTimeout(listener.#again);
      throw cannotListen(endpoint, (error as Error).message);
    }
    return listener;
  }

  /** How many connections are open. */
  get connections(): number {
    return this.#sessions.size;
  }

  /** The connections that are open, in the order in which they came. */
  get sessions(): Iterable<Session> {
    return this.#sessions;
  }

  async #listen(): Promise<void> {
    const server = this.#server;
    // A pipe has as many instances as this says, 4 by default; past the last one its listener stops for ever.
    process.env.NODE_PENDING_PIPE_INSTANCES = "254";
    try {
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject);
        // Deno 2.6's Unix listener stops for ever after so many connections in all, 512 by default.
        server.listen({ path: this.endpoint, backlog: 1_000_000_000 }, () => {
          server.off("error", reject);
          resolve();
        });
      });
    } finally {
      delete process.env.NODE_PENDING_PIPE_INSTANCES;
    }
    if (!IS_WINDOWS) Deno.chmodSync(this.endpoint, 0o600);
    this.#listenedAt = performance.now();
  }

  /**
   * Once accepting has failed it may never succeed again: a pipe's listener is gone after its 255th client, or after one
   * that left while it was being accepted; on Unix, Deno 2.9's after a shortage of file descriptors. So it listens anew.
   */
  #failed(error: Error): void {
    if (this.#isStopping || this.#again !== undefined) return;
    const { min, max, settledAfter } = LIMITS.listenPauseMs;
    const isNew = performance.now() - this.#listenedAt > settledAfter;
    this.#pauseMs = isNew ? min : Math.min(2 * this.#pauseMs, max);
    this.#options.log.error("Listener failed, listening anew", { endpoint: this.endpoint, error });
    this.#server.close();
    this.#again = setTimeout(() => this.#listenAnew(), this.#pauseMs);
  }

  async #listenAnew(): Promise<void> {
    this.#server = this.#newServer();
    try {
      await this.#listen();
      this.#again = undefined;
    } catch (error) {
      this.#again = undefined;
      // While a pipe has connections, Windows may refuse another listener: those end as they become idle.
      if (IS_WINDOWS) {
        for (const session of this.#sessions) session.idle().then(() => session.close());
      }
      this.#failed(error as Error);
    }
  }

  #connected(socket: Socket): void {
    this.accepted++;
    // Those that are being refused hold their places for a moment too, and a pipe has no more than 254.
    if (this.#sessions.size >= LIMITS.connectionsMax + LIMITS.connectionsRefusedMax) {
      socket.destroy();
      return;
    }
    const session = new Session(socket, {
      ...this.#options,
      onClose: (closed) => this.#sessions.delete(closed),
    });
    if (this.#sessions.size >= LIMITS.connectionsMax) {
      session.refuse(
        new SkylineError(
          "TOO_MANY_CONNECTIONS",
          `This endpoint serves ${LIMITS.connectionsMax} connections at most`,
        ),
      );
    } else if (this.#sessions.size >= LIMITS.connectionsCrowded) {
      this.#makeRoom();
    }
    this.#sessions.add(session);
  }

  /** The set keeps its sessions in the order in which they came, so the first silent one is silent longest. */
  #makeRoom(): void {
    for (const session of this.#sessions) {
      if (session.hasSpoken || session.isLeaving) continue;
      session.refuse(
        new SkylineError(
          "TOO_MANY_CONNECTIONS",
          "Cut to make room: nothing was sent on this connection",
        ),
      );
      return;
    }
  }

  /**
   * Takes no more connections; those that are open go on. On Unix those are still accepted that have connected, so that they
   * are refused in words: a connection that is not accepted breaks without any.
   */
  async stopAccepting(): Promise<void> {
    this.#isStopping = true;
    clearTimeout(this.#again);
    this.#hide();
    await quiet(() => this.accepted);
    this.#server.close();
  }

  /** So that it is not found any more. A pipe has no name to take away. */
  #hide(): void {
    if (IS_WINDOWS) return;
    try {
      removeSocket(this.endpoint);
    } catch (error) {
      this.#options.log.warn("The socket cannot be removed", { endpoint: this.endpoint, error });
    }
  }

  /** Settles when no request of any connection waits for its answer, those for the shutdown aside. */
  async idle(): Promise<void> {
    await Promise.all([...this.#sessions].map((session) => session.idle()));
  }

  /** Sends what is left on all connections, and closes them. */
  async close(): Promise<void> {
    await Promise.all([...this.#sessions].map((session) => session.close()));
  }
}

/** Whether somebody may be listening at `endpoint`: unless it is certain that nobody does. */
function isServed(endpoint: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(endpoint);
    const done = (served: boolean) => {
      socket.destroy();
      resolve(served);
    };
    socket.once("connect", () => done(true));
    socket.once(
      "error",
      ({ code }: NodeJS.ErrnoException) => done(code !== "ENOENT" && code !== "ECONNREFUSED"),
    );
  });
}

/** Only with the file's lock held: what a daemon left that was killed, or one's own. */
function removeSocket(path: string): void {
  try {
    if (Deno.lstatSync(path).isSocket) Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

function cannotListen(endpoint: string, reason: string): SkylineError {
  return new SkylineError("CANNOT_OPEN", `Cannot listen at ${endpoint}: ${reason}`);
}
