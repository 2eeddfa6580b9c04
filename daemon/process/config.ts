/**
 * What a daemon is started with, and the checks of each option.
 *
 * @module
 */
import { resolve } from "node:path";
import { endpointOfName } from "../../client/endpoint.ts";
import type { DaemonOptions } from "../../client/protocol.ts";
import { LIMITS } from "./limits.ts";

/** Severities of the log, from the least. */
export const LOG_LEVELS = ["debug", "info", "warning", "error"] as const;
/** A severity of the log. */
export type LogLevel = typeof LOG_LEVELS[number];

/** The options by their names on the command line, without those of the start alone. */
export type OptionName =
  | "pipe"
  | "durability"
  | "foreign-keys"
  | "keep-wal"
  | "wal-limit"
  | "close-idle"
  | "exit-when-idle"
  | "log-file"
  | "log-level";

/** What a daemon is started with. */
export interface DaemonConfig {
  /** Database files to serve, absolute, at least one. */
  readonly files: string[];
  /** A plain second name to listen on; only with one file. */
  readonly pipe?: string;
  /** `full`: an acknowledged write survives a loss of power; `normal`: it survives the end of the process. */
  readonly durability: "full" | "normal";
  /** Whether foreign keys are enforced. */
  readonly foreignKeys: boolean;
  /** Whether `-wal` and `-shm` stay after a clean end, for readers in folders that they may not write to. */
  readonly keepWal: boolean;
  /** Size of the write-ahead log from which on writes are refused. */
  readonly walLimitBytes: number;
  /** For how long nothing must be asked of a database until its file is closed, in milliseconds; 0: it stays open. */
  readonly closeIdleMs: number;
  /** For how long nobody must be connected until the daemon ends, in milliseconds; 0: it does not end by itself. */
  readonly exitWhenIdleMs: number;
  /** Whether the start returns as soon as the daemon serves. */
  readonly background: boolean;
  /** Where the log is appended, absolute; on standard error when left out. */
  readonly logFile?: string;
  /** The least severity that is logged. */
  readonly logLevel: LogLevel;
  /** The options that were given, typed or by the environment; the others have their defaults. */
  readonly asked: readonly OptionName[];
}

/** The options as they were typed. What was not given is taken from the environment, then from the defaults. */
export interface StartOptions {
  pipe?: string;
  durability?: string;
  foreignKeys?: string;
  keepWal?: boolean;
  walLimit?: string;
  closeIdle?: string;
  exitWhenIdle?: string;
  background?: boolean;
  logFile?: string;
  logLevel?: string;
}

/** The command was not understood or an option has a value that it does not take. */
export class UsageError extends Error {
  override readonly name = "UsageError";
  /** What to write instead. */
  readonly hint?: string;

  /** Makes the error. */
  constructor(message: string, hint?: string) {
    super(message);
    if (hint) this.hint = hint;
  }
}

/** Reads an environment variable; `undefined` when it is not set. */
export type Environment = (name: string) => string | undefined;

/**
 * Checks what was typed and fills in the rest: from `SKYLINEDB_PIPE`, `_DURABILITY`, `_FOREIGN_KEYS`, `_KEEP_WAL`,
 * `_WAL_LIMIT`, `_CLOSE_IDLE`, `_EXIT_WHEN_IDLE`, `_LOG_FILE`, `_LOG_LEVEL`, then durability full, foreign keys on, a log
 * of 1 GiB, databases closed after 5 minutes, no end by itself, log level info.
 *
 * @throws {UsageError} that names the option and what it takes.
 */
export function daemonConfig(
  files: readonly string[],
  options: StartOptions,
  environment: Environment = (name) => Deno.env.get(name),
): DaemonConfig {
  const asked: OptionName[] = [];
  const read = (typed: string | undefined, option: OptionName): Setting => {
    const setting = settingOf(typed, option, environment);
    if (setting.value !== undefined) asked.push(option);
    return setting;
  };
  const pipe = read(options.pipe, "pipe");
  const logFile = read(options.logFile, "log-file").value;
  if (logFile === "") throw new UsageError("--log-file names no file");
  if (files.length === 0) {
    throw new UsageError("No database file is named", "skylinedb-daemon start FILE");
  }
  if (files.includes("")) throw new UsageError("The name of a database file is empty");
  if (pipe.value !== undefined) checkPipe(pipe, files.length);
  return {
    files: files.map((file) => resolve(file)),
    ...(pipe.value !== undefined && { pipe: pipe.value }),
    durability: choice(read(options.durability, "durability"), ["full", "normal"], "full"),
    foreignKeys: isOn(read(options.foreignKeys, "foreign-keys"), true),
    keepWal: isOn(read(options.keepWal ? "on" : undefined, "keep-wal"), false),
    walLimitBytes: walLimit(read(options.walLimit, "wal-limit")),
    closeIdleMs: idleMs(read(options.closeIdle, "close-idle"), LIMITS.idleMs.closeDefault),
    exitWhenIdleMs: idleMs(read(options.exitWhenIdle, "exit-when-idle"), 0),
    background: options.background ?? false,
    ...(logFile !== undefined && { logFile: resolve(logFile) }),
    logLevel: choice(read(options.logLevel, "log-level"), LOG_LEVELS, "info"),
    asked,
  };
}

/** What a daemon was started with, as its status tells it. */
export function optionsOf(config: Omit<DaemonConfig, "files">): DaemonOptions {
  return {
    pipe: config.pipe ?? null,
    durability: config.durability,
    foreign_keys: config.foreignKeys,
    keep_wal: config.keepWal,
    wal_limit_bytes: config.walLimitBytes,
    close_idle_ms: config.closeIdleMs,
    exit_when_idle_ms: config.exitWhenIdleMs,
    log_file: config.logFile ?? null,
    log_level: config.logLevel,
  };
}

