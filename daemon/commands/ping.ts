/**
 * `ping`: does the daemon answer?
 *
 * @module
 */
import type { PingAnswer } from "../../client/protocol.ts";
import { EXIT } from "./exit_code.ts";
import { print } from "./output.ts";
import { ANSWER_MS, withDaemonOf } from "./target.ts";

/** Prints how long the daemon of a file took to answer. */
export async function ping(file: string): Promise<number> {
  await withDaemonOf(file, async (connection) => {
    const sentAt = performance.now();
    const answer = await connection.request<PingAnswer>({ type: "Ping" }, {
      timeoutMs: ANSWER_MS,
    });
    const ms = (performance.now() - sentAt).toFixed(1);
    print(
      `ok in ${ms} ms: skylinedb-daemon ${answer.version}, pid ${answer.pid}, at ${connection.endpoint}\n`,
    );
  });
  return EXIT.done;
}
