/**
 * The version of this program.
 *
 * @module
 */
import config from "../../deno.json" with { type: "json" };

/** The version of this program, the package's own. */
export const VERSION: string = config.version;
