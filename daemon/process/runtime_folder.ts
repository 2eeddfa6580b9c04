/**
 * The folder of the sockets and lock files, elsewhere than on Windows.
 *
 * @module
 */
import { basename, dirname, join } from "node:path";
import { isRuntimeFolder, runtimeFolder } from "../../client/endpoint.ts";
import { SkylineError } from "../../client/errors.ts";
import { reasonAndHint } from "./obstacle.ts";

/**
 * Makes the folder of this user's sockets and lock files where it is missing, and returns it.
 *
 * @throws {SkylineError} `CANNOT_OPEN` when it cannot be made; `NO_PERMISSION` when it belongs to somebody else or
 * others may enter it: under `/tmp` anyone may have been first, and would hold the sockets that this user writes to.
 */
export function prepareRuntimeFolder(folder: string = runtimeFolder()): string {
  try {
    Deno.mkdirSync(folder, { mode: 0o700 });
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) {
      const { reason, hint } = reasonAndHint(error);
      const parent = dirname(folder);
      const isMissing = error instanceof Deno.errors.NotFound;
      throw new SkylineError("CANNOT_OPEN", `Cannot make the folder ${folder}: ${reason}`, {
        // Such as in a container that was made from nothing.
        hint: isMissing ? `Make ${parent} first: mkdir -m 1777 ${parent}` : hint,
      });
    }
  }
  const { isDirectory, uid, mode } = Deno.lstatSync(folder);
  if (!isDirectory || uid !== Deno.uid()) {
    throw new SkylineError(
      "NO_PERMISSION",
      `Cannot use the folder ${folder}: it belongs to somebody else`,
      {
        hint: "Let its owner or an administrator remove it.",
      },
    );
  }
  if (((mode ?? 0) & 0o077) !== 0) {
    throw new SkylineError(
      "NO_PERMISSION",
      `Cannot use the folder ${folder}: other users may enter it`,
      {
        hint: `chmod 700 ${folder}`,
      },
    );
  }
  return folder;
}

/**
 * Where a daemon makes a socket now: of the same name, in the folder that there is today, unless `endpoint` is elsewhere. The
 * folder is made where it is missing.
 *
 * @throws {SkylineError} as {@link prepareRuntimeFolder}.
 */
export function socketPlace(endpoint: string): string {
  if (!isRuntimeFolder(dirname(endpoint))) return endpoint;
  return join(prepareRuntimeFolder(), basename(endpoint));
}
