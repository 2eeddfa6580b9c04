/**
 * `status`: how is a daemon doing?
 *
 * @module
 */
import type { DaemonStatus } from "../../client/protocol.ts";
import { EXIT } from "./exit_code.ts";
import { print } from "./output.ts";
import { endpointOfDaemon, startHint, statusOf, withDaemonAt } from "./target.ts";

/** How a status is printed: a page to read, JSON, or Prometheus' text format. */
export type StatusFormat = "page" | "json" | "prometheus";

/** Prints how the daemon of `file`, or the only one that runs, is doing. */
export async function status(file: string | undefined, format: StatusFormat): Promise<number> {
  const endpoint = await endpointOfDaemon(file);
  const answer = await startHint(file, () => withDaemonAt(endpoint, statusOf));
  print(await statusAs(format, answer));
  return EXIT.done;
}

async function statusAs(format: StatusFormat, answer: DaemonStatus): Promise<string> {
  switch (format) {
    case "json":
      return JSON.stringify(answer) + "\n";
    case "prometheus":
      return (await import("./status_prometheus.ts")).prometheusText(answer);
    case "page":
      return (await import("./status_text.ts")).statusText(answer);
  }
}
