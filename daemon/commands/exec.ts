/**
 * `exec`: writes, all or nothing.
 *
 * @module
 */
import type { ExecBatchAnswer } from "../../client/protocol.ts";
import { EXIT } from "./exit_code.ts";
import { print } from "./output.ts";
import { jsonText, type RowFormat, type Rows, rowsText } from "./result_text.ts";
import { withDaemonOf } from "./target.ts";

/** Executes SQL texts as one transaction and prints the rows they return, then what was changed. */
export async function exec(
  file: string,
  sql: readonly string[],
  timeoutMs: number,
  format: RowFormat,
): Promise<number> {
  const answer = await withDaemonOf(file, (connection) =>
    connection.request<ExecBatchAnswer>({
      type: "ExecBatch",
      stmts: sql.map((text) => ({ sql: text })),
      results: true,
    }, { timeoutMs }));
  if (format === "json") print(answerText(answer));
  else await printRows(answer, format);
  return EXIT.done;
}

async function printRows(answer: ExecBatchAnswer, format: RowFormat): Promise<void> {
  const returned = (answer.results ?? []).filter((result) => result.columns !== undefined);
  const texts = await Promise.all(returned.map((result) => rowsText(result as Rows, format)));
  print(texts.join("\n"));
  if (format === "csv") return;
  const rows = answer.rows_affected === 1 ? "1 row" : `${answer.rows_affected} rows`;
  print(`${rows} changed, revision ${answer.rev}\n`);
}

function answerText(answer: ExecBatchAnswer): string {
  const results = (answer.results ?? []).map((result) => {
    const rows = result.columns ? `,"rows":${jsonText(result as Rows)}` : "";
    return `{"changes":${result.changes},"last_insert_rowid":${result.last_insert_rowid}${rows}}`;
  });
  return `{"rev":${answer.rev},"rows_affected":${answer.rows_affected},"results":[${results.join()}]}\n`;
}
