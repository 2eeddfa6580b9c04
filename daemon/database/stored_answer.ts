/**
 * Answers as they are kept for repetitions: one line of text each, in which every number stays exact.
 *
 * @module
 */
import { SkylineError } from "../../client/errors.ts";
import type { WriteDone } from "./write.ts";

const FAILURE = "!";

/** The text of an outcome; without its results where they are over `resultsUnitsMax` UTF-16 units. */
export function storedAnswer(outcome: WriteDone | SkylineError, resultsUnitsMax: number): string {
  if (outcome instanceof SkylineError) {
    const { code, message, sqliteCode, statement, retry, hint } = outcome;
    return FAILURE + JSON.stringify({ code, message, sqliteCode, statement, retry, hint });
  }
  const { rev, rowsAffected, results } = outcome;
  const isKept = results !== undefined && results.length <= resultsUnitsMax;
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
