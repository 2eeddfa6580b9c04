/**
 * `list`: which databases are served?
 *
 * @module
 */
import { listInstances } from "../process/single_instance.ts";
import { EXIT } from "./exit_code.ts";
import { print, printError } from "./output.ts";
import { tableText } from "./table_text.ts";

/** Prints the databases that daemons of this user serve now. */
export function list(json: boolean): number {
  const holders = listInstances();
  if (json) print(JSON.stringify(holders) + "\n");
  else if (holders.length === 0) printError("No daemon runs.\n");
  else {
    const rows = holders.map(({ pid, path, endpoint }) => [String(pid), path, endpoint]);
    print(tableText(["pid", "database", "endpoint"], rows, [true]));
  }
  return EXIT.done;
}
