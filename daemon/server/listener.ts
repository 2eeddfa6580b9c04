/**
 * Listening on a pipe or a Unix socket.
 *
 * @module
 */
import { connect } from "node:net";
import { SkylineError } from "../../client/errors.ts";
import { LIMITS } from "../process/limits.ts";
import type { Acceptor, Channel } from "./channel.ts";
import { PipeAcceptor } from "./pipe_acceptor.ts";
import { quiet } from "./quiet.ts";
import { Session, type SessionOptions } from "./session.ts";
import { UnixAcceptor } from "./unix_acceptor.ts";

const IS_WINDOWS = Deno.build.os === "windows";

/** Listens at one endpoint and keeps its connections. */
export class Listener {
  readonly endpoint: string;
  #acceptor: Acceptor | undefined;
  readonly #options: Omit<SessionOptions, "onClose">;
  readonly #sessions = new Set<Session>();
  /** Connections that were accepted since the start. */
  accepted = 0;

  private constructor(endpoint: string, options: Omit<SessionOptions, "onClose">) {
    this.endpoint = endpoint;
    this.#options = options;
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
    const open = IS_WINDOWS ? PipeAcceptor.open : UnixAcceptor.open;
    this.#acceptor = await open(this.endpoint, {
      accepted: (channel) => this.#connected(channel),
      failed: (error) =>
        this.#options.log.error("Accepting connections failed, trying again", {
          endpoint: this.endpoint,
          error,
        }),
      blocked: () => this.#closeIdle(),
    });
  }

  #closeIdle(): void {
    for (const session of this.#sessions) session.idle().then(() => session.close());
  }

  #connected(channel: Channel): void {
    this.accepted++;
    // Those that are being refused hold their places for a moment too, and a pipe has no more than 254.
    if (this.#sessions.size >= LIMITS.connectionsMax + LIMITS.connectionsRefusedMax) {
      channel.destroy();
      return;
    }
    const session = new Session(channel, {
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
    this.#hide();
    await quiet(() => this.accepted);
    this.#acceptor?.close();
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
