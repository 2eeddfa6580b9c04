/**
 * From a frame's body to its answer.
 *
 * @module
 */
import { SkylineError } from "../../client/errors.ts";
import type { RequestId } from "../../client/protocol.ts";
import { LIMITS } from "../process/limits.ts";
import type { Log } from "../process/log.ts";
import { type Answer, errorAnswer } from "./answers.ts";
import type { ConnectionMemory } from "./connection_memory.ts";
import type { IdleMemory } from "./idle_memory.ts";
import { inTurn, readInPieces } from "./long_request.ts";
import { type CheckedRequest, decodeRequest, readId, readRequest } from "./request.ts";
import type { Caller, Router } from "./router.ts";

/** Requests of a connection that is kept for commands. Not `Ping`: it would tell an app that it is served. */
const COMMANDS: ReadonlySet<string> = new Set(["Status", "Shutdown"]);

/** What a handler is made with. */
export interface RequestHandlerOptions {
  readonly router: Router;
  readonly memory: ConnectionMemory;
  readonly idleMemory: IdleMemory;
  readonly log: Log;
}

/** The connection that requests come from. */
export interface Requester extends Caller {
  /** Whether it is beyond the connections that are served, and is kept for commands. */
  readonly isKept: boolean;
  /** Answers with an error that is no request's, and closes. */
  refuse(error: SkylineError): void;
}

/** What becomes of a frame. */
export interface Handled {
  readonly id: RequestId | undefined;
  /** Length of its body. */
  readonly bytes: number;
  /** `null` where the connection was refused. */
  readonly answer: Answer | Promise<Answer> | null;
}

/** Handles the requests of one connection. */
export class RequestHandler {
  readonly #requester: Requester;
  readonly #options: RequestHandlerOptions;
  /** Requests for the daemon's end, which wait for all others. */
  waitingShutdowns = 0;

  /** Brings the requests of `requester` to the router. */
  constructor(requester: Requester, options: RequestHandlerOptions) {
    this.#requester = requester;
    this.#options = options;
  }

  /** Handles a frame's body. */
  handle(body: Uint8Array): Handled {
    const bytes = body.length;
    let id: RequestId | undefined;
    try {
      if (bytes === 0) throw new SkylineError("FRAME_EMPTY", "A frame has no body");
      const json = decodeRequest(body);
      id = readId(json);
      const request = readRequest(json, this.#requester.arrivedAt);
      return { id, bytes, answer: this.#route(id, request, bytes) };
    } catch (error) {
      return { id, bytes, answer: this.failureAnswer(id, error) };
    }
  }

  /** Handles one that takes long to read. `take` gives its body when it is its turn, or `null` if it is not wanted any more. */
  handleLong(take: () => Uint8Array | null): Promise<Handled | null> {
    return inTurn(async () => {
      const body = take();
      if (body === null) return null;
      const bytes = body.length;
      let id: RequestId | undefined;
      try {
        const { arrivedAt } = this.#requester;
        const request = await readInPieces(body, arrivedAt, (read) => id = read);
        return { id, bytes, answer: this.#route(id, request, bytes) };
      } catch (error) {
        return { id, bytes, answer: this.failureAnswer(id, error) };
      }
    });
  }

  #route(
    id: RequestId | undefined,
    request: CheckedRequest,
    bytes: number,
  ): Answer | Promise<Answer> | null {
    const { router, memory, idleMemory } = this.#options;
    memory.checkWaiting(bytes);
    if (this.#requester.isKept && !COMMANDS.has(request.type)) {
      this.#requester.refuse(tooManyConnections());
      return null;
    }
    // To watch it is no use of it: who does it all the time would never see that memory is given back.
    if (request.type !== "Status") idleMemory.note();
    if (request.type === "Shutdown") this.waitingShutdowns++;
    return router.route(this.#requester, id, request);
  }

  /** The answer to a request that failed. */
  failureAnswer(id: RequestId | undefined, error: unknown): string {
    this.#options.idleMemory.note();
    if (error instanceof SkylineError) return errorAnswer(id, error);
    const stack = (error as Error).stack ?? String(error);
    this.#options.log.error("Unexpected error", { error: stack });
    return errorAnswer(id, new SkylineError("INTERNAL_ERROR", `Unexpected: ${error}`));
  }
}

/** Why a connection is refused that is beyond those that are served. */
export function tooManyConnections(): SkylineError {
  return new SkylineError(
    "TOO_MANY_CONNECTIONS",
    `This endpoint serves ${LIMITS.connectionsMax} connections at most`,
  );
}
