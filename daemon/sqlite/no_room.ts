/**
 * Why a file cannot grow, where SQLite says no more than that a write failed.
 *
 * @module
 */

/** What the system has in the way, in words. */
export interface NoRoom {
  readonly message: string;
  /** What the user can do. */
  readonly hint: string;
}

const FILE_TOO_LARGE: NoRoom = {
  message: "a file of the database has the largest size that it may have, " +
    "by the limit of the daemon's process (ulimit -f) or by its file system (FAT: 4 GiB)",
  hint: "Raise that limit and start the daemon again, or move the database to another file system.",
};
const QUOTA_USED_UP: NoRoom = {
  message: "the disk quota of the daemon's user is used up",
  hint: "Free some of this user's space, or have the quota raised.",
};

/** By the system's error number; ENOSPC and its like are SQLITE_FULL already. */
const BY_NUMBER: Readonly<Partial<Record<typeof Deno.build.os, Record<number, NoRoom>>>> = {
  linux: { 27: FILE_TOO_LARGE, 122: QUOTA_USED_UP }, // EFBIG, EDQUOT
  darwin: { 27: FILE_TOO_LARGE, 69: QUOTA_USED_UP },
  windows: { 223: FILE_TOO_LARGE, 1295: QUOTA_USED_UP }, // ERROR_FILE_TOO_LARGE, ERROR_DISK_QUOTA_EXCEEDED
};

/** Why a write that failed with the system's error number `number` has no room; `undefined` where it failed otherwise. */
export function noRoom(number: number): NoRoom | undefined {
  return BY_NUMBER[Deno.build.os]?.[number];
}
