/**
 * `shutdown`: ends a daemon, or all of them.
 *
 * @module
 */
import { SkylineError } from "../../client/errors.ts";
import { waitForExit } from "../process/process_exit.ts";
import { EXIT } from "./exit_code.ts";
import { print, printableName, printError } from "./output.ts";
import {
  daemonWithPid,
  endpointOfDaemon,
  runningDaemons,
  startHint,
  statusOf,
  withDaemonAt,
} from "./target.ts";

/** Which daemons to end: without any of these the only one that runs. */
export interface ShutdownTarget {
  /** That of a file. */
  readonly file?: string;
  /** That with a process id, such as where its file was moved. */
  readonly pid?: number;
  /** All of this user. */
  readonly all?: boolean;
}

/** Ends daemons; returns when their files and, on Windows, their executables are unlocked. */
export async function shutdown(
  { file, pid, all }: ShutdownTarget,
  timeoutMs: number,
): Promise<number> {
  if (pid !== undefined) {
    await end((await daemonWithPid(pid)).endpoint, timeoutMs);
    return EXIT.done;
  }
  if (!all) {
    const endpoint = await endpointOfDaemon(file);
    await startHint(file, () => end(endpoint, timeoutMs));
    return EXIT.done;
  }
  const daemons = await runningDaemons();
  if (daemons.length === 0) printError("No daemon runs.\n");
  for (const { endpoint } of daemons) {
    try {
      await end(endpoint, timeoutMs);
    } catch (error) {
      // It ended by itself in the meantime.
      if (!(error instanceof SkylineError && error.code === "NOT_RUNNING")) throw error;
    }
  }
  return EXIT.done;
}

async function end(endpoint: string, timeoutMs: number): Promise<void> {
  const giveUpAt = performance.now() + timeoutMs;
  const { pid, databases } = await withDaemonAt(endpoint, async (connection) => {
    const status = await statusOf(connection);
    await connection.shutdown(timeoutMs).catch((error) => {
      // It was ending already, and is gone without an answer.
      if (!(error instanceof SkylineError && error.code === "CONNECTION_LOST")) throw error;
    });
    return status;
  });
  await waitForExit(pid, giveUpAt - performance.now());
  for (const { path } of databases) print(`Ended: ${printableName(path)}\n`);
}
