/**
 * Answers as they are kept for repetitions: one line of text each, in which every number stays exact.
 *
 * @module
 */
import { cutText, type ErrorDetails, SkylineError } from "../../client/errors.ts";
import { LIMITS } from "../process/limits.ts";
import { FOREIGN } from "./own_rows.ts";
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

/** The outcome of a text; `FOREIGN` where {@link storedAnswer} has not made it. */
export function outcomeOf(text: string): WriteDone | SkylineError | typeof FOREIGN {
  if (text.startsWith(FAILURE)) return failureOf(parsed(text.slice(FAILURE.length)));
  const parts = /^(\d{1,16}) (\d{1,16})(?: (.*))?$/s.exec(text);
  if (parts === null) return FOREIGN;
  const [rev, rowsAffected] = [Number(parts[1]), Number(parts[2])];
  if (rev > LIMITS.revisionMax || !Number.isSafeInteger(rowsAffected)) return FOREIGN;
  const results = parts[3];
  if (results === undefined) return { rev, rowsAffected };
  return areResults(results) ? { rev, rowsAffected, results } : FOREIGN;
}

/** It goes into an answer as it is, and must not say what else stands there. */
function areResults(text: string): boolean {
  const results = text.length <= LIMITS.keptUnits.results ? parsed(text) : undefined;
  return Array.isArray(results) && results.every(isObject);
}

function failureOf(failure: unknown): SkylineError | typeof FOREIGN {
  if (!isObject(failure)) return FOREIGN;
  const { code, message, sqliteCode, statement, retry, hint } = failure;
  const isOurs = isCode(code) && typeof message === "string" &&
    (sqliteCode === undefined || isCode(sqliteCode)) &&
    (statement === undefined || Number.isSafeInteger(statement)) &&
    (retry === "safe" || retry === "unknown" || retry === "no") &&
    (hint === undefined || typeof hint === "string");
  if (!isOurs) return FOREIGN;
  const details = { sqliteCode, statement, retry, hint } as ErrorDetails;
  // A newer daemon may have written a code that is not in our table.
  return new SkylineError(code as SkylineError["code"], message, details);
}

function isCode(value: unknown): boolean {
  return typeof value === "string" && /^[A-Z0-9_]{1,64}$/.test(value);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
