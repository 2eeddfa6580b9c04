/**
 * Listening on a pipe or a Unix socket.
 *
 * @module
 */
import { connect } from "node:net";
import { SkylineError } from "../../client/errors.ts";
import { LIMITS } from "../process/limits.ts";
import { reasonAndHint } from "../process/obstacle.ts";
import { socketPlace } from "../process/runtime_folder.ts";
import type { Acceptor, Channel } from "./channel.ts";
import { PipeAcceptor } from "./pipe_acceptor.ts";
import { quiet } from "./quiet.ts";
import { tooManyConnections } from "./request_handler.ts";
import { Session, type SessionOptions } from "./session.ts";
import { UnixAcceptor } from "./unix_acceptor.ts";

const IS_WINDOWS = Deno.build.os === "windows";

/** Listens at one endpoint and keeps its connections. */
export class Listener {
  #endpoint: string;
  #acceptor: Acceptor | undefined;
  #isEnding = false;
  /** Why the last connection could not be accepted; `undefined` since one was. */
  #failing: string | undefined;
  readonly #options: Omit<SessionOptions, "onClose">;
  readonly #sessions = new Set<Session>();
  /** Those of them that are too many, and are kept for commands. */
  readonly #kept = new Set<Session>();
  /** Connections that were accepted since the start. */
  accepted = 0;

  private constructor(endpoint: string, options: Omit<SessionOptions, "onClose">) {
    this.#endpoint = endpoint;
    this.#options = options;
  }

  /**
   * Starts to listen. A socket's file that nobody listens at is taken over.
   *
   * @throws {SkylineError} `CANNOT_OPEN` when another process listens there, or it cannot be made.
   */
  static async open(endpoint: string, options: Omit<SessionOptions, "onClose">): Promise<Listener> {
    await refuseServed(endpoint);
    const listener = new Listener(endpoint, options);
    try {
      await listener.#listen();
    } catch (error) {
      throw cannotListen(endpoint, ...words(error));
    }
    return listener;
  }

  /** Where it listens. On Unix it changes when the folder goes: see {@link Listener.keep}. */
  get endpoint(): string {
    return this.#endpoint;
  }

  /** Whether its socket is where others look for it. It takes 1 µs. */
  get isThere(): boolean {
    return this.#acceptor!.isThere;
  }

  /**
   * Listens anew where somebody has removed its socket, in the folder that there is now. Connections go on.
   *
   * @throws {SkylineError} when it cannot.
   */
  async keep(): Promise<void> {
    if (this.#isEnding || this.isThere) return;
    const before = this.#acceptor;
    this.#endpoint = socketPlace(this.#endpoint);
    await refuseServed(this.#endpoint);
    if (this.#isEnding) return;
    try {
      await this.#listen();
    } catch (error) {
      throw cannotListen(this.#endpoint, ...words(error));
    }
    before?.close();
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
    this.#acceptor = await open(this.#endpoint, {
      accepted: (channel) => this.#connected(channel),
      failed: (error) => this.#acceptFailed(reasonAndHint(error).reason),
      blocked: () => this.#closeIdle(),
    });
  }

  #closeIdle(): void {
    for (const session of this.#sessions) session.idle().then(() => session.close());
  }

  /** It is tried again at least every second: said once, not each time. */
  #acceptFailed(reason: string): void {
    if (reason === this.#failing) return;
    this.#failing = reason;
    const facts = { endpoint: this.#endpoint, error: reason };
    this.#options.log.error("Accepting connections failed, trying again", facts);
  }

  #connected(channel: Channel): void {
    this.accepted++;
    if (this.#failing !== undefined) {
      this.#failing = undefined;
      this.#options.log.info("Accepting connections again", { endpoint: this.#endpoint });
    }
    const { connectionsMax, connectionsKept, connectionsRefusedMax, connectionsCrowded } = LIMITS;
    // Those that are being refused hold their places for a moment too, and a pipe has no more than 254.
    if (this.#sessions.size >= connectionsMax + connectionsKept.max + connectionsRefusedMax) {
      channel.destroy();
      return;
    }
    const session = new Session(channel, {
      ...this.#options,
      onClose: (closed) => this.#closed(closed),
    });
    if (this.#sessions.size - this.#kept.size >= connectionsMax) this.#keep(session);
    else if (this.#sessions.size >= connectionsCrowded) this.#makeRoom();
    this.#sessions.add(session);
  }

  #closed(session: Session): void {
    this.#sessions.delete(session);
    this.#kept.delete(session);
    const [oldest] = this.#kept;
    if (oldest === undefined || this.#sessions.size - this.#kept.size >= LIMITS.connectionsMax) {
      return;
    }
    // It has a place now.
    oldest.isKept = false;
    this.#kept.delete(oldest);
  }

  /** Serves commands on a connection that is too many. */
  #keep(session: Session): void {
    if (this.#kept.size >= LIMITS.connectionsKept.max) {
      const oldest = [...this.#kept].find(({ isBusy }) => !isBusy);
      if (oldest === undefined) return session.refuse(tooManyConnections());
      this.#dropKept(oldest);
    }
    session.isKept = true;
    this.#kept.add(session);
    this.#watchKept(session);
  }

  #watchKept(session: Session): void {
    const { silentMs } = LIMITS.connectionsKept;
    setTimeout(() => {
      if (!this.#kept.has(session)) return;
      const isSilent = !session.isBusy && session.status(performance.now()).idle_ms >= silentMs / 2;
      if (isSilent) this.#dropKept(session);
      else this.#watchKept(session);
    }, silentMs);
  }

  #dropKept(session: Session): void {
    this.#kept.delete(session);
    session.refuse(tooManyConnections());
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
    this.#isEnding = true;
    this.#hide();
    await quiet(() => this.accepted);
    this.#acceptor?.close();
  }

  /** So that it is not found any more. */
  #hide(): void {
    try {
      this.#acceptor?.hide();
    } catch (error) {
      this.#options.log.warn("The socket cannot be removed", { endpoint: this.#endpoint, error });
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

/** @throws {SkylineError} when somebody listens at `endpoint`, or something else than a socket is there. */
async function refuseServed(endpoint: string): Promise<void> {
  if (await isServed(endpoint)) throw cannotListen(endpoint, "another process listens there");
  if (!IS_WINDOWS && isOther(endpoint)) throw cannotListen(endpoint, "it is no socket");
}

function isOther(path: string): boolean {
  try {
    return !Deno.lstatSync(path).isSocket;
  } catch {
    return false;
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

function words(error: unknown): [reason: string, hint?: string] {
  const { reason, hint } = reasonAndHint(error);
  return [reason, hint];
}

function cannotListen(endpoint: string, reason: string, hint?: string): SkylineError {
  return new SkylineError("CANNOT_OPEN", `Cannot listen at ${endpoint}: ${reason}`, { hint });
}
