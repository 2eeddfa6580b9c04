/**
 * The connection to a daemon as its users see it: many requests at once, each gets its own answer or error. Below it,
 * connections come and go; what is unanswered meanwhile may be sent again.
 *
 * @module
 */
import process from "node:process";
import { clearTimeout, setTimeout } from "node:timers";
import { Call, errorOf, isNotNow, late } from "./call.ts";
import { SkylineError } from "./errors.ts";
import { encodeFrames, frameRoom } from "./frame.ts";
import { IdleTimer } from "./idle_timer.ts";
import { Link, type LinkOwner, type OkAnswer } from "./link.ts";
import { Outbox } from "./outbox.ts";
import type { ErrorAnswer, Request } from "./protocol.ts";
import { Session } from "./session.ts";

/** How to connect. */
export interface OpenOptions {
  /** Milliseconds that connecting may take, 10,000 by default; 0: no bound. */
  readonly timeoutMs?: number;
  /**
   * Send again what got no answer, or what the daemon does not take for now: reads, and writes, which carry the numbers
   * of a session for that. `false` by default.
   */
  readonly retry?: boolean;
  /** For how many milliseconds nothing must be asked until the connection is closed; 0, the default: it stays. */
  readonly idleCloseMs?: number;
}

/** What one request may be given. */
export interface RequestOptions {
  /** Milliseconds until it is given up, repetitions included; 0, the default: never. */
  readonly timeoutMs?: number;
}

/** Bytes handed to the socket at once: larger gains nothing, and what is not handed over can still be taken back. */
const WRITE_BYTES = 256 * 1024;
/** Before sending again; doubled each time, until an answer comes. */
const PAUSE_MS_FIRST = 10;
const PAUSE_MS_MAX = 250;
/** One attempt to connect of a client that tries again: so soon its calls know the reason. */
const ATTEMPT_MS = 1_000;
const BYE_MS = 1_000;

/**
 * A connection to a daemon, opened anew by the next request when it has ended or was closed as idle: then too the session
 * goes on. It keeps the process alive only while answers are awaited.
 *
 * Requests are sent in the order in which they were made. With `retry`, what is unanswered stays in that order: once
 * everything in flight is answered, refused for now, or lost with its connection, the rest is sent again from the first.
 */
export class Connection {
  /** The pipe's name or the socket's path. */
  readonly endpoint: string;
  /** All that is unanswered, by `id`, in the order in which it was asked for. */
  readonly #calls = new Map<number, Call>();
  /** Those of them that are not sent, in that order. */
  readonly #outbox = new Outbox();
  /** Sent on this link, not answered and not given up. */
  #inFlight = 0;
  #nextId = 1;
  #link: Link | null = null;
  readonly #owner: LinkOwner;
  #session: Session | null = null;
  #retry: boolean;
  readonly #dialMs: number;
  readonly #idleTimer: IdleTimer;
  /** Nothing is sent before what was refused is: it would come out of order. */
  #isHeld = false;
  #pauseMs = PAUSE_MS_FIRST;
  #pause: NodeJS.Timeout | undefined;
  #isDialing = false;
  #flushPlanned = false;
  readonly #flushNow = (): void => this.#flush();
  #timer: NodeJS.Timeout | undefined;
  #timerAt = Infinity;
  /** It takes no more requests. */
  #closed = false;
  #closing: Promise<void> | null = null;
  #idle: (() => void) | null = null;

