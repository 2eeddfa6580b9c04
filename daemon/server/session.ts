/**
 * One connection: bytes in, requests out to the router, answers back in order. It alone writes bytes.
 *
 * @module
 */
import { SkylineError } from "../../client/errors.ts";
import { FrameDecoder } from "../../client/frame.ts";
import type { ConnectionStatus, RequestId } from "../../client/protocol.ts";
import type { Database } from "../database/database.ts";
import { Rests } from "../database/turn.ts";
import { LIMITS } from "../process/limits.ts";
import type { Log } from "../process/log.ts";
import { AnswerOrder, release } from "./answer_order.ts";
import type { AnswerTimes } from "./answer_times.ts";
import { type Answer, errorAnswer, fitting } from "./answers.ts";
import type { Channel } from "./channel.ts";
import type { ConnectionMemory, UnreadHolder } from "./connection_memory.ts";
import type { IdleMemory } from "./idle_memory.ts";
import { Lane } from "./lane.ts";
import { Outbox } from "./outbox.ts";
import { PartialFrame } from "./partial_frame.ts";
import type { Caller, Router, Served } from "./router.ts";
import { decodeRequest, readId, readRequest } from "./request.ts";
import { type ClosedTraffic, Traffic } from "./traffic.ts";

/** Requests of a connection that is kept for commands. Not `Ping`: it would tell an app that it is served. */
const COMMANDS: ReadonlySet<string> = new Set(["Status", "Shutdown"]);

/** Of connections that send much. */
const RESTS = new Rests();

/** What a session is made with. */
export interface SessionOptions {
  readonly router: Router;
  /** The database of the endpoint. */
  readonly home: Served;
  readonly memory: ConnectionMemory;
  readonly idleMemory: IdleMemory;
  readonly answerTimes: AnswerTimes;
  readonly closedTraffic: ClosedTraffic;
  readonly log: Log;
  /** Called once, when it is over. */
  onClose(session: Session): void;
}

/** A connection that is open. */
export class Session implements Caller, UnreadHolder {
  readonly home: Served;
  readonly #channel: Channel;
  readonly #options: SessionOptions;
  readonly #decoder = new FrameDecoder();
  readonly #lanes = new Map<Database, Lane>();
  readonly #gone = new AbortController();
  readonly signal: AbortSignal = this.#gone.signal;
  readonly #id: number;
  readonly #openedAt = performance.now();
  /** Whether it is beyond the connections that are served, and is kept for commands. */
  isKept = false;
  /** What went through it up to now. */
  readonly traffic = new Traffic();
  /** Answers to requests without an id, in the order of the requests. */
  readonly #order = new AnswerOrder((answer) => this.#send(answer));
  /** What is known of its unread answers where those of all are counted. */
  unread = 0;
  readonly #outbox: Outbox;
  #waitingRequests = 0;
  #waitingBytes = 0;
  /** Requests for the daemon's end, which wait for all others. */
  #waitingShutdowns = 0;
  readonly #partialFrame: PartialFrame;
  arrivedAt = 0;
  #lingerTimer: ReturnType<typeof setTimeout> | undefined;
  #halfOpenTimer: ReturnType<typeof setTimeout> | undefined;
  /** Goes on reading, where that was left off for as much as it has waiting. */
  #readOn: (() => void) | undefined;
  #refused = false;
  /** Whether the peer sends no more. */
  #ended = false;
  /** Whether it closes as soon as everything is sent. */
  #isClosing = false;
  #isClosed = false;
  #whenIdle: (() => void)[] = [];
  #whenClosed: (() => void)[] = [];

