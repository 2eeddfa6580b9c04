/**
 * What the program's exit code says, and how an error is told to the user: the one place for both.
 *
 * @module
 */
import { type ErrorCode, ERRORS, SkylineError } from "../../client/errors.ts";
import { UsageError } from "../process/config.ts";
import { AlreadyRunningError } from "../process/holder.ts";
import { obstacleOf } from "../process/obstacle.ts";
import { printable } from "./output.ts";

/** The program's exit codes. */
export const EXIT = {
  /** Done. */
  done: 0,
  /** The request failed. */
  failed: 1,
  /** The command was not understood. */
  usage: 2,
  /** Another daemon serves the file. */
  alreadyRunning: 3,
  /** No daemon serves the file. */
  notRunning: 4,
  /** A file, an endpoint or the log cannot be opened. */
  cannotOpen: 5,
  /** Busy, or not done in time: the same command may succeed later. */
  busy: 6,
} as const;

/** The exit code for what a command threw. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof UsageError) return EXIT.usage;
  if (error instanceof AlreadyRunningError) return EXIT.alreadyRunning;
  if (!(error instanceof SkylineError)) return obstacleOf(error) ? EXIT.cannotOpen : EXIT.failed;
  switch (error.code) {
    case "NOT_RUNNING":
      return EXIT.notRunning;
    case "CANNOT_OPEN":
    case "NO_PERMISSION":
      return EXIT.cannotOpen;
    case "DATABASE_BUSY":
    case "TIMEOUT":
    case "TOO_MANY_CONNECTIONS":
      return EXIT.busy;
    default:
      return EXIT.failed;
  }
}

/** What a process that a signal ended is expected to exit with. */
export function exitCodeOfSignal(signal: Deno.Signal): number {
  return 128 + (signal === "SIGTERM" ? 15 : signal === "SIGHUP" ? 1 : 2);
}

/** The start of the line by which an error is told. */
export const ERROR_PREFIX = "error: ";

/** An error as the user reads it: one line that says what is wrong, then one that says what to do. */
export function errorText(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  const hint = hintOf(error);
  const line = printable(message.replace(/\s*\n\s*/g, " "));
  return `${ERROR_PREFIX}${line}\n${hint ? `hint: ${printable(hint)}\n` : ""}`;
}

/** The hints that speak of requests and their fields, in words of the command line. */
const COMMAND_HINTS: { readonly [K in ErrorCode]?: string } = {
  NOT_READ_ONLY: "Use exec in place of query; it prints the rows of RETURNING as well.",
  RESULT_TOO_LARGE: "Ask for fewer rows, with LIMIT.",
  TIMEOUT: "Give a longer --timeout, or make the statement faster (an index?).",
};

function hintOf(error: unknown): string | undefined {
  if (error instanceof AlreadyRunningError && error.differs) {
    return `Leave these options out to use it as it runs; or end it with shutdown "${error.path}", then start again.`;
  }
  if (error instanceof AlreadyRunningError) {
    return `skylinedb-daemon status "${error.path}" shows it, shutdown "${error.path}" ends it.`;
  }
  if (error instanceof SkylineError && error.hint === ERRORS[error.code]?.hint) {
    return COMMAND_HINTS[error.code] ?? error.hint;
  }
  if (error instanceof SkylineError || error instanceof UsageError) return error.hint;
  return obstacleOf(error)?.hint;
}
