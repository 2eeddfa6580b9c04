/**
 * In what a daemon that runs differs from what a start asks for.
 *
 * @module
 */
import type { DaemonOptions } from "../../client/protocol.ts";
import { askStatus } from "./ask_status.ts";
import {
  type DaemonConfig,
  type OptionName,
  optionsOf,
  sizeOption,
  timeOption,
} from "../process/config.ts";

/** Where the status has an option, and how it is written on the command line. */
const OPTIONS: { readonly [K in OptionName]: [keyof DaemonOptions, (value: never) => string] } = {
  "pipe": ["pipe", (name: string | null) => name ?? "none"],
  "durability": ["durability", String],
  "foreign-keys": ["foreign_keys", onOff],
  "keep-wal": ["keep_wal", onOff],
  "wal-limit": ["wal_limit_bytes", sizeOption],
  "close-idle": ["close_idle_ms", timeOption],
  "exit-when-idle": ["exit_when_idle_ms", timeOption],
  "log-file": ["log_file", (path: string | null) => path ?? "standard error"],
  "log-level": ["log_level", String],
};

/**
 * The options that were asked for and that the daemon at `endpoint` does not have, such as `--durability is full, not normal`. None
 * where it does not say with what it was started, or does not answer: a start that cannot serve is told so in any case.
 */
export async function optionDifferences(
  endpoint: string,
  config: Omit<DaemonConfig, "files">,
): Promise<string[]> {
  if (config.asked.length === 0) return [];
  const running = (await askStatus(endpoint))?.options;
  return running ? differences(running, optionsOf(config), config.asked) : [];
}

function differences(
  running: DaemonOptions,
  wanted: DaemonOptions,
  asked: readonly OptionName[],
): string[] {
  return asked.flatMap((name) => {
    const [field, text] = OPTIONS[name];
    if (running[field] === wanted[field]) return [];
    if (name === "log-file" && isSameFile(running.log_file, wanted.log_file)) return [];
    return [`--${name} is ${text(running[field] as never)}, not ${text(wanted[field] as never)}`];
  });
}

/** Two spellings of one path are no difference. */
function isSameFile(a: string | null, b: string | null): boolean {
  try {
    return Deno.realPathSync(a!) === Deno.realPathSync(b!);
  } catch {
    return false;
  }
}

function onOff(value: boolean): string {
  return value ? "on" : "off";
}
