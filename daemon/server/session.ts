/**
 * One connection: bytes in, requests out to the router, answers back in order. It alone writes bytes.
 *
 * @module
 */
import { SkylineError } from "../../client/errors.ts";
import { FrameDecoder } from "../../client/frame.ts";
import { WIRE_LIMITS } from "../../client/limits.ts";
import type { ConnectionStatus, RequestId } from "../../client/protocol.ts";
import type { Database } from "../database/database.ts";
import { Rests } from "../database/turn.ts";
import { LIMITS } from "../process/limits.ts";
import { AnswerOrder, release } from "./answer_order.ts";
import type { AnswerTimes } from "./answer_times.ts";
import { type Answer, errorAnswer, fitting } from "./answers.ts";
import type { Channel } from "./channel.ts";
import { Lane } from "./lane.ts";
import { Outbox } from "./outbox.ts";
import { PartialFrame } from "./partial_frame.ts";
import {
  type Handled,
  type Requester,
  RequestHandler,
  type RequestHandlerOptions,
} from "./request_handler.ts";
import type { Served } from "./router.ts";
import { type ClosedTraffic, Traffic } from "./traffic.ts";
import { UnreadAnswers } from "./unread_answers.ts";

/** Of connections that send much. */
const RESTS = new Rests();

/** What a session is made with. */
export interface SessionOptions extends RequestHandlerOptions {
  /** The database of the endpoint. */
  readonly home: Served;
  readonly answerTimes: AnswerTimes;
  readonly closedTraffic: ClosedTraffic;
  /** Called once, when it is over. */
  onClose(session: Session): void;
}

/** A connection that is open. */
export class Session implements Requester {
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
  readonly recipient: UnreadAnswers;
  readonly #outbox: Outbox;
  #waitingRequests = 0;
  #waitingBytes = 0;
  readonly #handler: RequestHandler;
  readonly #partialFrame: PartialFrame;
  arrivedAt = 0;
  #lingerTimer: ReturnType<typeof setTimeout> | undefined;
  #halfOpenTimer: ReturnType<typeof setTimeout> | undefined;
  /** Goes on reading, where that was left off for as much as it has waiting. */
  #readOn: (() => void) | undefined;
  #refused = false;
  /** Whether a long request is being read. */
  #isReading = false;
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
    this.#handler = new RequestHandler(this, options);
    this.recipient = new UnreadAnswers({
      memory: options.memory,
      size: () => this.#isClosed ? 0 : this.#outbox.memory + this.#order.memory,
      fetched: () => channel.takenBytes,
      cut: () => this.#cut(),
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

  #cut(): void {
    this.#options.log.warn("Connection cut: it does not fetch its answers", {
      connection: this.#id,
      unread: this.recipient.unread,
    });
    this.#destroy();
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
    this.#decoder.clear();
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
    return this.#waitingRequests > this.#handler.waitingShutdowns;
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
    this.recipient.note();
    this.#endIfSent();
    this.#goOn();
  }

  /** Goes on reading if that was left off, and there is room for more. */
  #goOn(): void {
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
    if (this.#decoder.bufferedBytes > LIMITS.longRequest.bytes && this.#hasLong()) {
      this.#handleLong();
      return true;
    }
    const body = this.#decoder.take();
    if (body === null) return false;
    this.traffic.requests++;
    this.#answer(this.#handler.handle(body));
    return true;
  }

  #isFull(): boolean {
    const unsent = this.#outbox.unsent + this.#order.memory;
    if (this.#isReading || this.recipient.areTooMany) return true;
    if (this.#waitingRequests > 0 && this.#options.memory.isCrowded) return true;
    return this.#waitingRequests >= LIMITS.connectionRequestsMax ||
      this.#order.count >= LIMITS.connectionRequestsMax ||
      this.#waitingBytes >= LIMITS.connectionBytesMax || unsent >= LIMITS.connectionBytesMax;
  }

  #hasLong(): boolean {
    const { wholeBytes } = this.#decoder;
    return wholeBytes > LIMITS.longRequest.bytes && wholeBytes <= WIRE_LIMITS.frameBytesMax;
  }

  /** Handles a frame that takes long to read; nothing more is read meanwhile. */
  async #handleLong(): Promise<void> {
    this.#isReading = true;
    this.#countWaiting(1, 0);
    const isWanted = () => !this.#refused || this.#isClosed;
    const handled = await this.#handler.handleLong(() => isWanted() ? this.#takeBody() : null);
    this.#isReading = false;
    this.#countWaiting(-1, 0);
    if (handled) this.#answer(handled);
    this.#settled();
    if (!this.#isHeld()) this.#handleAll();
    this.#goOn();
  }

  #takeBody(): Uint8Array {
    const body = this.#decoder.take()!;
    this.traffic.requests++;
    this.#partialFrame.note(this.#isClosed ? 0 : this.#decoder.bufferedBytes);
    return body;
  }

  #answer({ id, bytes, answer }: Handled): void {
    if (answer === null) return;
    if (answer instanceof Promise) this.#await(id, bytes, answer);
    else if (id === undefined) this.#order.add(fitting(id, answer));
    else this.#send(fitting(id, answer));
    this.recipient.note();
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
      this.recipient.note();
      this.#settled();
    };
    answer.then(answered, (error) => answered(this.#handler.failureAnswer(id, error)));
  }

  #countWaiting(requests: number, bytes: number): void {
    const { memory } = this.#options;
    this.#waitingRequests += requests;
    this.#waitingBytes += bytes;
    memory.waitingRequests += requests;
    memory.waitingBytes += bytes;
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
    // One that has arrived whole, and waits for its turn, is still executed.
    if (!this.#isReading) this.#decoder.clear();
    this.#outbox.clear();
    this.#order.close();
    this.recipient.note();
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
