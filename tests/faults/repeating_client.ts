/**
 * A client of the raw protocol that sends again what did not succeed, with a number of its session or with a key.
 *
 * @module
 */
import { sleep } from "../e2e/daemon_case.ts";
import type { Answer, WireClient } from "../wire_client.ts";

const IN_FLIGHT = 2;
const ANSWER_MS_MAX = 15_000;

/** A write that has not succeeded yet. */
interface Write {
  /** Of the row that it inserts. */
  readonly id: number;
  readonly seq: number;
}

/** A client whose writes each happen once in the end. */
export class RepeatingClient {
  /** Ids of all rows that it was to insert. */
  readonly ids: number[] = [];
  /** Those among them that it was told will never be there: sent again, they would fail again. */
  readonly refused = new Set<number>();
  /** Answers that it must not be given, each in a line. */
  readonly failures: string[] = [];
  readonly #pending: Write[] = [];
  #nextSeq = 1;

  /** `codes` are those with which a write may be refused for now. */
  constructor(
    readonly name: string,
    readonly by: "session" | "key",
    readonly codes: readonly string[],
    readonly stmtsOf: (id: number) => unknown,
  ) {}

  /** Sends new writes, and again what failed, one round for each id that `newId` gives. */
  async write(client: WireClient, rounds: number, newId: () => number): Promise<void> {
    for (let round = 0; round < rounds; round++) {
      while (this.#pending.length < IN_FLIGHT) {
        const id = newId();
        this.ids.push(id);
        this.#pending.push({ id, seq: this.#nextSeq++ });
      }
      if (!await this.#sendPending(client)) return;
    }
  }

  /** Sends again what failed, until nothing is left; false when that takes too long. */
  async finish(client: WireClient, timeoutMs: number): Promise<boolean> {
    const giveUpAt = performance.now() + timeoutMs;
    while (this.#pending.length > 0) {
      if (performance.now() > giveUpAt || !await this.#sendPending(client)) return false;
      if (this.#pending.length > 0) await sleep(20);
    }
    return true;
  }

  /** Sends all that is pending, in order, and waits for as many answers; false when one does not come. */
  async #sendPending(client: WireClient): Promise<boolean> {
    const acked = this.#pending[0].seq - 1;
    const sent = this.#pending.length;
    for (const { id, seq } of this.#pending) {
      const once = this.by === "session"
        ? { client: this.name, seq, acked }
        : { key: `${this.name}-${seq}` };
      client.send({
        type: "ExecBatch",
        id,
        timeout_ms: 10_000,
        stmts: this.stmtsOf(id),
        ...once,
      });
    }
    for (let i = 0; i < sent; i++) {
      const answer = await client.next(ANSWER_MS_MAX);
      if (answer === null) {
        this.failures.push(`no answer to one of ${this.#pending.map(({ id }) => id)}`);
        return false;
      }
      this.#note(answer);
    }
    return true;
  }

  #note(answer: Answer): void {
    // None of its requests is known as long as none succeeded: it begins again with the first.
    const isNew = answer.code === "CLIENT_FORGOTTEN" && this.#pending[0].seq === 1;
    if (answer.status !== "ok" && !isNew && !this.codes.includes(answer.code)) {
      this.failures.push(`an answer that does not tell what happened: ${JSON.stringify(answer)}`);
    }
    if (answer.retry === "no") this.refused.add(answer.id);
    if (answer.status === "ok" || answer.retry === "no") {
      this.#pending.splice(this.#pending.findIndex(({ id }) => id === answer.id), 1);
    }
  }
}
