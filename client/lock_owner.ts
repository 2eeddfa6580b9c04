/**
 * Who holds the lock on a database file, as far as the system tells: for errors that say more than that nobody is found.
 *
 * @module
 */
import { lstatSync, readFileSync, statSync } from "node:fs";
import process from "node:process";
import { SkylineError } from "./errors.ts";

/** A process that holds a lock. */
export interface LockOwner {
  /** Its id; 0 where it is not known, such as in another container. */
  readonly pid: number;
  /** The id of the user that it runs as; `undefined` where it is not known. */
  readonly user?: number;
}

/** Who holds the lock on `file`; `null` where nobody does, or the system does not tell: only Linux does, in /proc. */
export function lockOwner(file: string): LockOwner | null {
  try {
    const { dev, ino } = statSync(file, { bigint: true });
    const pid = lockingPid(readFileSync("/proc/locks", "utf8"), dev, ino);
    return pid === null ? null : { pid, user: userOf(pid) };
  } catch {
    return null;
  }
}

/**
 * The process that has a file locked by `flock`, out of the text of /proc/locks, whose lines are such as
 * `1: FLOCK  ADVISORY  WRITE 512 fe:00:9977882 0 EOF`.
 */
export function lockingPid(locks: string, device: bigint, inode: bigint): number | null {
  let elsewhere: number | null = null;
  for (const line of locks.split("\n")) {
    const match = /^\d+: FLOCK +\w+ +WRITE +(\d+) ([0-9a-f]+):([0-9a-f]+):(\d+) /.exec(line);
    if (!match || BigInt(match[4]) !== inode) continue;
    const [, pid, major, minor] = match;
    if (parseInt(major, 16) === majorOf(device) && parseInt(minor, 16) === minorOf(device)) {
      return Number(pid);
    }
    // Some file systems (btrfs, overlays) tell another device here than in stat.
    elsewhere = Number(pid);
  }
  return elsewhere;
}

function majorOf(device: bigint): number {
  return Number((device >> 8n) & 0xfffn | (device >> 32n) & 0xfffff000n);
}

function minorOf(device: bigint): number {
  return Number(device & 0xffn | (device >> 12n) & 0xffffff00n);
}

function userOf(pid: number): number | undefined {
  try {
    return lstatSync(`/proc/${pid}`).uid;
  } catch {
    return undefined;
  }
}

/**
 * The error for a file whose lock somebody holds who is found in none of this user's folders: `NO_PERMISSION`, with user and
 * process; `NOT_RUNNING` where it is this user's, and may be beginning or ending.
 */
export function outOfReach(file: string, { pid, user }: LockOwner): SkylineError {
  const who = pid === 0 ? "in another container" : `pid ${pid}`;
  if (pid !== 0 && user === process.getuid?.()) {
    return new SkylineError(
      "NOT_RUNNING",
      `A daemon of this user (${who}) has ${file}, but does not listen where this program looks`,
      {
        hint:
          `It begins or ends at this moment, or /tmp or /run is another one for it (a container, a service with PrivateTmp): work from there, or end it: kill ${pid}`,
      },
    );
  }
  const whose = user === undefined ? "" : ` of user ${user}`;
  return new SkylineError(
    "NO_PERMISSION",
    `A daemon${whose} (${who}) serves ${file}: this user cannot connect to it`,
    { hint: "Run this program as the daemon's user and where it runs, or end that daemon first." },
  );
}
