/**
 * A database opened in this process, as the daemon opens it.
 *
 * @module
 */
import { Database } from "../../daemon/database/database.ts";
import { prepareFile } from "../../daemon/database/database_file.ts";
import { LIMITS } from "../../daemon/process/limits.ts";
import { silentLog } from "../../daemon/process/log.ts";

/** Opens it, and makes the file if there is none. */
export function openDatabase(file: string, durability: "full" | "normal"): Promise<Database> {
  return Database.open(prepareFile(file), {
    durability,
    foreignKeys: true,
    keepWal: false,
    walLimitBytes: LIMITS.walLimitBytes.default,
    log: silentLog,
    othersMaySend: () => true,
    closeIdleMs: 0,
    claimFile: () => {},
  });
}
