/**
 * A request that waits for its answer, and what its caller is told in the end.
 *
 * @module
 */
import { type ErrorCode, SkylineError } from "./errors.ts";
import { WIRE_LIMITS } from "./limits.ts";
import type { OkAnswer } from "./link.ts";
import type { ErrorAnswer, Request } from "./protocol.ts";
import type { Session } from "./session.ts";

/** How requests of one type are treated. */
export interface RequestRule {
  /** It has no effect: losing its answer loses nothing. */
  readonly readOnly?: boolean;
  /** It may be sent again by a client that retries; one that is not `readOnly` carries a number of its session then. */
  readonly repeat?: boolean;
  /** The daemon is told how long it may take, and answers by then. */
  readonly timed?: boolean;
}

const RULES: Readonly<Record<Request["type"], RequestRule>> = {
  // Whether the daemon is there now.
  Ping: { readOnly: true },
  Status: { readOnly: true, repeat: true },
  Query: { readOnly: true, repeat: true, timed: true },
  ExecBatch: { repeat: true, timed: true },
  Bye: {},
  Shutdown: {},
};

/** Answers that say "not now": a client that retries sends the request again. */
const NOT_NOW: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "SEQUENCE_GAP",
  "CLIENT_FORGOTTEN",
  "QUEUE_FULL",
  "SHUTTING_DOWN",
  "OUTCOME_UNKNOWN",
]);

/** Whether an answer says that the request is to be sent again. */
export function isNotNow(code: ErrorCode): boolean {
  return NOT_NOW.has(code);
}

/** The client gives up so much later than the daemon, whose answer says what became of the request. */
const GRACE_MS = 1_000;

/** Where a {@link Call} is on its way. `refused`: the daemon answered that it does not take it for now. */
export type CallState = "waiting" | "sent" | "refused" | "settled";

/** A request whose answer has not come. */
export class Call {
  /** The request's `id`, the same each time that it is sent. */
  readonly id: number;
  readonly rule: RequestRule;
  /** When it is not sent any more, by `performance.now()`. */
  readonly deadlineAt: number;
  readonly #type: Request["type"];
  readonly #members: string;
  readonly #resolve: (answer: OkAnswer) => void;
  readonly #reject: (error: SkylineError) => void;
  state: CallState = "waiting";
  /** Its number in the session; 0 as long as it has none. */
  seq = 0;
  /** It may have taken effect: it was sent, and no answer has said otherwise. */
  inDoubt = false;
  /** Why it has no answer yet. */
  reason: SkylineError | null = null;

  constructor(
    id: number,
    type: Request["type"],
    members: string,
    deadlineAt: number,
    resolve: (answer: OkAnswer) => void,
    reject: (error: SkylineError) => void,
  ) {
    this.id = id;
    this.rule = RULES[type];
    this.deadlineAt = deadlineAt;
    this.#type = type;
    this.#members = members;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  /** When it is given up. */
  get giveUpAt(): number {
    return this.state === "sent" && this.rule.timed ? this.deadlineAt + GRACE_MS : this.deadlineAt;
  }

  /** The request's JSON text, as it is to be sent now; `session` has given it its number, if it has one. */
  text(session: Session | null, now: number): string {
    let text = `{"id":${this.id},"type":"${this.#type}"`;
    if (this.seq !== 0) text += "," + session!.members(this.seq);
    if (this.#members !== "") text += "," + this.#members;
    if (this.rule.timed) {
      const leftMs = Math.min(Math.ceil(this.deadlineAt - now), WIRE_LIMITS.timeoutMsMax);
      text += `,"timeout_ms":${leftMs}`;
    }
    return text + "}";
  }

  /** Its answer is `ok`. */
  succeed(answer: OkAnswer): void {
    this.#resolve(answer);
  }

  /** Its answer is an error. */
  failByAnswer(answer: ErrorAnswer): void {
    const error = errorOf(answer);
    this.#reject(this.inDoubt && !tellsOfAll(answer) ? unknownOutcome(error) : error);
  }

  /** It gets no answer, for `reason`. */
  fail(reason: SkylineError): void {
    const maySoBe = !this.rule.readOnly && (this.state === "sent" || this.inDoubt);
    if (maySoBe && this.rule.repeat) this.#reject(unknownOutcome(reason));
    else if (maySoBe) this.#reject(copyOf(reason, "unknown"));
    else this.#reject(copyOf(reason, reason.retry === "no" ? "no" : "safe"));
  }
}

/**
 * Whether an answer to a request that was sent before is about that sending as well. It is when it came of executing the
 * request, now or then: else the daemon may have refused it before it looked whether it was executed.
 */
function tellsOfAll({ code, retry, replayed }: ErrorAnswer): boolean {
  if (replayed) return true;
  return retry === "no" && !["FILE_REPLACED", "CANNOT_OPEN", "UNKNOWN_DATABASE"].includes(code);
}

function unknownOutcome(reason: SkylineError): SkylineError {
  if (reason.code === "OUTCOME_UNKNOWN") return copyOf(reason);
  const message = `It is not known whether the request took effect: ${reason.message}`;
  return new SkylineError("OUTCOME_UNKNOWN", message, { cause: reason });
}

/** The error of a call whose time is over, where nothing else is known. */
export function late(): SkylineError {
  return new SkylineError("TIMEOUT", "The daemon did not answer within the time given", {
    hint: "Give a longer timeoutMs; if the daemon answers nobody, its log may tell why.",
  });
}

/** The error that an answer is. */
export function errorOf(answer: ErrorAnswer): SkylineError {
  return new SkylineError(answer.code, answer.message, {
    sqliteCode: answer.sqlite_code,
    statement: answer.statement,
    retry: answer.retry,
    hint: answer.hint,
  });
}

/** An error of its own for each that it is thrown at. */
export function copyOf(error: SkylineError, retry = error.retry): SkylineError {
  const { sqliteCode, statement, hint, cause } = error;
  return new SkylineError(error.code, error.message, { sqliteCode, statement, hint, cause, retry });
}
