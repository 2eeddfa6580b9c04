/**
 * `query`: reads.
 *
 * @module
 */
import type { QueryAnswer } from "../../client/protocol.ts";
import { EXIT } from "./exit_code.ts";
import { print } from "./output.ts";
import { type RowFormat, rowsText } from "./result_text.ts";
import { withDaemonOf } from "./target.ts";

/** Prints the rows of one statement that reads. */
export async function query(
  file: string,
  sql: string,
  timeoutMs: number,
  format: RowFormat,
): Promise<number> {
  const answer = await withDaemonOf(
    file,
    (connection) => connection.request<QueryAnswer>({ type: "Query", sql }, { timeoutMs }),
  );
  print(await rowsText(answer, format));
  return EXIT.done;
}