/** An option's value, and the name by which the user gave it. */
interface Setting {
  readonly name: string;
  readonly value: string | undefined;
}

function settingOf(
  typed: string | undefined,
  option: OptionName,
  environment: Environment,
): Setting {
  if (typed !== undefined) return { name: `--${option}`, value: typed };
  const name = `SKYLINEDB_${option.toUpperCase().replaceAll("-", "_")}`;
  return { name, value: environment(name) || undefined };
}

function choice<const T extends string>(setting: Setting, taken: readonly T[], otherwise: T): T {
  if (setting.value === undefined) return otherwise;
  const found = taken.find((each) => each === setting.value);
  if (found !== undefined) return found;
  throw new UsageError(
    `${setting.name} takes ${listed(taken)}, not ${JSON.stringify(setting.value)}`,
  );
}

function isOn(setting: Setting, otherwise: boolean): boolean {
  return choice(setting, ["on", "off"], otherwise ? "on" : "off") === "on";
}

function walLimit({ name, value }: Setting): number {
  const { min, default: otherwise, max } = LIMITS.walLimitBytes;
  return value === undefined ? otherwise : sizeBytes(name, value, min, max);
}

function checkPipe({ name, value }: Setting, files: number): void {
  if (files > 1) {
    throw new UsageError(`${name} names one database's endpoint, and ${files} files are given`);
  }
  try {
    endpointOfName(value!);
  } catch (error) {
    throw new UsageError(`${name}: ${(error as Error).message}`);
  }
}

function listed(words: readonly string[]): string {
  return words.length < 2 ? words.join() : `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`;
}

const DURATION = /^(\d{1,9})(ms|s|m|h)?$/;
const UNIT_MS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** NaN when the text is no length of time. */
function parseDuration(text: string): number {
  const parts = DURATION.exec(text);
  return parts ? Number(parts[1]) * UNIT_MS[(parts[2] ?? "ms") as keyof typeof UNIT_MS] : NaN;
}

/**
 * Reads a length of time such as `500`, `500ms`, `5s`, `2m` or `1h`, in milliseconds.
 *
 * @throws {UsageError} when it is none, is 0, or is over `maxMs`.
 */
export function durationMs(option: string, text: string, maxMs: number): number {
  const ms = parseDuration(text);
  if (ms >= 1 && ms <= maxMs) return ms;
  throw new UsageError(
    `${option} takes a time from 1 ms to ${maxMs / UNIT_MS.h} h, not ${JSON.stringify(text)}`,
    "Write milliseconds, or a number with a unit: 500ms, 5s, 2m, 1h.",
  );
}

/** A length of time as it is written on the command line, such as `5m`; 0 is `off`. */
export function timeOption(ms: number): string {
  if (ms === 0) return "off";
  const unit = (["h", "m", "s", "ms"] as const).find((each) => ms % UNIT_MS[each] === 0)!;
  return `${ms / UNIT_MS[unit]}${unit}`;
}

/** 0 when it is off. A number without a unit is refused: who writes 30 means minutes, perhaps, but no milliseconds. */
function idleMs({ name, value }: Setting, otherwise: number): number {
  if (value === undefined) return otherwise;
  if (value === "off" || value === "0") return 0;
  const ms = /[a-z]$/.test(value) ? parseDuration(value) : NaN;
  const { min, max } = LIMITS.idleMs;
  if (ms >= min && ms <= max) return ms;
  throw new UsageError(
    `${name} takes off, or a time from ${min} ms to ${max / UNIT_MS.h} h, not ${
      JSON.stringify(value)
    }`,
    "Write a number with its unit: 500ms, 90s, 30m, 2h.",
  );
}

const SIZE = /^(\d{1,15})(kB|MB|GB|TB|KiB|MiB|GiB|TiB)?$/;
const UNIT_BYTES = {
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
  TiB: 1024 ** 4,
};

/**
 * Reads a size such as `67108864`, `500MB` or `64MiB`, in bytes.
 *
 * @throws {UsageError} when it is none, or not from `min` to `max` bytes.
 */
export function sizeBytes(option: string, text: string, min: number, max: number): number {
  const parts = SIZE.exec(text);
  const unit = parts?.[2] as keyof typeof UNIT_BYTES | undefined;
  const bytes = parts ? Number(parts[1]) * (unit ? UNIT_BYTES[unit] : 1) : NaN;
  if (bytes >= min && bytes <= max) return bytes;
  throw new UsageError(
    `${option} takes a size from ${binarySize(min)} to ${binarySize(max)}, not ${
      JSON.stringify(text)
    }`,
    "Write bytes, or a number with a unit: 64MiB, 500MB, 1GiB.",
  );
}

/** A size as it is written on the command line, such as `64MiB`. */
export function sizeOption(bytes: number): string {
  const units = Object.entries(UNIT_BYTES).toSorted(([, a], [, b]) => b - a);
  const [unit, size] = units.find(([, each]) => bytes % each === 0) ?? ["", 1];
  return `${bytes / size}${unit}`;
}

function binarySize(bytes: number): string {
  const unit = (["TiB", "GiB", "MiB", "KiB"] as const).find((each) => bytes >= UNIT_BYTES[each]);
  return unit ? `${bytes / UNIT_BYTES[unit]} ${unit}` : `${bytes} bytes`;
}
