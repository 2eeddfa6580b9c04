/**
 * The status of a daemon, for a start.
 *
 * @module
 */
import { Connection } from "../../client/connection.ts";
import type { StatusAnswer } from "../../client/protocol.ts";

const ASK_MS_MAX = 5_000;

/** The status of the daemon at `endpoint`; `null` where it does not answer within seconds: a start goes on without it. */
export async function askStatus(endpoint: string): Promise<StatusAnswer | null> {
  const options = { timeoutMs: ASK_MS_MAX };
  try {
    await using connection = await Connection.open(endpoint, options);
    return await connection.request<StatusAnswer>({ type: "Status" }, options);
  } catch {
    return null;
  }
}
