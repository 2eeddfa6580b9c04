/**
 * Answers as JSON text.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { SkylineError } from "../../client/errors.ts";
import { WIRE_LIMITS } from "../../client/limits.ts";
import type { RequestId } from "../../client/protocol.ts";
import type { QueryDone } from "../database/readers.ts";
import { Replay, type WriteOutcome } from "../database/write.ts";
import { Blocks } from "../process/blocks.ts";
import { LIMITS } from "../process/limits.ts";
import { noteGarbage } from "../process/memory.ts";

/** The JSON of an answer. One in blocks is sent, or released. */
export type Answer = string | Blocks;

function start(id: RequestId | undefined, status: string): string {
  return id === undefined
    ? `{"status":"${status}"`
    : `{"id":${JSON.stringify(id)},"status":"${status}"`;
}

/** The answer to a write. */
export function writeAnswer(id: RequestId | undefined, outcome: WriteOutcome): string {
  if (outcome instanceof Replay) {
    return `${writeAnswer(id, outcome.outcome).slice(0, -1)},"replayed":true}`;
  }
  if (outcome instanceof SkylineError) return errorAnswer(id, outcome);
  const { rev, rowsAffected, results } = outcome;
  const more = results === undefined ? "" : `,"results":${results}`;
  return `${start(id, "ok")},"rev":${rev},"rows_affected":${rowsAffected}${more}}`;
}

/** The answer to a query. */
export function queryAnswer(id: RequestId | undefined, done: QueryDone): Answer {
  const { rev, columns, rows } = done;
  const head = `${start(id, "ok")},"rev":${rev},"columns":${columns},"rows":`;
  if (typeof rows === "string") return `${head}${rows}}`;
  rows.prepend(head);
  rows.add("}");
  return rows;
}

/** An answer of plain fields. */
export function fieldsAnswer(id: RequestId | undefined, fields: object = {}): string {
  const rest = JSON.stringify(fields).slice(1);
  return start(id, "ok") + (rest === "}" ? rest : `,${rest}`);
}

/** The answer of whatever went wrong. */
export function errorAnswer(id: RequestId | undefined, error: SkylineError): string {
  const { message, code, sqliteCode, statement, retry, hint } = error;
  const fields = {
    message: message.toWellFormed(),
    code,
    sqlite_code: sqliteCode,
    statement,
    retry,
    hint,
  };
  return `${start(id, "error")},${JSON.stringify(fields).slice(1)}`;
}

/**
 * The answer as it is sent, a long one in blocks; or an error in its place when it is too large for a frame. Results are bounded
 * before anything is committed, so that it is none of a write.
 */
export function fitting(id: RequestId | undefined, answer: Answer): Answer {
  if (typeof answer === "string") {
    if (answer.length <= LIMITS.shortUnitsMax) return answer;
    const blocks = new Blocks();
    blocks.add(answer);
    // And as much of the rows that it was made of.
    noteGarbage(2 * answer.length);
    return fitting(id, blocks);
  }
  const max = WIRE_LIMITS.frameBytesMax;
  if (answer.bytes <= max) return answer;
  answer.release();
  return errorAnswer(
    id,
    new SkylineError("RESULT_TOO_LARGE", `The answer would be over ${max} bytes`),
  );
}

/** Puts texts into frames, one after the other. */
export function framesOf(texts: readonly string[]): Buffer {
  const lengths = texts.map((text) => Buffer.byteLength(text));
  const frames = Buffer.allocUnsafe(lengths.reduce((sum, length) => sum + 4 + length, 0));
  let at = 0;
  for (let i = 0; i < texts.length; i++) {
    at = frames.writeUInt32LE(lengths[i], at);
    at += frames.write(texts[i], at);
  }
  return frames;
}
