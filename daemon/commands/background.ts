/**
 * `start --background`: starts the daemon as a process of its own, and returns when it serves.
 *
 * @module
 */
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { Connection } from "../../client/connection.ts";
import { endpointOf } from "../../client/endpoint.ts";
import { SkylineError } from "../../client/errors.ts";
import type { PingAnswer } from "../../client/protocol.ts";
import type { DaemonConfig, StartOptions } from "../process/config.ts";
import { AlreadyRunningError } from "../process/holder.ts";
import { keepStandardHandles } from "../process/kernel32.ts";
import { keepDescriptors } from "../process/libc.ts";
import { findInstance } from "../process/single_instance.ts";
import { V8_FLAGS } from "../process/v8_flags.ts";
import { askStatus } from "./ask_status.ts";
import { ERROR_PREFIX, EXIT } from "./exit_code.ts";
import { optionDifferences } from "./option_differences.ts";
import { print, printError } from "./output.ts";

/** Recovering a large write-ahead log takes seconds; past this something is wrong. */
const READY_MS_MAX = 60_000;
const POLL_MS = 15;
const PING_MS = 1_000;
const REASON_LENGTH_MAX = 64 * 1024;

/**
 * Starts a daemon that outlives this process and prints where it serves. Does so too when one serves all the files
 * already, and has the options that were asked for.
 *
 * @returns the exit code, that of the daemon where it could not start.
 * @throws {AlreadyRunningError} when it has others.
 * @throws {SkylineError} `TIMEOUT` when the daemon does not serve within a minute; it is ended then.
 */
