/**
 * A database behind its daemon, as the caller sees it.
 *
 * @module
 */
import { setTimeout } from "node:timers";
import { fileURLToPath } from "node:url";
import { Connection } from "./connection.ts";
import { endpointOf, endpointOfName, movedAway } from "./endpoint.ts";
import { lockOwner, outOfReach } from "./lock_owner.ts";
import { SkylineError } from "./errors.ts";
import type { OkAnswer } from "./link.ts";
import {
  type BatchOptions,
  type CallOptions,
  checkOptions,
  type ConnectOptions,
  idleCloseOf,
  keyText,
  OPTION_NAMES,
  timeoutOf,
  type WriteOptions,
} from "./options.ts";
import type {
  DaemonStatus,
  ExecBatchAnswer,
  QueryAnswer,
  Request,
  StatementResult,
  StatusAnswer,
} from "./protocol.ts";
import {
  type BatchResult,
  batchResultOf,
  type ExecResult,
  objectsOf,
  type QueryResult,
  type Row,
  rowidOf,
  type RunResult,
  valuesOf,
} from "./results.ts";
import { openSocket } from "./socket.ts";
import { isScript, isWriting } from "./sql_text.ts";
import { type BatchStatement, Statement, statementText, wholeNumber } from "./statement.ts";
import type { Integers, SqlParameter, SqlParameters, SqlValue } from "./values.ts";

/** SQL texts that turned out to write though they do not look like it: enough for a program's own, bounded for made-up ones. */
const WRITING_SQL_MAX = 1_000;
const GONE_POLL_MS = 20;
/** Asks for each statement's result. */
const RESULTS = ',"results":true';

/**
 * Connects to the daemon of a database.
 *
 * @param file the database file's path or `file:` URL; or the daemon's plain second name, given to it with `--pipe`.
 * @throws {SkylineError} `NOT_RUNNING` when the file does not exist or no daemon serves it; `NO_PERMISSION`, `TIMEOUT`,
 * `TOO_MANY_CONNECTIONS`.
 * @throws {TypeError} {RangeError} for arguments that are not of the kinds above.
 *
 * @example
 * ```ts
 * await using db = await connect("data/app.db");
 * await db.run("insert into note (text) values (?)", ["milk"]);
 * const notes = await db.all("select * from note");
 * ```
 */
export function connect(
  file: string | URL | { readonly pipe: string },
  options: ConnectOptions = {},
): Promise<Database> {
  return Database.connect(file, options);
}

/**
 * A database behind its daemon. Calls may be made at once and without waiting for one another: those that write take
 * effect in the order in which they were made, and a read sees the writes made before it.
 *
 * When the connection ends the next call makes another. What then becomes of unanswered calls {@link ConnectOptions.retry}
 * says; a call that writes and may have taken effect, for all that is known, rejects with `OUTCOME_UNKNOWN`.
 *
 * Every method that reaches the daemon rejects with {@link SkylineError} when it fails there or on the way, and with
 * TypeError or RangeError when its arguments cannot be meant.
 */
export class Database {
  readonly #connection: Connection;
  readonly #timeoutMs: number;
  readonly #integers: Integers;
  readonly #writingSql = new Set<string>();

  private constructor(connection: Connection, timeoutMs: number, integers: Integers) {
    this.#connection = connection;
    this.#timeoutMs = timeoutMs;
    this.#integers = integers;
  }

  /** The same as the function `connect`. */
  static async connect(
    file: string | URL | { readonly pipe: string },
    options: ConnectOptions = {},
  ): Promise<Database> {
    checkOptions(options, OPTION_NAMES.connect);
    const timeoutMs = timeoutOf(options.timeoutMs ?? 10_000);
    const integers = options.integers ?? "auto";
    if (integers !== "auto" && integers !== "bigint") {
      throw new TypeError(`integers is "auto" or "bigint", not ${String(integers)}`);
    }
    const retry = options.retry ?? true;
    if (typeof retry !== "boolean") {
      throw new TypeError(`retry is true or false, not ${String(retry)}`);
    }
    const idleCloseMs = idleCloseOf(options.idleCloseMs ?? 0);
    const endpoint = endpointFor(file);
    const connection = await Connection.open(endpoint, { timeoutMs, retry, idleCloseMs })
      .catch((error) => {
        throw reasonOf(error, file);
      });
    try {
      // A daemon that cannot serve one more says so only now, and what is no daemon says nothing.
      await connection.request({ type: "Ping" }, { timeoutMs });
    } catch (error) {
      await connection.close();
      throw error;
    }
    return new Database(connection, timeoutMs, integers);
  }

