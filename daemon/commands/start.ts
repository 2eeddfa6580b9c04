/**
 * `start`: serves database files until it is told to end.
 *
 * @module
 */
import { SkylineError } from "../../client/errors.ts";
import type { DaemonConfig } from "../process/config.ts";
import { AlreadyRunningError } from "../process/holder.ts";
import {
  descriptorsMax,
  endAtSignals,
  failPastFileSizeLimit,
  ignoreHangup,
} from "../process/libc.ts";
import { LIMITS } from "../process/limits.ts";
import { type OpenLog, openLog } from "../process/log.ts";
import { obstacleNamed } from "../process/obstacle.ts";
import type { Daemon } from "../server/daemon.ts";
import { EXIT, exitCodeOfSignal } from "./exit_code.ts";
import { printableName, tell } from "./output.ts";

const WINDOWS = Deno.build.os === "windows";

/** Serves until a signal or a request ends the daemon. */
export async function start(config: DaemonConfig): Promise<number> {
  if (!WINDOWS) {
    failPastFileSizeLimit();
    refuseFewDescriptors();
  }
  if (config.logFile !== undefined) {
    (await import("./log_place.ts")).refuseLogInDatabase(config);
  }
  await using log = openLog(config);
  const rotates = !WINDOWS && config.logFile !== undefined;
  // Before anything that takes time: without a listener the signal would end the process.
  if (rotates) Deno.addSignalListener("SIGHUP", () => log.reopen());
  const { startDaemon } = await import("../server/daemon.ts");
  try {
    const daemon = await startDaemon(config, log);
    // In one piece: who waits for the one line may read but once.
    tell(daemon.databases.map(servingText).join(""));
    endOnSignal(daemon, log, { rotates });
    await daemon.stopped;
  } catch (thrown) {
    const error = await withDifferences(thrown, config);
    // Standard error is told by the caller; the file would else end without a reason.
    if (config.logFile) log.error("The daemon ends", { error });
    throw error;
  }
  return EXIT.done;
}

function servingText({ path, endpoint, created }: Daemon["databases"][number]): string {
  const name = printableName(path);
  return `${created ? `Created ${name}\n` : ""}Serving ${name} at ${endpoint}\n`;
}

/** @throws {SkylineError} `CANNOT_OPEN` where so few are left that the runtime itself would fail some time, without a word. */
function refuseFewDescriptors(): void {
  const max = descriptorsMax();
  if (max >= LIMITS.descriptorsMin) return;
  throw new SkylineError(
    "CANNOT_OPEN",
    `This process may have ${max} files open, and a daemon needs ${LIMITS.descriptorsMin}`,
    { hint: obstacleNamed("EMFILE")!.hint },
  );
}

/** The error, which says in what the daemon that serves already differs from what was asked for. */
async function withDifferences(error: unknown, config: DaemonConfig): Promise<unknown> {
  if (!(error instanceof AlreadyRunningError) || config.asked.length === 0) return error;
  const { optionDifferences } = await import("./option_differences.ts");
  return new AlreadyRunningError(error, await optionDifferences(error.endpoint, config));
}

/** The signals that end the daemon. SIGHUP says that the terminal or the console is closed; `nohup` asks for it to be ignored. */
const SIGNALS: readonly Deno.Signal[] = WINDOWS
  ? ["SIGINT", "SIGBREAK", "SIGHUP"]
  : ["SIGINT", "SIGTERM", "SIGHUP"];

/**
 * The first signal ends the daemon in order, a second one at once, also while something holds the loop. SIGHUP does not where it
 * has the log opened anew.
 */
export function endOnSignal(
  daemon: { shutdown(): Promise<void> },
  log: Pick<OpenLog, "info" | "error">,
  { rotates }: { rotates: boolean } = { rotates: false },
): void {
  let ending = false;
  const stays = !WINDOWS && !rotates && ignoreHangup();
  for (const signal of SIGNALS) {
    if (signal === "SIGHUP" && (stays || rotates)) continue;
    Deno.addSignalListener(signal, () => {
      if (ending) Deno.exit(exitCodeOfSignal(signal));
      ending = true;
      if (!WINDOWS) endAtSignals();
      log.info("Asked to end", { signal });
      daemon.shutdown().catch((error) => log.error("Shutting down failed", { error }));
    });
  }
  // With its first listener Deno catches SIGHUP too, to end the process.
  if (stays) ignoreHangup();
}