export async function startInBackground(
  config: DaemonConfig,
  options: StartOptions,
): Promise<number> {
  const args = startArguments(config, options);
  let attempt = new Attempt(args);
  const giveUpAt = performance.now() + READY_MS_MAX;
  while (performance.now() < giveUpAt) {
    // Read before the ping: what answers after the child's end is the one that it gave way to.
    const { pid, exitCode } = attempt;
    const answer = await pingAll(config.files);
    if (answer?.pid === pid) return printReady(config, answer, { isOurs: true });
    if (answer && exitCode === EXIT.alreadyRunning) {
      await refuseOther(config, answer);
      return printReady(config, answer, { isOurs: false });
    }
    if (exitCode !== undefined) {
      const holders = exitCode === EXIT.alreadyRunning ? holdersOf(config.files) : "several";
      // The one that it gave way to was ending.
      if (holders === "none") attempt = new Attempt(args);
      else if (holders === "several") {
        printError(reasonText(await attempt.reason));
        return exitCode === EXIT.done ? EXIT.failed : exitCode;
      }
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  attempt.end();
  throw new SkylineError("TIMEOUT", "The daemon did not begin to serve within a minute", {
    hint: "Start it without --background, or with --log-file, to see what it does.",
  });
}

/** A daemon that was started. */
class Attempt {
  readonly #child: Deno.ChildProcess;
  /** The last that it said, when it has ended. */
  readonly reason: Promise<string>;
  /** Once it has ended. */
  exitCode: number | undefined;

  constructor(args: readonly string[]) {
    this.#child = spawnDaemon(args);
    this.reason = lastText(this.#child.stderr);
    this.#child.status.then(({ code }) => this.exitCode = code);
  }

  get pid(): number {
    return this.#child.pid;
  }

  end(): void {
    if (this.exitCode === undefined) this.#child.kill("SIGKILL");
  }
}

/** The folder of the program is the child's, so that it keeps no other from being removed. */
function spawnDaemon(args: readonly string[]): Deno.ChildProcess {
  if (Deno.build.os === "windows") keepStandardHandles();
  else keepDescriptors();
  const child = new Deno.Command(Deno.execPath(), {
    args: [...runtimeArguments(), ...args],
    cwd: dirname(Deno.execPath()),
    detached: true,
    stdin: "null",
    stdout: "null",
    // Until it serves this says why it cannot; after this process's end its writes fail, which its log expects.
    stderr: "piped",
  }).spawn();
  child.unref();
  return child;
}

function runtimeArguments(): string[] {
  if (Deno.build.standalone) return [];
  const main = fileURLToPath(new URL("../main.ts", import.meta.url));
  return ["run", "-A", V8_FLAGS, main];
}

/** What was typed, paths made absolute; the rest the child takes from the same environment. */
function startArguments({ files, logFile }: DaemonConfig, options: StartOptions): string[] {
  const { pipe, durability, foreignKeys, keepWal, walLimit, logLevel } = options;
  const { closeIdle, exitWhenIdle } = options;
  const args = ["start", ...files];
  if (pipe !== undefined) args.push("--pipe", pipe);
  if (durability !== undefined) args.push("--durability", durability);
  if (foreignKeys !== undefined) args.push("--foreign-keys", foreignKeys);
  if (keepWal) args.push("--keep-wal");
  if (walLimit !== undefined) args.push("--wal-limit", walLimit);
  if (closeIdle !== undefined) args.push("--close-idle", closeIdle);
  if (exitWhenIdle !== undefined) args.push("--exit-when-idle", exitWhenIdle);
  if (logFile !== undefined) args.push("--log-file", logFile);
  if (logLevel !== undefined) args.push("--log-level", logLevel);
  return args;
}

/** The last of what a stream brings, when it has ended. */
async function lastText(stream: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<string> {
  let text = "";
  for await (const part of stream.pipeThrough(new TextDecoderStream())) {
    text = (text + part).slice(-REASON_LENGTH_MAX);
  }
  return text;
}

/** What a daemon said of why it cannot start, without the log before it. */
function reasonText(output: string): string {
  const at = ("\n" + output).lastIndexOf("\n" + ERROR_PREFIX);
  return at >= 0 ? output.slice(at) : output || `${ERROR_PREFIX}The daemon ended without a word\n`;
}

/** The answer of the one daemon that serves all the files; `null` as long as there is none. */
async function pingAll(files: readonly string[]): Promise<PingAnswer | null> {
  const answers = await Promise.all(files.map(ping));
  return answers.every((answer) => answer?.pid === answers[0]?.pid) ? answers[0] : null;
}

async function ping(file: string): Promise<PingAnswer | null> {
  try {
    await using connection = await Connection.open(endpointOf(file), { timeoutMs: PING_MS });
    return await connection.request<PingAnswer>({ type: "Ping" }, { timeoutMs: PING_MS });
  } catch {
    return null;
  }
}

/** @throws {AlreadyRunningError} when the daemon that serves has not the options that were asked for. */
async function refuseOther({ files: [path], ...config }: DaemonConfig, { pid }: PingAnswer) {
  const endpoint = endpointOf(path);
  const differences = await optionDifferences(endpoint, config);
  if (differences.length > 0) throw new AlreadyRunningError({ endpoint, pid, path }, differences);
}

/** How many daemons serve the files: `several` also where one serves some of them. */
function holdersOf(files: readonly string[]): "none" | "one" | "several" {
  const [pid, ...others] = new Set(files.map((file) => findInstance(file)?.pid));
  if (others.length > 0) return "several";
  return pid === undefined ? "none" : "one";
}

async function printReady(
  config: DaemonConfig,
  { pid, version }: PingAnswer,
  { isOurs }: { isOurs: boolean },
): Promise<number> {
  const databases = config.files.map((path) => ({ path, endpoint: endpointOf(path) }));
  const { endpoint } = databases[0];
  const status = await askStatus(endpoint);
  const created = isOurs ? status?.databases.filter((each) => each.created) ?? [] : [];
  const ready = {
    endpoint,
    pid,
    version,
    log: status?.options?.log_file ?? null,
    ...(databases.length > 1 && { databases }),
    // So that a path with a typing error is noticed.
    ...(created.length > 0 && { created: created.map(({ path }) => path) }),
  };
  print(JSON.stringify(ready) + "\n");
  return EXIT.done;
}
