/**
 * `endpoint`: where programs in other languages connect to.
 *
 * @module
 */
import { endpointOf } from "../../client/endpoint.ts";
import { EXIT } from "./exit_code.ts";
import { print } from "./output.ts";

/** Prints the endpoint of a database file that exists, whether a daemon runs or not. */
export function endpoint(file: string): number {
  print(endpointOf(file) + "\n");
  return EXIT.done;
}
