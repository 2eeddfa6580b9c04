/**
 * What program this is.
 *
 * @module
 */
import config from "../../deno.json" with { type: "json" };

/** The version of this program, the package's own. */
export const VERSION: string = config.version;

/** Path of the executable; under `deno run` that is Deno's. Asked for once: it is a system call. */
export const EXECUTABLE: string = Deno.execPath();