  /**
   * Executes one statement; resolves when what it did is durable. Several in one text are a TypeError:
   * {@link Database.exec} executes those.
   */
  async run(sql: string, params?: SqlParameters, options?: WriteOptions): Promise<RunResult> {
    checkOptions(options, OPTION_NAMES.write);
    const answer = await this.#write(`{${oneStatement(sql, params)}}`, options, RESULTS);
    const [result] = resultsOf(answer);
    return {
      changes: result.changes,
      lastInsertRowid: rowidOf(result, this.#integers),
      rev: answer.rev,
      replayed: answer.replayed === true,
    };
  }

  /** Executes a script of several statements without parameters, such as a schema: all of it or nothing. */
  async exec(script: string, options?: WriteOptions): Promise<ExecResult> {
    checkOptions(options, OPTION_NAMES.write);
    const answer = await this.#write(`{${statementText(script, undefined)}}`, options, "");
    return {
      changes: answer.rows_affected,
      rev: answer.rev,
      replayed: answer.replayed === true,
    };
  }

  /**
   * The rows of one statement as objects; of a statement that writes, those of its RETURNING. The type `T` is the
   * caller's word, not checked. Where two columns have one name the last one wins: {@link Database.values} has both.
   *
   * Whether the statement writes is told by its text, so that it takes its place among the calls at once. Several
   * statements in one text are a TypeError.
   */
  async all<T = Row>(sql: string, params?: SqlParameters, options?: CallOptions): Promise<T[]> {
    const { columns, rows } = await this.#rows(sql, params, options);
    return objectsOf(columns, valuesOf(rows, this.#integers)) as T[];
  }

  /** The first row as an object, or `undefined`. All rows are sent: let the SQL have a `limit 1`. */
  async get<T = Row>(
    sql: string,
    params?: SqlParameters,
    options?: CallOptions,
  ): Promise<T | undefined> {
    const { columns, rows } = await this.#rows(sql, params, options);
    return objectsOf(columns, valuesOf(rows.slice(0, 1), this.#integers))[0] as T | undefined;
  }

  /**
   * The rows as objects, with the revision that they were read at: a {@link Database.batch} whose `ifRev` it is happens
   * only if nothing was written in between.
   */
  async query<T = Row>(
    sql: string,
    params?: SqlParameters,
    options?: CallOptions,
  ): Promise<QueryResult<T>> {
    const { rev, columns, rows } = await this.#rows(sql, params, options);
    return { rev, columns, rows: objectsOf(columns, valuesOf(rows, this.#integers)) as T[] };
  }

  /** The rows as arrays, in the order of the columns. */
  async values<T extends unknown[] = SqlValue[]>(
    sql: string,
    params?: SqlParameters,
    options?: CallOptions,
  ): Promise<T[]> {
    const { rows } = await this.#rows(sql, params, options);
    return valuesOf(rows, this.#integers) as T[];
  }

  /**
   * Executes statements as one transaction: all of them or none. They are sent together; none can depend on what the
   * program makes of another's rows. For that read with {@link Database.query}, and give its revision as `ifRev`.
   */
  async batch(
    statements: readonly BatchStatement[],
    options: BatchOptions = {},
  ): Promise<BatchResult> {
    checkOptions(options, OPTION_NAMES.batch);
    if (!Array.isArray(statements) || statements.length === 0) {
      throw new TypeError("A batch is an array of one statement or more");
    }
    const stmts = statements.map(({ sql, params, expect }) =>
      `{${statementText(sql, params, expect)}}`
    ).join();
    const { ifRev } = options;
    const condition = ifRev === undefined ? "" : `,"if_rev":${wholeNumber("ifRev", ifRev)}`;
    const answer = await this.#write(stmts, options, RESULTS + condition);
    return {
      rev: answer.rev,
      results: resultsOf(answer).map((result) => batchResultOf(result, this.#integers)),
      replayed: answer.replayed === true,
    };
  }

  /**
   * Makes a statement of a template: every `${value}` becomes a parameter, never a part of the SQL.
   *
   * @example
   * ```ts
   * const rows = await db.sql`select * from note where id = ${id}`;
   * await db.batch([db.sql`delete from note where id = ${id}`, db.sql`insert into log values (${id})`]);
   * ```
   */
  sql<T = Row>(text: TemplateStringsArray, ...values: SqlParameter[]): Statement<T> {
    // Called with a string it would take SQL that was put together.
    if (!Array.isArray(text) || !Object.hasOwn(text, "raw")) {
      throw new TypeError("sql is the tag of a template: db.sql`select ${1}`");
    }
    return new Statement<T>(this, text.join("?"), values);
  }

  /** How the daemon is doing: what `skylinedb-daemon status --json` shows. */
  async status(options?: CallOptions): Promise<DaemonStatus> {
    checkOptions(options, OPTION_NAMES.call);
    const timeoutMs = this.#timeout(options);
    const { status: _, id: __, ...status } = await traced(
      this.#connection.request<StatusAnswer>({ type: "Status" }, { timeoutMs }),
    );
    return status;
  }

  /**
   * Waits for the calls that were made, their repetitions included, and ends the connection. Further calls reject with
   * `CLOSED`.
   */
  close(): Promise<void> {
    return this.#connection.close();
  }

  /**
   * Ends the daemon, for everyone: it completes what it has taken, and this resolves when it does not listen any more, so
   * that its files can be replaced. This client is closed by it, and sends nothing again from now on.
   */
  async shutdown(options?: CallOptions): Promise<void> {
    checkOptions(options, OPTION_NAMES.call);
    const timeoutMs = this.#timeout(options);
    const giveUpAt = timeoutMs === 0 ? Infinity : performance.now() + timeoutMs;
    try {
      await traced(this.#connection.shutdown(timeoutMs));
    } catch (error) {
      // It was already ending, or had ended, and is gone without an answer.
      const isGone = error instanceof SkylineError &&
        (error.code === "CONNECTION_LOST" || error.code === "NOT_RUNNING");
      if (!isGone) throw error;
    }
    await this.#connection.close();
    while (await isListening(this.#connection.endpoint)) {
      if (performance.now() > giveUpAt) {
        throw new SkylineError("TIMEOUT", "The daemon did not end within the time given", {
          hint: "It may still complete a long statement; status tells.",
        });
      }
      await new Promise((resolve) => setTimeout(resolve, GONE_POLL_MS));
    }
  }

  /** Closes: see {@link Database.close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #rows(
    sql: string,
    params: SqlParameters | undefined,
    options: CallOptions | undefined,
  ): Promise<Pick<QueryAnswer, "rev" | "columns" | "rows">> {
    checkOptions(options, OPTION_NAMES.call);
    const statement = oneStatement(sql, params);
    if (!isWriting(sql) && !this.#writingSql.has(sql)) {
      try {
        return await this.#call<QueryAnswer>("Query", statement, options);
      } catch (error) {
        if (!(error instanceof SkylineError && error.code === "NOT_READ_ONLY")) throw error;
      }
      this.#rememberWriting(sql);
    }
    const answer = await this.#write(`{${statement}}`, options, RESULTS);
    const [{ columns = [], rows = [] }] = resultsOf(answer);
    return { rev: answer.rev, columns, rows };
  }

  #rememberWriting(sql: string): void {
    if (this.#writingSql.size >= WRITING_SQL_MAX) {
      for (const oldest of this.#writingSql) {
        this.#writingSql.delete(oldest);
        break;
      }
    }
    this.#writingSql.add(sql);
  }

  #write(
    stmts: string,
    options: WriteOptions | undefined,
    further: string,
  ): Promise<ExecBatchAnswer> {
    const key = options?.key === undefined ? "" : `,"key":${keyText(options.key)}`;
    return this.#call("ExecBatch", `"stmts":[${stmts}]${further}${key}`, options);
  }

  #call<Answer extends OkAnswer>(
    type: Request["type"],
    members: string,
    options: CallOptions | undefined,
  ): Promise<Answer> {
    const timeoutMs = this.#timeout(options);
    return traced(this.#connection.requestText<Answer>(type, members, { timeoutMs }));
  }

  #timeout(options: CallOptions | undefined): number {
    const given = options?.timeoutMs;
    return given === undefined ? this.#timeoutMs : timeoutOf(given);
  }
}

/** As `statementText`, for the calls whose result is that of one statement: of a script the daemon would drop the rows. */
function oneStatement(sql: string, params: SqlParameters | undefined): string {
  const text = statementText(sql, params);
  if (isScript(sql)) {
    throw new TypeError("This SQL is several statements; give them to exec(script) or batch([…])");
  }
  return text;
}

/** An error was made where its answer came in; with this its stack leads to who asked. */
async function traced<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof SkylineError) Error.captureStackTrace(error);
    throw error;
  }
}

/** The results that were asked for; a repeated answer may come without. */
function resultsOf({ results, rev }: ExecBatchAnswer): readonly StatementResult[] {
  if (results !== undefined) return results;
  throw new SkylineError(
    "RESULT_FORGOTTEN",
    `The request took effect with revision ${rev}, but its results were lost with the connection and are kept no longer`,
  );
}

function endpointFor(file: string | URL | { readonly pipe: string }): string {
  if (typeof file === "string" && file !== "") return endpointOf(file);
  if (file instanceof URL) return endpointOf(fileURLToPath(file));
  if (typeof file === "object" && typeof file?.pipe === "string") return endpointOfName(file.pipe);
  throw new TypeError('connect takes a path, a file: URL or { pipe: "name" }');
}

/** Why nobody listens for a file: its daemon may be another user's, or in another container. */
function reasonOf(error: unknown, file: string | URL | { readonly pipe: string }): unknown {
  if (!(error instanceof SkylineError && error.code === "NOT_RUNNING")) return error;
  if (typeof file !== "string" && !(file instanceof URL)) return error;
  const path = typeof file === "string" ? file : fileURLToPath(file);
  const owner = lockOwner(path);
  return owner ? outOfReach(path, owner) : movedAway(path) ?? error;
}

async function isListening(endpoint: string): Promise<boolean> {
  try {
    (await openSocket(endpoint, 1_000)).destroy();
    return true;
  } catch (error) {
    return !(error instanceof SkylineError && error.code === "NOT_RUNNING");
  }
}
