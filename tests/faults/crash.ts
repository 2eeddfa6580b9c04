/**
 * Whether a daemon that a scenario ends was still alive.
 *
 * @module
 */
import type { DaemonFixture } from "../daemon_fixture.ts";

const LOG_TAIL = 1_500;

/** Kills the daemon; gives a line, with the end of its log, if it had ended by itself. */
export async function killAlive(daemon: DaemonFixture): Promise<string[]> {
  await daemon.kill();
  const { signal, code } = await daemon.child.status;
  // Windows knows no signals: there 1 is what a process ends with that was ended by another.
  if (signal === "SIGKILL" || Deno.build.os === "windows" && code === 1) return [];
  const how = signal ?? `code ${code}`;
  return [`the daemon ended by itself with ${how}: ${daemon.log().slice(-LOG_TAIL)}`];
}
