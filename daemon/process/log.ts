/**
 * The log: one line an event, on standard error or appended to a file. Writing never throws, never holds up the
 * daemon, and keeps a bounded number of bytes.
 *
 * @module
 */
import { SkylineError } from "../../client/errors.ts";
import { type DaemonConfig, LOG_LEVELS, type LogLevel } from "./config.ts";
import { reasonAndHint } from "./obstacle.ts";

/** Takes events; `fields` are written as `key=value` after the message. */
export interface Log {
  debug(message: string, fields?: Record<string, unknown>): void;
  info(message: string, fields?: Record<string, unknown>): void;
  warn(message: string, fields?: Record<string, unknown>): void;
  error(message: string, fields?: Record<string, unknown>): void;
}

/** A log that is open. Disposing of it writes what is left, for at most a second. */
export interface OpenLog extends Log, AsyncDisposable {
  /**
   * Opens the file anew by its name, as it was moved away (log rotation): further lines go there, each whole. Where it cannot be
   * opened they go on to the one before, which says so. Does nothing where there is no file. It never rejects.
   */
  reopen(): Promise<void>;
}

/** A log that takes nothing. */
export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} };

const CATEGORY = "skylinedb";

/**
 * Opens the log that the configuration asks for.
 *
 * @throws {SkylineError} `CANNOT_OPEN` when the log file cannot be opened.
 */
export function openLog(
  { logFile, logLevel }: Pick<DaemonConfig, "logFile" | "logLevel">,
): OpenLog {
  let file = logFile ? openLogFile(logFile) : null;
  const lines = new LineWriter(file ?? Deno.stderr);
  const least = LOG_LEVELS.indexOf(logLevel);
  const at = (level: LogLevel) => {
    if (LOG_LEVELS.indexOf(level) < least) return () => {};
    return (message: string, fields: Record<string, unknown> = {}) =>
      lines.add(logLine(level, message, fields));
  };
  const log: Log = {
    debug: at("debug"),
    info: at("info"),
    warn: at("warning"),
    error: at("error"),
  };
  const reopen = async (path: string) => {
    try {
      // Not at once: a FIFO that nobody reads would stop the daemon.
      const opened = await Deno.open(path, OPEN_OPTIONS);
      const before = file;
      file = opened;
      const replaced = lines.replace(opened);
      log.info("The log was opened anew", { file: path });
      await replaced;
      before?.close();
    } catch (error) {
      log.warn("The log cannot be opened anew: it goes on in the file before", {
        file: path,
        reason: reasonAndHint(error).reason,
      });
    }
  };
  let reopened = Promise.resolve();
  return {
    ...log,
    // One after the other: the file of the last name is the one that stays.
    reopen: () => reopened = reopened.then(() => logFile ? reopen(logFile) : undefined),
    async [Symbol.asyncDispose]() {
      await lines.flush();
      file?.close();
    },
  };
}

const OPEN_OPTIONS: Deno.OpenOptions = { append: true, create: true, mode: 0o600 };

function openLogFile(path: string): Deno.FsFile {
  try {
    return Deno.openSync(path, OPEN_OPTIONS);
  } catch (error) {
    const { reason, hint } = reasonAndHint(error);
    throw new SkylineError("CANNOT_OPEN", `Cannot open the log file ${path}: ${reason}`, {
      hint: hint ??
        "Give --log-file a file that this user may write to, in a folder that exists.",
    });
  }
}

function logLine(level: LogLevel, message: string, fields: Record<string, unknown>): string {
  let line = `${new Date().toISOString()} ${level.padEnd(7)} ${CATEGORY}: ${oneLine(message)}`;
  for (const [name, value] of Object.entries(fields)) line += ` ${name}=${fieldText(value)}`;
  return line + "\n";
}

/** A value as one word, or in quotes; an error by its message. */
function fieldText(value: unknown): string {
  const text = value instanceof Error
    ? value.message
    : typeof value === "object"
    ? safeJson(value)
    : String(value);
  return /^[^\s"=\p{Cc}]+$/u.test(text) ? text : JSON.stringify(text);
}

function safeJson(value: unknown): string {
  try {
    return JSON.stringify(value);
  } catch {
    return String(value);
  }
}

/** Escapes what would start a new line or steer a terminal: messages hold parts of what clients send. */
function oneLine(text: string): string {
  return text.replace(
    /\p{Cc}/gu,
    (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
}

/** Where lines go. */
interface LineTarget {
  write(bytes: Uint8Array): Promise<number>;
}

/** Lines that wait for a target that takes none, such as a pipe that nobody reads, in UTF-16 units. */
const WAITING_MAX = 1024 * 1024;
const FLUSH_MS_MAX = 1000;

/** Writes lines in their order, one write at a time, off the event loop: a full pipe would stop the daemon. */
export class LineWriter {
  #target: LineTarget;
  #waiting = "";
  #dropped = 0;
  /** What is being written to one target. */
  #batch: Promise<void> | undefined;
  #writing: Promise<void> | null = null;

  /** Writes to `target`. */
  constructor(target: LineTarget) {
    this.#target = target;
  }

  /** Adds a line, which ends with a newline. Past 1 Mi units waiting it is dropped and counted. */
  add(line: string): void {
    if (this.#waiting.length + line.length > WAITING_MAX) {
      this.#dropped++;
      return;
    }
    this.#waiting += line;
    this.#writing ??= this.#write();
  }

  /** Has what was not begun yet go to `target`; resolves when the one before is written to no more. */
  async replace(target: LineTarget): Promise<void> {
    this.#target = target;
    await this.#batch;
  }

  /** Resolves when all lines are written, or after a second. */
  async flush(): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<void>((resolve) => timer = setTimeout(resolve, FLUSH_MS_MAX));
    await Promise.race([this.#writing, late]);
    clearTimeout(timer);
  }

  async #write(): Promise<void> {
    while (this.#waiting !== "") {
      const bytes = new TextEncoder().encode(this.#waiting);
      this.#waiting = this.#dropped ? `… ${this.#dropped} lines were dropped\n` : "";
      this.#dropped = 0;
      await (this.#batch = writeAll(this.#target, bytes));
    }
    this.#writing = null;
  }
}

async function writeAll(target: LineTarget, bytes: Uint8Array): Promise<void> {
  try {
    for (let rest = bytes; rest.length > 0;) rest = rest.subarray(await target.write(rest));
  } catch {
    // Nobody reads, or the disk is full: there is no better place to say so. The next lines try again.
  }
}
