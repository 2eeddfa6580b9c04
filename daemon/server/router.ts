/**
 * Brings a request to its database and its outcome back as an answer.
 *
 * @module
 */
import { basename } from "node:path";
import { SkylineError } from "../../client/errors.ts";
import { PROTOCOL_VERSION, type RequestId } from "../../client/protocol.ts";
import type { Database } from "../database/database.ts";
import { shuttingDown } from "../database/failures.ts";
import type { Recipient } from "../database/readers.ts";
import { isDone } from "../database/write.ts";
import type { RecentHistogram } from "../process/recent_histogram.ts";
import { EXECUTABLE, VERSION } from "../process/version.ts";
import type { AnswerTimes } from "./answer_times.ts";
import { type Answer, errorAnswer, fieldsAnswer, queryAnswer, writeAnswer } from "./answers.ts";
import type { Lane } from "./lane.ts";
import type { CheckedRequest } from "./request.ts";

/** What this daemon's protocol has beyond its first version; for clients that ask before they use it. */
const FEATURES = [
  ...["expect", "id", "if_rev", "key", "query", "results", "scripts", "session", "status"],
  "timeout_ms",
];

/** A database and where it is served. */
export interface Served {
  readonly database: Database;
  /** The file's real path. */
  readonly path: string;
  readonly endpoint: string;
  /** Whether the start made the file. */
  readonly created: boolean;
  /** Milliseconds from arrival to answer, of requests that were committed. */
  readonly writeTimes: RecentHistogram;
  /** Milliseconds from arrival to answer, of queries that succeeded. */
  readonly queryTimes: RecentHistogram;
}

/** What the router needs of the daemon. */
export interface Host {
  readonly served: readonly Served[];
  /** Whether no new work is taken any more. */
  readonly stopping: boolean;
  /** The fields of the answer to `Status`. */
  status(): object;
  /** Ends the daemon; settles when all files are closed. */
  shutdown(): Promise<void>;
}

/** What the router needs of the connection that a request came from. */
export interface Caller {
  /** The database of the endpoint that it came through. */
  readonly home: Served;
  /** When the request arrived that is being routed, on the clock of `performance.now()`. */
  readonly arrivedAt: number;
  /** Its place in the order of requests to a database. */
  laneOf(database: Database): Lane;
  /** Says when its queries that take long may begin. */
  readonly recipient: Recipient;
  /** Ends its queries when it is gone. */
  readonly signal: AbortSignal;
}

/** Answers requests. */
export class Router {
  readonly #host: Host;
  readonly #times: AnswerTimes;

  /** Answers for `host`, and tells `times` what it answers. */
  constructor(host: Host, times: AnswerTimes) {
    this.#host = host;
    this.#times = times;
  }

  /** The answer to a request, at once where nothing has to be waited for. Failures are answers too. */
  route(
    caller: Caller,
    id: RequestId | undefined,
    request: CheckedRequest,
  ): Answer | Promise<Answer> {
    try {
      switch (request.type) {
        case "ExecBatch":
          return this.#write(caller, id, request);
        case "Query":
          return this.#query(caller, id, request);
        case "Bye":
          this.#served(caller, request.db).database.leave(request.client);
          return fieldsAnswer(id);
        case "Ping":
          return this.#ping(id, request.db);
        case "Status":
          return fieldsAnswer(id, this.#host.status());
        case "Shutdown":
          return this.#host.shutdown().then(() => fieldsAnswer(id));
      }
    } catch (error) {
      if (error instanceof SkylineError) return errorAnswer(id, error);
      throw error;
    }
  }

  async #write(
    caller: Caller,
    id: RequestId | undefined,
    { db, write }: Extract<CheckedRequest, { type: "ExecBatch" }>,
  ): Promise<string> {
    const { arrivedAt } = caller;
    const served = this.#open(caller, db);
    const outcome = await caller.laneOf(served.database).write(write);
    if (isDone(outcome)) this.#times.note(served.writeTimes, arrivedAt);
    return writeAnswer(id, outcome);
  }

  #query(
    caller: Caller,
    id: RequestId | undefined,
    { db, sql, params, deadline }: Extract<CheckedRequest, { type: "Query" }>,
  ): Answer | Promise<Answer> {
    const { arrivedAt } = caller;
    const served = this.#open(caller, db);
    const answer = (outcome: Awaited<typeof pending>) => {
      if (outcome instanceof SkylineError) return errorAnswer(id, outcome);
      this.#times.note(served.queryTimes, arrivedAt);
      return queryAnswer(id, outcome);
    };
    const query = { sql, params, deadline, signal: caller.signal, recipient: caller.recipient };
    const pending = caller.laneOf(served.database).query(query);
    return pending instanceof Promise ? pending.then(answer) : answer(pending);
  }

  #ping(id: RequestId | undefined, db: string | undefined): string {
    if (db !== undefined) {
      const { database, path } = this.#find(db);
      return fieldsAnswer(id, { version: VERSION, db_path: path, rev: database.revision });
    }
    return fieldsAnswer(id, {
      version: VERSION,
      protocol: PROTOCOL_VERSION,
      features: FEATURES,
      pid: Deno.pid,
      databases: this.#host.served.map(({ path }) => path),
      exe: EXECUTABLE,
    });
  }

  /** The database that a request is for, as long as there is work taken. */
  #open(caller: Caller, db: string | undefined): Served {
    if (this.#host.stopping) throw shuttingDown();
    return this.#served(caller, db);
  }

  #served(caller: Caller, db: string | undefined): Served {
    return db === undefined ? caller.home : this.#find(db);
  }

  /** By absolute path, or by base name where only one has it. Names are compared as they are: `./a.db` is neither. */
  #find(db: string): Served {
    const { served } = this.#host;
    const named = served.filter(({ path }) => path === db || basename(path) === db);
    if (named.length === 1) return named[0];
    const exact = named.find(({ path }) => path === db);
    if (exact) return exact;
    const all = served.map(({ path }) => path).join(", ");
    throw new SkylineError(
      "UNKNOWN_DATABASE",
      named.length === 0
        ? `This daemon does not serve ${JSON.stringify(db.slice(0, 200))}, but ${all}`
        : `Several databases are called ${JSON.stringify(db)}: ${all}`,
    );
  }
}
