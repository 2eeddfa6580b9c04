/**
 * What clients were told of their writes, beside what is there.
 *
 * @module
 */
import type { Answer } from "../wire_client.ts";
import { counted } from "./scenario.ts";

/** What a client may conclude: done; not done; nothing. */
export type Told = "ok" | "failed" | "unknown";

/** What was told, by the id of the row that each request writes. */
export class ToldLedger {
  readonly #told = new Map<number, Told>();
  readonly counts: Record<Told, number> = { ok: 0, failed: 0, unknown: 0 };
  /** Answers that do not tell what they should, each in a line. */
  readonly failures: string[] = [];

  /** An answer; `null` where none came. It must be a success or one of `codes`. */
  note(id: number, answer: Answer | null, codes: readonly string[]): Told {
    const told = toldBy(answer);
    this.#told.set(id, told);
    this.counts[told]++;
    if (answer === null) this.failures.push(`no answer to ${id}`);
    else if (answer.status !== "ok" && !codes.includes(answer.code)) {
      this.failures.push(`an answer that does not tell what happened: ${JSON.stringify(answer)}`);
    }
    return told;
  }

  /** An answer to a request with `tx:"none"` whose statements write a row each, of these ids. */
  noteEach(ids: readonly number[], answer: Answer | null, codes: readonly string[]): void {
    // Those before the one that failed were kept, those after it were not started.
    const failedAt = answer === null || answer.status === "ok" ? 0 : answer.statement ?? 0;
    ids.forEach((id, i) => {
      if (answer?.status !== "error" || i === failedAt) this.note(id, answer, codes);
      else if (i < failedAt) this.note(id, { status: "ok" }, codes);
      else this.note(id, { ...answer, retry: "no" }, codes);
    });
  }

  /** What does not agree with the rows that are there. */
  compare(there: ReadonlySet<number>): string[] {
    const failures: string[] = [];
    for (const [id, told] of this.#told) {
      if (told === "ok" && !there.has(id)) failures.push(`${id} was acknowledged and is not there`);
      if (told === "failed" && there.has(id)) {
        failures.push(`${id} was said to have failed and is there`);
      }
    }
    return failures;
  }

  /** Whether a row's request was acknowledged. */
  isDone(id: number): boolean {
    return this.#told.get(id) === "ok";
  }
}

function toldBy(answer: Answer | null): Told {
  if (answer?.status === "ok") return "ok";
  return answer === null || answer.retry === "unknown" ? "unknown" : "failed";
}

/** The counts as people read them. */
export function countsText({ ok, failed, unknown }: Readonly<Record<Told, number>>): string {
  return `${counted(ok)} done, ${counted(failed)} failed, ${counted(unknown)} unknown`;
}
