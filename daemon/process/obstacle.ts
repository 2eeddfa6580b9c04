/**
 * What is in the way of a file, in words: the system's own say too little to act on.
 *
 * @module
 */
import { systemReason } from "./system_error.ts";

/** What keeps a file from being opened or written. */
export interface Obstacle {
  /** The system's name for it, such as `EMFILE`. */
  readonly code: string;
  /** A part of a sentence. */
  readonly reason: string;
  /** What the user can do. */
  readonly hint: string;
  /** Whether what is in the way is that a file cannot grow. */
  readonly isNoRoom: boolean;
}

const OBSTACLES: Readonly<Record<string, Pick<Obstacle, "reason" | "hint">>> = {
  EACCES: {
    reason: "this user has no right to it, or to the folder that holds it",
    hint: "Change the access rights",
  },
  EMFILE: {
    reason: "the daemon's process has as many files open as it may, connections included",
    hint: "Raise the limit: ulimit -n 4096, or LimitNOFILE=4096 of a systemd service",
  },
  ENFILE: {
    reason: "the system has as many files open as it may",
    hint: "End programs, or raise the limit: sysctl fs.file-max",
  },
  EROFS: {
    reason: "its file system is mounted read-only",
    hint: "Mount it for writing (for a systemd service: ReadWritePaths=), or use another folder",
  },
  ENOSPC: { reason: "the disk is full", hint: "Free some space: df -h and df -i tell where" },
  EDQUOT: {
    reason: "the disk quota of the daemon's user is used up",
    hint: "Free some of this user's space, or have the quota raised",
  },
  EFBIG: {
    reason: "a file of the database has the largest size that it may have, " +
      "by the limit of the daemon's process (ulimit -f) or by its file system (FAT: 4 GiB)",
    hint:
      "Raise that limit and start the daemon again, or move the database to another file system",
  },
  // Not a name of the system's.
  NO_TEMPORARY_FOLDER: {
    reason: "there is no folder for SQLite's temporary files that this user may write to " +
      "(SQLITE_TMPDIR, TMPDIR, /var/tmp, /tmp)",
    hint: "Start the daemon with TMPDIR set to such a folder, on a disk with space",
  },
  ENAMETOOLONG: {
    reason: "its name or its path is longer than the system takes",
    hint: "Give it a shorter name, or a folder of a shorter path",
  },
  ELOOP: {
    reason: "its path leads over symbolic links that lead to one another",
    hint: "Find out with ls -l where they lead, and name the file itself",
  },
};

/** The numbers that are not the same everywhere. */
const NUMBERS: Readonly<Partial<Record<typeof Deno.build.os, Record<number, string>>>> = {
  linux: { 36: "ENAMETOOLONG", 40: "ELOOP", 122: "EDQUOT" },
  darwin: { 62: "ELOOP", 63: "ENAMETOOLONG", 69: "EDQUOT" },
};
const UNIX_NUMBERS: Readonly<Record<number, string>> = {
  ...{ 1: "EACCES", 13: "EACCES", 23: "ENFILE", 24: "EMFILE" },
  ...{ 27: "EFBIG", 28: "ENOSPC", 30: "EROFS" },
};
/** ERROR_TOO_MANY_OPEN_FILES, ERROR_ACCESS_DENIED, ERROR_WRITE_PROTECT and so on. */
const WINDOWS_NUMBERS: Readonly<Record<number, string>> = {
  ...{ 4: "EMFILE", 5: "EACCES", 19: "EROFS", 39: "ENOSPC", 112: "ENOSPC" },
  ...{ 206: "ENAMETOOLONG", 223: "EFBIG", 1295: "EDQUOT" },
};

/** By the system's name for it, such as `EROFS`. */
export function obstacleNamed(code: string): Obstacle | undefined {
  if (!Object.hasOwn(OBSTACLES, code)) return undefined;
  return { code, ...OBSTACLES[code], isNoRoom: ["ENOSPC", "EDQUOT", "EFBIG"].includes(code) };
}

/** By the number of the system's error; `undefined` where no more is known than that. */
export function obstacleOfNumber(number: number): Obstacle | undefined {
  const { os } = Deno.build;
  const others = os === "windows" ? WINDOWS_NUMBERS : UNIX_NUMBERS;
  return obstacleNamed(NUMBERS[os]?.[number] ?? others[number] ?? "");
}

/** Of an error that one of the runtime's calls has thrown; `undefined` where no more is known than its message. */
export function obstacleOf(error: unknown): Obstacle | undefined {
  const code = error instanceof Error ? String((error as { code?: unknown }).code) : "";
  return obstacleNamed(code === "EPERM" ? "EACCES" : code);
}

/** What keeps files from being made in a folder: one is made and removed. `undefined` where nothing does. */
export function obstacleIn(folder: string): Obstacle | undefined {
  try {
    Deno.removeSync(Deno.makeTempFileSync({ dir: folder, prefix: ".skylinedb-" }));
  } catch (error) {
    return obstacleOf(error);
  }
}

/** The error's reason and what to do: what is known of it, else its words alone. */
export function reasonAndHint(error: unknown): { reason: string; hint?: string } {
  return obstacleOf(error) ?? { reason: systemReason(error) };
}
