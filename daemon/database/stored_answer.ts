/**
 * Answers as they are kept for repetitions: one line of text each, in which every number stays exact.
 *
 * @module
 */
import { cutText, SkylineError } from "../../client/errors.ts";
import type { WriteDone } from "./write.ts";

const FAILURE = "!";

/** How much of an answer is kept, in UTF-16 units. */
export interface KeptUnits {
  /** Longer results are left out. */
  readonly results: number;
  /** A longer message or hint of a failure is cut. */
  readonly errorText: number;
}

/** The text of an outcome, as far as it is kept. */
export function storedAnswer(outcome: WriteDone | SkylineError, kept: KeptUnits): string {
  if (outcome instanceof SkylineError) {
    const { code, sqliteCode, statement, retry } = outcome;
    const message = cutText(outcome.message, kept.errorText);
    const hint = outcome.hint && cutText(outcome.hint, kept.errorText);
    return FAILURE + JSON.stringify({ code, message, sqliteCode, statement, retry, hint });
  }
  const { rev, rowsAffected, results } = outcome;
  const isKept = results !== undefined && results.length <= kept.results;
  return isKept ? `${rev} ${rowsAffected} ${results}` : `${rev} ${rowsAffected}`;
}

/** The outcome of a text. */
export function outcomeOf(text: string): WriteDone | SkylineError {
  if (text.startsWith(FAILURE)) {
    const { code, message, ...details } = JSON.parse(text.slice(FAILURE.length));
    return new SkylineError(code, message, details);
  }
  const [, rev, rowsAffected, results] = /^(\d+) (\d+)(?: (.*))?$/s.exec(text)!;
  const done = { rev: Number(rev), rowsAffected: Number(rowsAffected) };
  return results === undefined ? done : { ...done, results };
}
