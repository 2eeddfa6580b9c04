/**
 * Requests from JSON: every field is checked before anything happens.
 *
 * @module
 */
import { SkylineError } from "../../client/errors.ts";
import { examineJson, examineLongJson, type ParsedJson, parseFast } from "../../client/json.ts";
import { WIRE_LIMITS } from "../../client/limits.ts";
import type { Expectation, RequestId } from "../../client/protocol.ts";
import { Real } from "../../client/values.ts";
import type { SessionPlace, Write, WriteStatement } from "../database/write.ts";
import { LIMITS } from "../process/limits.ts";
import type { BindValues } from "../sqlite/statement.ts";
import { NeedsSource, readParameters } from "./parameters.ts";
import { Nested } from "./json_scanner.ts";
import { type Reading, readLongRequestJson, readRequestJson } from "./request_reader.ts";

/** A request that has been checked. */
export type CheckedRequest =
  | { readonly type: "Ping"; readonly db?: string }
  | { readonly type: "Bye"; readonly db?: string; readonly client: string }
  | { readonly type: "Status" }
  | { readonly type: "Shutdown" }
  | { readonly type: "ExecBatch"; readonly db?: string; readonly write: Write }
  | {
    readonly type: "Query";
    readonly db?: string;
    readonly sql: string;
    readonly params: BindValues;
    readonly deadline: number;
  };

type Fields = Readonly<Record<string, unknown>>;

/**
 * The JSON of a request: by `JSON.parse`, which is quickest for what it takes short for and does not change.
 *
 * @throws {SkylineError} `INVALID_JSON`, `NESTED_TOO_DEEP`.
 */
export function decodeRequest(body: Uint8Array): ParsedJson {
  const { text, hasOddNumbers, isLong } = examineJson(body);
  return { value: hasOddNumbers || isLong ? readRequestJson(text) : parseFast(text), text };
}

/**
 * Reads a request in pieces, and lets go of its body; `identify` is told its `id` as soon as that is known. `now` is when it arrived, on the clock of
 * `performance.now()`.
 *
 * @throws {SkylineError} as {@link decodeRequest}, {@link readId} and {@link readRequest} do.
 */
export function* readLongRequest(
  body: Uint8Array,
  now: number,
  identify: (id: RequestId | undefined) => void,
): Reading<CheckedRequest> {
  const { pieceUnits } = LIMITS.longRequest;
  const { text, hasOddNumbers, isLong } = yield* examineLongJson(body, pieceUnits);
  // At once: the collector would learn late that it is garbage.
  if (body.length === body.buffer.byteLength) (body.buffer as ArrayBuffer).transfer(0);
  yield;
  const value = hasOddNumbers || isLong
    ? yield* readLongRequestJson(text, pieceUnits)
    : parseFast(text);
  identify(readId({ value, text }));
  yield;
  try {
    return yield* readLong({ value, text }, now);
  } catch (error) {
    if (!(error instanceof NeedsSource)) throw error;
    return yield* readLong({ value: yield* readLongRequestJson(text, pieceUnits), text }, now);
  }
}

function* readLong(json: ParsedJson, now: number): Reading<CheckedRequest> {
  const fields = json.value as Fields;
  if (fields.type !== "ExecBatch") return read(fields, json, now);
  const db = optional(fields, "db", isString, "a text");
  const statements: WriteStatement[] = [];
  for (const stmt of statementsOf(fields)) {
    if (statements.length % LIMITS.longRequest.pieceStatements === 0) yield;
    statements.push(readStatement(stmt, statements.length));
  }
  return { type: "ExecBatch", db, write: readWrite(fields, statements, now, json.text.length) };
}

/**
 * The `id` of a request, before anything else is looked at, so that an error can name it.
 *
 * @throws {SkylineError} `INVALID_REQUEST`.
 */
