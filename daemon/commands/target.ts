/**
 * Which daemon a command is for, and the connection to it.
 *
 * @module
 */
import { resolve } from "node:path";
import { Connection } from "../../client/connection.ts";
import { endpointOf, movedAway } from "../../client/endpoint.ts";
import { SkylineError } from "../../client/errors.ts";
import type { DaemonStatus, StatusAnswer } from "../../client/protocol.ts";
import { type LockOwner, outOfReach } from "../../client/lock_owner.ts";
import { UsageError } from "../process/config.ts";
import type { Holder } from "../process/holder.ts";

/** How long connecting, and what a daemon answers at once, may take. */
export const ANSWER_MS = 10_000;

/**
 * Does `work` on a connection to the daemon of a database file.
 *
 * @throws {SkylineError} `NOT_RUNNING` with the command that starts the daemon.
 */
export async function withDaemonOf<T>(
  file: string,
  work: (connection: Connection) => Promise<T>,
): Promise<T> {
  return await startHint(file, () => withDaemonAt(endpointOf(file), work));
}

/**
 * Does `work` on a connection to an endpoint. It begins with no `Ping`: where there are too many connections a daemon answers
 * only what commands ask.
 */
export async function withDaemonAt<T>(
  endpoint: string,
  work: (connection: Connection) => Promise<T>,
): Promise<T> {
  const connection = await Connection.open(endpoint, { timeoutMs: ANSWER_MS });
  try {
    return await work(connection);
  } finally {
    await connection.close();
  }
}

/** How the daemon on a connection is doing. */
export async function statusOf(connection: Connection): Promise<DaemonStatus> {
  const answer = await connection.request<StatusAnswer>({ type: "Status" }, {
    timeoutMs: ANSWER_MS,
  });
  const { status: _, id: __, ...status } = answer;
  return status;
}

/** Does `work`; that no daemon runs for `file` is told with its name and the command that starts one. */
export async function startHint<T>(
  file: string | undefined,
  work: () => Promise<T> | T,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const notRunning = error instanceof SkylineError && error.code === "NOT_RUNNING";
    if (!notRunning || file === undefined) throw error;
    throw await reasonOf(resolve(file));
  }
}

function isFolder(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false;
  }
}

/** Why nobody listens for a file. */
async function reasonOf(path: string): Promise<SkylineError> {
  const moved = movedAway(path);
  if (moved) return moved;
  if (isFolder(path)) {
    return new SkylineError("NOT_RUNNING", `No daemon serves ${path}: it is a folder`, {
      hint: "Name a database file in it, such as app.db",
    });
  }
  const { findInstance, findStranger } = await import("../process/single_instance.ts");
  let holder: Holder | null = null;
  let stranger: LockOwner | null = null;
  try {
    holder = findInstance(path);
    stranger = holder ? null : findStranger(path);
  } catch {
    // There is no such file.
  }
  if (holder) {
    return new SkylineError(
      "NOT_RUNNING",
      `The daemon with pid ${holder.pid} has ${path} as ${holder.path}, and does not listen for it`,
      {
        hint:
          `The file was moved, or that daemon begins or ends. To end it: skylinedb-daemon shutdown --pid ${holder.pid}`,
      },
    );
  }
  if (stranger) return outOfReach(path, stranger);
  return new SkylineError("NOT_RUNNING", `No daemon serves ${path}`, {
    hint: `Start it: skylinedb-daemon start --background "${path}"`,
  });
}

/**
 * The endpoint of the daemon of `file`, or of the only daemon that runs.
 *
 * @throws {SkylineError} `NOT_RUNNING`.
 * @throws {UsageError} that names the choice when several run.
 */
export async function endpointOfDaemon(file: string | undefined): Promise<string> {
  if (file !== undefined) return await startHint(file, () => endpointOf(file));
  return onlyOf(await runningDaemons()).endpoint;
}

/** The only daemon; see {@link endpointOfDaemon} for what it throws when there is none, or a choice. */
export function onlyOf(daemons: readonly Holder[]): Holder {
  if (daemons.length === 1) return daemons[0];
  if (daemons.length === 0) {
    throw new SkylineError("NOT_RUNNING", "No daemon runs", {
      hint: "Start one: skylinedb-daemon start --background FILE",
    });
  }
  const paths = daemons.map(({ path }) => `\n  ${path}`).join("");
  throw new UsageError(
    `${daemons.length} daemons run: which one?`,
    `Name one of their files:${paths}`,
  );
}

/**
 * The daemon of this user with a process id.
 *
 * @throws {SkylineError} `NOT_RUNNING`.
 */
export async function daemonWithPid(pid: number): Promise<Holder> {
  const found = (await runningDaemons()).find((holder) => holder.pid === pid);
  if (found) return found;
  throw new SkylineError("NOT_RUNNING", `No daemon of this user has pid ${pid}`, {
    hint: "skylinedb-daemon list shows those that run.",
  });
}

/** One holder for each daemon that runs, however many files it serves. */
export async function runningDaemons(): Promise<Holder[]> {
  const { listInstances } = await import("../process/single_instance.ts");
  const byPid = new Map<number, Holder>();
  for (const holder of listInstances()) {
    if (!byPid.has(holder.pid)) byPid.set(holder.pid, holder);
  }
  return [...byPid.values()];
}