  private constructor(endpoint: string, options: OpenOptions) {
    this.endpoint = endpoint;
    this.#retry = options.retry ?? false;
    this.#dialMs = options.timeoutMs ?? 10_000;
    const asked = () => this.#calls.size > 0 ? null : this.#nextId;
    this.#idleTimer = new IdleTimer(options.idleCloseMs ?? 0, asked, () => this.#endLink());
    this.#owner = {
      answered: (answer) => this.#answered(answer),
      arrived: () => this.#proceed(),
      writable: () => this.#flush(),
      ended: (reason) => this.#lost(reason),
    };
  }

  /**
   * Connects to an endpoint, of `endpointOf` or `endpointOfName`: one attempt, whatever `retry` is.
   *
   * @throws {SkylineError} `NOT_RUNNING`, `NO_PERMISSION`, `TIMEOUT`, `TOO_MANY_CONNECTIONS`.
   */
  static async open(endpoint: string, options: OpenOptions = {}): Promise<Connection> {
    const connection = new Connection(endpoint, options);
    connection.#link = await Link.open(endpoint, connection.#dialMs, connection.#owner);
    connection.#idleTimer.start();
    return connection;
  }

  /** Sends a request of plain JSON; {@link Connection.requestText} tells the rest. */
  request<Answer extends OkAnswer>(request: Request, options?: RequestOptions): Promise<Answer> {
    const { type, ...members } = request;
    return this.requestText(type, JSON.stringify(members).slice(1, -1), options);
  }

  /**
   * Sends a request that is given as JSON text: the members of its object without the braces and without `id`, `type`,
   * `timeout_ms` and those of a session. Only so can exact integers and REALs be written.
   *
   * @returns the answer as `decodeJson` gives it.
   * @throws {SkylineError} the daemon's error. `CLOSED`, `FRAME_TOO_LARGE`. `CONNECTION_LOST`, `TIMEOUT` and what
   * {@link Connection.open} throws; for a write that may have taken effect all the same, `OUTCOME_UNKNOWN`.
   */
  requestText<Answer extends OkAnswer>(
    type: Request["type"],
    members: string,
    options?: RequestOptions,
  ): Promise<Answer> {
    if (this.#closed) {
      return Promise.reject(new SkylineError("CLOSED", "This connection was closed"));
    }
    return this.#enqueue<Answer>(type, members, options?.timeoutMs ?? 0);
  }

  /** Asks the daemon to end, and repeats nothing any more, neither this nor what is unanswered. Takes no more requests. */
  shutdown(timeoutMs: number): Promise<OkAnswer> {
    const answer = this.requestText("Shutdown", "", { timeoutMs });
    this.#closed = true;
    this.#retry = false;
    return answer;
  }

  /**
   * Takes no more requests, waits until those that were made have their answers or are given up, ends the session where
   * there is a connection to say so on, and ends the connection.
   */
  close(): Promise<void> {
    this.#closed = true;
    return this.#closing ??= this.#close();
  }

  /** Closes: see {@link Connection.close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    if (this.#calls.size > 0) await new Promise<void>((resolve) => this.#idle = resolve);
    if (this.#retry && this.#session !== null && this.#link !== null) {
      // Without an answer the daemon forgets the session by itself, later.
      await this.#enqueue("Bye", `"client":"${this.#session.client}"`, BYE_MS).catch(() => {});
    }
    this.#armTimer(Infinity);
    await this.#endLink();
  }

  #enqueue<Answer extends OkAnswer>(
    type: Request["type"],
    members: string,
    timeoutMs: number,
  ): Promise<Answer> {
    return new Promise<OkAnswer>((resolve, reject) => {
      const deadlineAt = timeoutMs === 0 ? Infinity : performance.now() + timeoutMs;
      const call = new Call(this.#nextId++, type, members, deadlineAt, resolve, reject);
      if (this.#calls.size === 0) this.#link?.ref();
      this.#calls.set(call.id, call);
      this.#outbox.push(call);
      if (deadlineAt < this.#timerAt) this.#armTimer(deadlineAt);
      if (this.#link !== null) this.#planFlush();
      else if (!this.#isDialing && this.#pause === undefined) this.#dial();
    }) as Promise<Answer>;
  }

  #planFlush(): void {
    if (this.#flushPlanned) return;
    this.#flushPlanned = true;
    // After this turn, so that what is asked for in one turn goes out in one write.
    process.nextTick(this.#flushNow);
  }

  #flush(): void {
    this.#flushPlanned = false;
    while (this.#link !== null && !this.#link.full && !this.#isHeld) {
      const frames = this.#nextFrames();
      if (frames.length === 0) break;
      this.#link.write(frames);
    }
    if (this.#calls.size === 0) this.#rest();
  }

  #nextFrames(): Uint8Array {
    const texts: string[] = [];
    let room = 0;
    const now = performance.now();
    while (room < WRITE_BYTES) {
      const call = this.#outbox.first;
      if (call === undefined) break;
      if (call.deadlineAt <= now) {
        this.#fail(call, call.reason ?? late());
        continue;
      }
      if (call.seq === 0 && this.#isNumbered(call)) {
        this.#session ??= new Session();
        call.seq = this.#session.take();
        if (call.seq === 0) break;
      }
      try {
        const text = call.text(this.#session, now);
        room += frameRoom(text);
        texts.push(text);
      } catch (error) {
        this.#fail(call, error as SkylineError);
        continue;
      }
      this.#outbox.shift();
      call.state = "sent";
      call.reason = null;
      this.#inFlight++;
    }
    return encodeFrames(texts, room);
  }

  #isNumbered({ rule }: Call): boolean {
    return this.#retry && rule.repeat === true && !rule.readOnly;
  }

  #answered(answer: OkAnswer | ErrorAnswer): void {
    if (answer.id === undefined) {
      // What the daemon says of no request is about the connection, and the last that it says.
      if (answer.status !== "error") return;
      this.#link!.close();
      this.#lost(errorOf(answer));
      return;
    }
    const call = this.#calls.get(answer.id as number);
    // Given up before.
    if (call === undefined) return;
    if (answer.status === "error" && this.#retry && call.rule.repeat && isNotNow(answer.code)) {
      this.#refused(call, errorOf(answer));
      return;
    }
    this.#pauseMs = PAUSE_MS_FIRST;
    this.#settle(call);
    if (answer.status === "ok") call.succeed(answer);
    else call.failByAnswer(answer);
  }

  #refused(call: Call, reason: SkylineError): void {
    call.state = "refused";
    call.reason = reason;
    if (reason.code === "OUTCOME_UNKNOWN") call.inDoubt = true;
    if (reason.code === "CLIENT_FORGOTTEN" && this.#session) this.#session.forgotten = true;
    this.#inFlight--;
    this.#isHeld = true;
    if (call.deadlineAt < this.#timerAt) this.#armTimer(call.deadlineAt);
  }

  #lost(reason: SkylineError): void {
    this.#link = null;
    // Refused at the door, or the only one that it can be about; else those that were sent may have been executed.
    const isSaid = reason.code === "TOO_MANY_CONNECTIONS" ||
      (reason.code !== "CONNECTION_LOST" && this.#inFlight === 1);
    for (const call of this.#calls.values()) {
      const wasSent = call.state === "sent";
      if (wasSent && !isSaid) call.inDoubt = !call.rule.readOnly;
      call.state = "waiting";
      this.#failOrKeep(call, reason, wasSent && reason.retry === "no");
    }
    this.#inFlight = 0;
    // Those that were waited for past their deadlines are not sent any more.
    this.#giveUpLate();
  }

  /** Keeps what may be sent again. */
  #failOrKeep(call: Call, reason: SkylineError, isFinal: boolean): void {
    if (this.#retry && call.rule.repeat && !isFinal) call.reason = reason;
    else this.#fail(call, reason);
  }

  #fail(call: Call, reason: SkylineError): void {
    call.fail(reason);
    this.#settle(call);
  }

  #settle(call: Call): void {
    if (call.state === "sent") this.#inFlight--;
    call.state = "settled";
    this.#calls.delete(call.id);
    if (call.seq !== 0) this.#session!.settle(call.seq);
  }

  /** What comes next, after answers or the lack of them. */
  #proceed(): void {
    if (this.#calls.size === 0) this.#rest();
    else if (this.#link === null || (this.#isHeld && this.#inFlight === 0)) this.#planResume();
    else if (this.#outbox.first !== undefined) this.#planFlush();
  }

  /** Nothing is awaited: the process may end. */
  #rest(): void {
    clearTimeout(this.#pause);
    this.#pause = undefined;
    this.#isHeld = false;
    this.#outbox.refill([]);
    this.#link?.unref();
    this.#idle?.();
  }

  #planResume(): void {
    if (this.#isDialing || this.#pause !== undefined) return;
    // While it runs it keeps the process alive, as the connection does otherwise.
    this.#pause = setTimeout(() => {
      this.#pause = undefined;
      if (this.#link === null) this.#dial();
      else this.#sendAgain();
    }, this.#pauseMs);
    this.#pauseMs = Math.min(2 * this.#pauseMs, PAUSE_MS_MAX);
  }

  async #dial(): Promise<void> {
    this.#isDialing = true;
    try {
      const timeoutMs = this.#retry ? ATTEMPT_MS : this.#dialMs;
      this.#link = await Link.open(this.endpoint, timeoutMs, this.#owner);
      this.#idleTimer.start();
      this.#isDialing = false;
    } catch (error) {
      this.#isDialing = false;
      const reason = error as SkylineError;
      for (const call of this.#calls.values()) {
        this.#failOrKeep(call, reason, reason.retry === "no");
      }
      this.#proceed();
      return;
    }
    if (this.#calls.size > 0) {
      this.#link.ref();
      this.#sendAgain();
    } else if (this.#closed) this.#endLink();
  }

  /** Sends all that is unanswered, from the first; nothing of it is in flight. */
  #sendAgain(): void {
    const isForgotten = this.#session?.forgotten;
    for (const call of this.#calls.values()) {
      call.state = "waiting";
      if (!isForgotten || call.seq === 0) continue;
      // Under another number it might take effect twice.
      if (call.inDoubt) this.#fail(call, call.reason!);
      else call.seq = 0;
    }
    if (isForgotten) this.#session = null;
    this.#isHeld = false;
    this.#outbox.refill([...this.#calls.values()]);
    this.#flush();
  }

  #armTimer(at: number): void {
    clearTimeout(this.#timer);
    this.#timerAt = at;
    if (at === Infinity) return;
    this.#timer = setTimeout(() => this.#giveUpLate(), Math.max(1, at - performance.now()));
    this.#timer.unref();
  }

  #giveUpLate(): void {
    const now = performance.now();
    let next = Infinity;
    for (const call of this.#calls.values()) {
      if (call.giveUpAt > now) next = Math.min(next, call.giveUpAt);
      else this.#fail(call, call.reason ?? late());
    }
    this.#armTimer(next);
    this.#proceed();
  }

  #endLink(): Promise<void> | undefined {
    this.#idleTimer.stop();
    const link = this.#link;
    this.#link = null;
    link?.close();
    return link?.gone;
  }
}