export function readId({ value }: ParsedJson): RequestId | undefined {
  if (!isObject(value)) throw invalid("A request is a JSON object");
  const { id } = value;
  if (id === undefined || id === null) return undefined;
  if (typeof id === "string" && id.length <= WIRE_LIMITS.idLengthMax && id.isWellFormed()) {
    return id;
  }
  if (Number.isSafeInteger(id)) return id as number;
  throw invalid(
    `"id" must be a text of at most ${WIRE_LIMITS.idLengthMax} characters or an integer`,
  );
}

/**
 * Checks a request; `now` is when it arrived, on the clock of `performance.now()`.
 *
 * @throws {SkylineError} `INVALID_REQUEST`, `UNKNOWN_REQUEST`, `INVALID_VALUE`.
 */
export function readRequest(json: ParsedJson, now: number): CheckedRequest {
  try {
    return read(json.value as Fields, json, now);
  } catch (error) {
    if (!(error instanceof NeedsSource)) throw error;
    const { text } = json;
    return readRequest({ value: readRequestJson(text), text }, now);
  }
}

function read(fields: Fields, { text }: ParsedJson, now: number): CheckedRequest {
  const db = optional(fields, "db", isString, "a text");
  switch (fields.type) {
    case "ExecBatch":
      return {
        type: "ExecBatch",
        db,
        write: readWrite(fields, statementsOf(fields).map(readStatement), now, text.length),
      };
    case "Query":
      return {
        type: "Query",
        db,
        sql: readSql(fields.sql),
        params: readParams(fields.params),
        deadline: readDeadline(fields, now),
      };
    case "Ping":
      return { type: "Ping", db };
    case "Bye":
      return { type: "Bye", db, client: readName(fields, "client") ?? missing("client") };
    case "Status":
    case "Shutdown":
      return { type: fields.type };
  }
  if (!isString(fields.type)) throw invalid(`"type" must be a text such as "Ping"`);
  throw new SkylineError(
    "UNKNOWN_REQUEST",
    `There is no request ${JSON.stringify(fields.type.slice(0, 40))}`,
  );
}

/** Those of a write, which are not looked at yet. */
function statementsOf({ stmts }: Fields): unknown[] {
  if (!Array.isArray(stmts) || stmts.length === 0 || stmts.length > WIRE_LIMITS.statementsMax) {
    throw invalid(`"stmts" must be an array of 1 to ${WIRE_LIMITS.statementsMax} statements`);
  }
  return stmts;
}

function readWrite(
  fields: Fields,
  statements: readonly WriteStatement[],
  now: number,
  units: number,
): Write {
  const tx = fields.tx ?? "atomic";
  if (tx !== "atomic" && tx !== "none") throw invalid(`"tx" must be "atomic" or "none"`);
  const session = readSession(fields);
  const key = readName(fields, "key");
  if (tx === "none" && (session !== undefined || key !== undefined)) {
    throw invalid(`"client" and "key" need "tx":"atomic": several transactions cannot be repeated`);
  }
  return {
    statements,
    atomic: tx === "atomic",
    results: optional(fields, "results", isBoolean, "true or false") ?? false,
    ifRev: count(fields, "if_rev"),
    deadline: readDeadline(fields, now),
    session,
    key,
    units,
  };
}

function readSession(fields: Fields): SessionPlace | undefined {
  const client = readName(fields, "client");
  const seq = count(fields, "seq");
  const acked = count(fields, "acked") ?? 0;
  if (client === undefined && seq === undefined) return undefined;
  if (client === undefined || seq === undefined) {
    throw invalid(`"client" and "seq" need one another`);
  }
  if (acked >= seq || seq - acked > WIRE_LIMITS.unackedMax) {
    throw invalid(`"seq" must be from 1 to ${WIRE_LIMITS.unackedMax} above "acked"`);
  }
  return { client, seq, acked };
}

function readName(fields: Fields, name: string): string | undefined {
  const value = fields[name];
  if (value === undefined || value === null) return undefined;
  const fits = isString(value) && value !== "" && value.length <= WIRE_LIMITS.nameLengthMax;
  if (fits && value.isWellFormed()) return value;
  throw invalid(`"${name}" must be a text of 1 to ${WIRE_LIMITS.nameLengthMax} characters`);
}