  /** Serves the peer behind `channel` until it closes. */
  constructor(channel: Channel, options: SessionOptions) {
    this.home = options.home;
    this.#channel = channel;
    this.#options = options;
    this.#id = ++options.closedTraffic.connections;
    this.#outbox = new Outbox({
      channel,
      traffic: this.traffic,
      answerTimes: options.answerTimes,
      sent: () => this.#sent(),
      failed: (error) => this.#failed(error),
    });
    this.#partialFrame = new PartialFrame(this, options.memory);
    options.idleMemory.note();
    this.#readAll();
  }

  laneOf(database: Database): Lane {
    let lane = this.#lanes.get(database);
    if (lane === undefined) this.#lanes.set(database, lane = new Lane(database));
    return lane;
  }

  get hasFetched(): boolean {
    return this.#options.memory.hasFetched(this);
  }

  get hasRoom(): boolean {
    return this.#options.memory.hasRoom;
  }

  wait(isDue: () => boolean): Promise<void> {
    return this.#options.memory.wait(isDue);
  }

  get fetched(): number {
    return this.#channel.takenBytes;
  }

  cut(): void {
    this.#options.log.warn("Connection cut: it does not fetch its answers", {
      connection: this.#id,
      unread: this.unread,
    });
    this.#destroy();
  }

  /** Has its unread answers counted among those of all. */
  #noteUnread(): void {
    const unread = this.#isClosed ? 0 : this.#outbox.memory + this.#order.memory;
    const more = unread - this.unread;
    if (more === 0) return;
    this.unread = unread;
    this.#options.memory.add(this, more);
  }

  /** Whether a request of it waits for its answer. */
  get isBusy(): boolean {
    return this.#waitingRequests > 0;
  }

  /** Whether it ever sent a request. */
  get hasSpoken(): boolean {
    return this.traffic.requests > 0;
  }

  /** How it is doing at `now`, on the clock of `performance.now()`. */
  status(now: number): ConnectionStatus {
    return {
      id: this.#id,
      age_ms: Math.round(now - this.#openedAt),
      idle_ms: Math.round(now - Math.max(this.arrivedAt, this.#openedAt)),
      requests: this.traffic.requests,
      waiting: this.#waitingRequests,
      received_bytes: this.traffic.receivedBytes,
      sent_bytes: this.traffic.sentBytes,
    };
  }

  /** Whether it is being refused, and stays for as long as its answer takes. */
  get isLeaving(): boolean {
    return this.#refused;
  }

  /** Answers with an error that is no request's, after what is under way, and closes. No more is read. */
  refuse(error: SkylineError): void {
    if (this.#refused) return;
    this.#refused = true;
    this.#partialFrame.note(0);
    this.#order.add(errorAnswer(undefined, error));
    this.#endIfDone();
  }

  /** Settles when no request but for the daemon's end waits for its answer. */
  idle(): Promise<void> {
    if (!this.#hasWork()) return Promise.resolve();
    return new Promise((resolve) => this.#whenIdle.push(resolve));
  }

  /** A request for the end counts from before it waits, so that it does not wait for itself. */
  #hasWork(): boolean {
    return this.#waitingRequests > this.#waitingShutdowns;
  }

  /** Sends what is left and closes. */
  close(): Promise<void> {
    this.#closeWhenSent();
    if (this.#isClosed) return Promise.resolve();
    return new Promise((resolve) => this.#whenClosed.push(resolve));
  }

  /** Closes as soon as everything is sent, or after a while. */
  #closeWhenSent(): void {
    if (this.#isClosed) return;
    this.#isClosing = true;
    this.#endIfSent();
    if (!this.#isClosed) this.#linger();
  }

  #endIfSent(): void {
    if (!this.#isClosing || this.#outbox.unsent > 0) return;
    this.#isClosing = false;
    const ending = this.#channel.end();
    if (ending) ending.finally(() => this.#destroy());
    else this.#destroy();
  }

  #linger(): void {
    this.#lingerTimer ??= setTimeout(() => this.#destroy(), LIMITS.lingerMs);
  }

  async #readAll(): Promise<void> {
    try {
      for (;;) {
        const bytes = await this.#channel.read(!this.#decoder.holdsPushed);
        if (bytes === null) return this.#peerEnded();
        if (this.#refused) continue;
        this.arrivedAt = performance.now();
        this.traffic.receivedBytes += bytes.length;
        this.#decoder.push(bytes);
        this.#handleAll();
        // Where it held the loop others go first; answers that are sent meanwhile make room.
        for (let at = this.arrivedAt; performance.now() - at > LIMITS.handleMs; this.#handleAll()) {
          await RESTS.next();
          at = performance.now();
        }
        if (this.#isHeld()) await new Promise<void>((resolve) => this.#readOn = resolve);
      }
    } catch (error) {
      this.#failed(error);
    }
  }

  /** Handles what has arrived, as long as the connection may have more waiting. */
  #handleAll(): void {
    try {
      while (!this.#refused && !this.#isFull() && this.#handleNext());
      const bytes = this.#refused ? 0 : this.#decoder.bufferedBytes;
      this.#partialFrame.note(bytes);
      if (bytes > 0) this.#options.idleMemory.note();
    } catch (error) {
      if (!(error instanceof SkylineError)) throw error;
      this.refuse(error);
    }
  }

  /** Answers were sent: there may be room for more requests. */
  #sent(): void {
    this.#noteUnread();
    this.#endIfSent();
    if (this.#readOn === undefined || this.#isHeld()) return;
    this.#handleAll();
    if (this.#isHeld()) return;
    this.#readOn();
    this.#readOn = undefined;
  }

  /** Whether it is not read on, for as much as it has waiting. */
  #isHeld(): boolean {
    return !this.#refused && this.#isFull();
  }

  get isPaused(): boolean {
    return this.#readOn !== undefined;
  }

  /** Handles the next frame that has arrived whole; false if there is none. */
  #handleNext(): boolean {
    const body = this.#decoder.take();
    if (body === null) return false;
    this.#handle(body);
    return true;
  }

  #isFull(): boolean {
    const unsent = this.#outbox.unsent + this.#order.memory;
    const { memory } = this.#options;
    if (this.unread > 0 && memory.isShort) return true;
    if (this.#waitingRequests > 0 && memory.isCrowded) return true;
    return this.#waitingRequests >= LIMITS.connectionRequestsMax ||
      this.#order.count >= LIMITS.connectionRequestsMax ||
      this.#waitingBytes >= LIMITS.connectionBytesMax || unsent >= LIMITS.connectionBytesMax;
  }

  #handle(body: Uint8Array): void {
    this.traffic.requests++;
    let id: RequestId | undefined;
    let answer: Answer | Promise<Answer>;
    let isUse = true;
    try {
      if (body.length === 0) throw new SkylineError("FRAME_EMPTY", "A frame has no body");
      const json = decodeRequest(body);
      id = readId(json);
      this.#options.memory.checkWaiting(body.length);
      const request = readRequest(json, this.arrivedAt);
      if (this.isKept && !COMMANDS.has(request.type)) return this.refuse(tooManyConnections());
      // To watch it is no use of it: who does it all the time would never see that memory is given back.
      isUse = request.type !== "Status";
      if (request.type === "Shutdown") this.#waitingShutdowns++;
      answer = this.#options.router.route(this, id, request);
    } catch (error) {
      answer = this.#failureAnswer(id, error);
    }
    if (isUse) this.#options.idleMemory.note();
    if (answer instanceof Promise) this.#await(id, body.length, answer);
    else if (id === undefined) this.#order.add(fitting(id, answer));
    else this.#send(fitting(id, answer));
    this.#noteUnread();
  }

  #await(id: RequestId | undefined, bytes: number, answer: Promise<Answer>): void {
    this.#countWaiting(1, bytes);
    const slot = id === undefined ? this.#order.take() : null;
    const answered = (answer: Answer) => {
      const fit = fitting(id, answer);
      this.#countWaiting(-1, -bytes);
      this.#options.idleMemory.note();
      if (slot) this.#order.fill(slot, fit);
      else this.#send(fit);
      this.#noteUnread();
      this.#settled();
    };
    answer.then(answered, (error) => answered(this.#failureAnswer(id, error)));
  }

  #countWaiting(requests: number, bytes: number): void {
    const { memory } = this.#options;
    this.#waitingRequests += requests;
    this.#waitingBytes += bytes;
    memory.waitingRequests += requests;
    memory.waitingBytes += bytes;
  }

  #failureAnswer(id: RequestId | undefined, error: unknown): string {
    if (error instanceof SkylineError) return errorAnswer(id, error);
    this.#options.log.error("Unexpected error", { error: (error as Error).stack ?? String(error) });
    return errorAnswer(id, new SkylineError("INTERNAL_ERROR", `Unexpected: ${error}`));
  }

  /** A request was answered: there may be nothing left to wait for. */
  #settled(): void {
    if (!this.#hasWork()) {
      for (const resolve of this.#whenIdle.splice(0)) resolve();
    }
    this.#endIfDone();
  }

  #send(answer: Answer): void {
    if (this.#isClosed) release(answer);
    else this.#outbox.push(answer);
  }

  /** The peer sends no more. On Unix it may still read, or be gone: that shows when something is written. */
  #peerEnded(): void {
    this.#ended = true;
    this.#endIfDone();
    if (this.#waitingRequests === 0) return;
    this.#halfOpenTimer = setTimeout(() => this.#gone.abort(), LIMITS.halfOpenMs);
  }

  /** Closes once nothing more is read and all is answered; not while the peer is still sending, or it would lose the answer. */
  #endIfDone(): void {
    if (!(this.#ended || this.#refused) || this.#waitingRequests > 0) return;
    if (this.#ended) this.#closeWhenSent();
    else this.#linger();
  }

  #failed(error: unknown): void {
    if (!this.#isClosed) this.#options.log.debug("Connection failed", { error });
    this.#destroy();
  }

  #destroy(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#channel.destroy();
    this.#outbox.clear();
    this.#order.close();
    this.#noteUnread();
    clearTimeout(this.#lingerTimer);
    clearTimeout(this.#halfOpenTimer);
    this.#refused = true;
    this.#partialFrame.end();
    if (this.#waitingRequests > 0) this.#gone.abort();
    this.#readOn?.();
    for (const resolve of this.#whenClosed) resolve();
    this.#options.idleMemory.note();
    this.#options.closedTraffic.add(this.traffic);
    this.#options.onClose(this);
  }
}

/** Why a connection is refused that is beyond those that are served. */
export function tooManyConnections(): SkylineError {
  return new SkylineError(
    "TOO_MANY_CONNECTIONS",
    `This endpoint serves ${LIMITS.connectionsMax} connections at most`,
  );
}
