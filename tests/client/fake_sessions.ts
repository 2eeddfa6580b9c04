/**
 * A fake daemon's memory of sessions, by the rules of the protocol, and what it is told to do wrong.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { FakeHandler, FakeRequest, FakeSession } from "./fake_daemon.ts";

/** What becomes of a request in place of being executed and answered. */
export type Mishap =
  /** The connection ends before it is executed. */
  | "cut before"
  /** The connection ends after it was executed. */
  | "cut after"
  /** It is executed, and never answered. */
  | "silence"
  /** It is executed, and answered 60 ms later. */
  | "late"
  /** It is executed, and yet answered OUTCOME_UNKNOWN. */
  | "unknown after"
  /** What the daemon knows of its client is lost, then it is treated like any other. */
  | "forget"
  /** It is not executed but answered this error. */
  | { readonly code: string; readonly retry: "safe" | "unknown" | "no" };

interface Known {
  done: number;
  readonly answers: Map<number, Record<string, unknown>>;
}

/** The memory. Writes are executed in the order in which they take effect. */
export class FakeSessions {
  /** SQL of the writes that took effect, in order. */
  readonly executed: string[] = [];
  /** Clients that said goodbye. */
  readonly left: unknown[] = [];
  /** The greatest distance of a `seq` from its `acked`. */
  distance = 0;
  readonly #known = new Map<string, Known>();
  readonly #mishapOf: (request: FakeRequest, session: FakeSession) => Mishap | undefined;

  /** @param mishapOf what goes wrong with a request, if anything does. */
  constructor(mishapOf: (request: FakeRequest, session: FakeSession) => Mishap | undefined) {
    this.#mishapOf = mishapOf;
  }

  /** To start a {@link FakeDaemon} with. Queries answer the number of writes that took effect. */
  get handler(): FakeHandler {
    return (request, session) => {
      if (session.socket.destroyed) return;
      if (request.type === "Bye") {
        this.left.push(request.client);
        return session.answer({});
      }
      const mishap = this.#mishapOf(request, session);
      if (mishap === "cut before") return void session.socket.destroy();
      if (typeof mishap === "object") {
        return session.answer({ status: "error", message: `It is ${mishap.code}`, ...mishap });
      }
      if (mishap === "forget") this.#known.clear();
      const answer = request.type === "Query"
        ? { rev: 1, columns: ["n"], rows: [[this.executed.length]] }
        : this.#execute(request);
      if (mishap === "cut after") session.socket.destroy();
      else if (mishap === "unknown after") session.answer(failure("OUTCOME_UNKNOWN", "unknown"));
      else if (mishap === "late") setTimeout(() => session.answer(answer), 60);
      else if (mishap !== "silence") session.answer(answer);
    };
  }

  #execute(request: FakeRequest): Record<string, unknown> {
    if (request.client === undefined) return this.#run(request);
    const { client, seq, acked } = request as unknown as {
      readonly client: string;
      readonly seq: number;
      readonly acked: number;
    };
    assert.ok(acked >= 0 && acked < seq, `seq ${seq}, acked ${acked}`);
    this.distance = Math.max(this.distance, seq - acked);
    let known = this.#known.get(client);
    if (known === undefined) {
      if (seq !== 1) return failure("CLIENT_FORGOTTEN", "unknown");
      this.#known.set(client, known = { done: 0, answers: new Map() });
    }
    for (const old of known.answers.keys()) if (old <= acked) known.answers.delete(old);
    if (seq <= known.done) {
      const stored = known.answers.get(seq);
      return stored ? { ...stored, replayed: true } : failure("SEQUENCE_GAP", "safe");
    }
    if (seq !== Math.max(known.done, acked) + 1) return failure("SEQUENCE_GAP", "safe");
    const answer = this.#run(request);
    known.done = seq;
    known.answers.set(seq, answer);
    return answer;
  }

  #run(request: FakeRequest): Record<string, unknown> {
    const [{ sql }] = request.stmts as { sql: string }[];
    if (sql === "fail") return failure("SQL_ERROR", "no");
    this.executed.push(sql);
    const rev = this.executed.length;
    const results = request.results ? [{ changes: 1, last_insert_rowid: rev }] : undefined;
    return { rev, rows_affected: 1, results };
  }
}

function failure(code: string, retry: string): Record<string, unknown> {
  return { status: "error", code, message: `It is ${code}`, retry };
}
