/**
 * Client of skylinedb-daemon: SQLite files that many processes write at once, through one daemon over a named pipe or a
 * Unix socket. For Deno and Node.
 *
 * @example
 * ```ts
 * import { connect } from "@skylinedb/client";
 *
 * await using db = await connect("data/app.db");
 * await db.run("insert into note (text) values (?)", ["milk"]);
 * const notes = await db.all("select * from note");
 * ```
 *
 * @module
 */
export { connect, Database } from "./database.ts";
export { type ErrorCode, type ErrorDetails, type Retry, SkylineError } from "./errors.ts";
export type { BatchOptions, CallOptions, ConnectOptions, WriteOptions } from "./options.ts";
export type {
  ConnectionStatus,
  DaemonOptions,
  DaemonStatus,
  DatabaseStatus,
  Distribution,
  Distributions,
  Expectation,
} from "./protocol.ts";
export type {
  BatchResult,
  BatchStatementResult,
  ExecResult,
  QueryResult,
  Row,
  RunResult,
} from "./results.ts";
export type { BatchStatement, Statement } from "./statement.ts";
export {
  type Integers,
  type Json,
  json,
  type Real,
  real,
  type SqlParameter,
  type SqlParameters,
  type SqlValue,
} from "./values.ts";