function missing(name: string): never {
  throw invalid(`"${name}" is missing`);
}

function readStatement(stmt: unknown, index: number): WriteStatement {
  if (!isObject(stmt)) throw invalid(`"stmts[${index}]" must be an object with "sql"`);
  return {
    sql: readSql(stmt.sql, index),
    params: readParams(stmt.params, index),
    expect: readExpectation(stmt.expect, index),
  };
}

/** Where a field stands, for its error: in the statement of this index, or in the request itself. */
function where(index: number | undefined): string {
  return index === undefined ? "" : `stmts[${index}].`;
}

function readSql(sql: unknown, index?: number): string {
  if (!isString(sql)) throw invalid(`"${where(index)}sql" must be a text`);
  // Bytes are counted only where there may be too many.
  if (
    sql.length * 3 > WIRE_LIMITS.sqlBytesMax && Buffer.byteLength(sql) > WIRE_LIMITS.sqlBytesMax
  ) {
    throw invalid(`"${where(index)}sql" is over ${WIRE_LIMITS.sqlBytesMax} bytes: use parameters`);
  }
  if (!sql.isWellFormed()) throw invalid(`"${where(index)}sql" holds half a surrogate pair`);
  return sql;
}

const NO_PARAMETERS: BindValues = [];

function readParams(params: unknown, index?: number): BindValues {
  if (params === undefined || params === null) return NO_PARAMETERS;
  if (!Array.isArray(params) && !isObject(params)) {
    throw invalid(`"${where(index)}params" must be an array, or an object of named parameters`);
  }
  const size = Array.isArray(params) ? params.length : Object.keys(params).length;
  if (size > WIRE_LIMITS.parametersMax) {
    throw invalid(`"${where(index)}params" has over ${WIRE_LIMITS.parametersMax} parameters`);
  }
  try {
    return readParameters(params);
  } catch (error) {
    if (!(error instanceof SkylineError) || index === undefined) throw error;
    throw new SkylineError(error.code, `${where(index)}params: ${error.message}`);
  }
}

function readExpectation(expect: unknown, index: number): Expectation | undefined {
  if (expect === undefined || expect === null) return undefined;
  if (!isObject(expect)) {
    throw invalid(`"${where(index)}expect" must be an object with "changes" or "rows"`);
  }
  const changes = count(expect, "changes", `${where(index)}expect.`);
  const rows = count(expect, "rows", `${where(index)}expect.`);
  if (changes === undefined && rows === undefined) {
    throw invalid(`"${where(index)}expect" must have "changes" or "rows"`);
  }
  return { changes, rows };
}

function readDeadline(fields: Fields, now: number): number {
  const timeoutMs = count(fields, "timeout_ms") ?? LIMITS.requestTimeoutMs;
  if (timeoutMs === 0 || timeoutMs > WIRE_LIMITS.timeoutMsMax) {
    throw invalid(`"timeout_ms" must be from 1 to ${WIRE_LIMITS.timeoutMsMax} milliseconds`);
  }
  return now + timeoutMs;
}

function count(fields: Fields, name: string, where = ""): number | undefined {
  const value = fields[name] instanceof Real ? fields[name].value : fields[name];
  if (value === undefined || value === null) return undefined;
  if (!Number.isSafeInteger(value) || (value as number) < 0) {
    throw invalid(`"${where}${name}" must be an integer from 0`);
  }
  return value as number;
}

function optional<T>(
  fields: Fields,
  name: string,
  is: (value: unknown) => value is T,
  kind: string,
): T | undefined {
  const value = fields[name];
  if (value === undefined || value === null) return undefined;
  if (!is(value)) throw invalid(`"${name}" must be ${kind}`);
  return value;
}

function isString(value: unknown): value is string {
  return typeof value === "string";
}

function isBoolean(value: unknown): value is boolean {
  return typeof value === "boolean";
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) &&
    !(value instanceof Real) && !(value instanceof Nested);
}

function invalid(message: string): SkylineError {
  return new SkylineError("INVALID_REQUEST", message);
}
