/**
 * The requests and answers of the wire protocol, version 1, as types. `docs/protocol.md` describes them byte by byte.
 *
 * @module
 */
import type { ErrorCode, Retry } from "./errors.ts";

/** The protocol's version, which `Ping` answers. */
export const PROTOCOL_VERSION = 1;

/** A request's own name, echoed in its answer. With it, several requests may be in flight on a connection. */
export type RequestId = string | number;

/** What every request may carry. */
interface RequestBase {
  readonly id?: RequestId;
  /** A served file's base name or absolute path; by default the endpoint's own file. */
  readonly db?: string;
}

/** Is the daemon there? With `db`: its path and revision. */
export interface PingRequest extends RequestBase {
  readonly type: "Ping";
}

/** What a statement must have done, else its whole request is undone. */
export interface Expectation {
  /** Rows changed. */
  readonly changes?: number;
  /** Rows returned. */
  readonly rows?: number;
}

/** A statement as the wire has it; `params` are of the JSON forms of `values.ts`. */
export interface WireStatement {
  readonly sql: string;
  readonly params?: readonly unknown[] | Readonly<Record<string, unknown>>;
  readonly expect?: Expectation;
}

/** Writes. `atomic` (the default): all or nothing. `none`: each by itself, up to the first that fails. */
export interface ExecBatchRequest extends RequestBase {
  readonly type: "ExecBatch";
  readonly stmts: readonly WireStatement[];
  readonly tx?: "atomic" | "none";
  /** Answer a {@link StatementResult} for each statement. */
  readonly results?: boolean;
  /** Undo unless the database's revision is still this one. */
  readonly if_rev?: number;
  /** The session's name, with {@link ExecBatchRequest.seq}: the request is executed once, however often it is sent. */
  readonly client?: string;
  /** The request's number in its session, from 1, rising by one. */
  readonly seq?: number;
  /** The answers to all requests up to this number have arrived, or are not waited for. */
  readonly acked?: number;
  /** What the request stands for: within 24 hours it is executed once under this name, whoever sends it. */
  readonly key?: string;
  /** Milliseconds from the request's arrival until it is given up; 30,000 by default. */
  readonly timeout_ms?: number;
}

/** Reads, on a connection that cannot write; sees all writes that were sent before it on its connection. */
export interface QueryRequest extends RequestBase {
  readonly type: "Query";
  readonly sql: string;
  readonly params?: readonly unknown[] | Readonly<Record<string, unknown>>;
  /** Milliseconds from the request's arrival until it is given up; 30,000 by default. */
  readonly timeout_ms?: number;
}

/** The session ends: what is kept for its repetitions may go. */
export interface ByeRequest extends RequestBase {
  readonly type: "Bye";
  readonly client: string;
}

/** How the daemon is doing. */
export interface StatusRequest extends RequestBase {
  readonly type: "Status";
}

/** Drain, checkpoint, close, answer, exit. */
export interface ShutdownRequest extends RequestBase {
  readonly type: "Shutdown";
}

/** Any request. */
export type Request =
  | PingRequest
  | ExecBatchRequest
  | QueryRequest
  | ByeRequest
  | StatusRequest
  | ShutdownRequest;

/** What one statement did. */
export interface StatementResult {
  /** Rows inserted, updated or deleted. */
  readonly changes: number;
  /** Rowid of the last row that the request inserted up to here; 0 if none. */
  readonly last_insert_rowid: number | bigint;
  /** Names of the columns, where the statement returns any. */
  readonly columns?: readonly string[];
  /** The rows, each as an array. */
  readonly rows?: readonly (readonly unknown[])[];
}

/** What every answer may carry. */
interface AnswerBase {
  readonly id?: RequestId;
}

/** Answer to {@link ExecBatchRequest}. */
export interface ExecBatchAnswer extends AnswerBase {
  readonly status: "ok";
  /** This request's own revision. */
  readonly rev: number;
  /** Sum of the statements' changes. */
  readonly rows_affected: number;
  /** Missing in a repeated answer of over 64 KiB. */
  readonly results?: readonly StatementResult[];
  /** Whether the request had been executed before, and this is its answer of then. */
  readonly replayed?: true;
}

/** Answer to {@link QueryRequest}. */
export interface QueryAnswer extends AnswerBase {
  readonly status: "ok";
  /** The revision that the rows were read at. */
  readonly rev: number;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly unknown[])[];
}

/** Answer to {@link PingRequest} without `db`. */
export interface PingAnswer extends AnswerBase {
  readonly status: "ok";
  readonly version: string;
  readonly protocol: number;
  readonly features: readonly string[];
  readonly pid: number;
  /** Absolute paths. */
  readonly databases: readonly string[];
  /** Path of the executable. */
  readonly exe: string;
}

/** Values that were measured; 0 where there were none. */
export interface Distribution {
  /** How many there were. */
  readonly count: number;
  /** Their sum. */
  readonly sum: number;
  /** The value that half of them do not exceed, too large by 3% at most. */
  readonly p50: number;
  /** The value that 99% of them do not exceed, too large by 3% at most. */
  readonly p99: number;
  /** The largest. */
  readonly max: number;
}

/** What was measured lately and in all. */
export interface Distributions {
  /** The last 40 to 60 seconds. */
  readonly last_minute: Distribution;
  /** Since the start of the daemon. */
  readonly total: Distribution;
}

/** A connection that is open, in {@link DatabaseStatus}. */
export interface ConnectionStatus {
  /** Its number since the start of the daemon, from 1. */
  readonly id: number;
  /** Milliseconds since it was opened. */
  readonly age_ms: number;
  /** Milliseconds since it last sent anything, or was opened. */
  readonly idle_ms: number;
  /** Requests that it sent. */
  readonly requests: number;
  /** Those that wait for their answers. */
  readonly waiting: number;
  /** Bytes that it sent. */
  readonly received_bytes: number;
  /** Bytes that it was sent. */
  readonly sent_bytes: number;
}

/** One database, in {@link DaemonStatus}. */
export interface DatabaseStatus {
  /** Absolute path of the file. */
  readonly path: string;
  /** Name of the pipe, or path of the socket. */
  readonly endpoint: string;
  /** Whether the file is open: it is closed after a while without requests, and the next one opens it. */
  readonly open: boolean;
  /** Why it is served no more, such as that another file has its name now; `null` while it is served. */
  readonly lost: string | null;
  /** Revision: rises by one with every successful write. */
  readonly rev: number;
  /** `full` or `normal`. */
  readonly durability: string;
  /** Whether the daemon made the file when it was started, as there was none. */
  readonly created: boolean;
  /** Writes that wait. */
  readonly queued: number;
  /** Size of their requests in UTF-16 units: bytes, where they are plain ASCII. */
  readonly queued_units: number;
  /** Requests committed since the start. */
  readonly writes: number;
  /** Commits since the start: `writes / groups` is how many share one. */
  readonly groups: number;
  /** Requests that failed since the start. */
  readonly failures: number;
  /** Queries answered since the start. */
  readonly queries: number;
  /** Milliseconds from the arrival of a request to its answer, of those that succeeded; and of commits, their duration. */
  readonly latency_ms: {
    readonly writes: Distributions;
    readonly queries: Distributions;
    readonly commits: Distributions;
  };
  /** How many writes shared a commit. */
  readonly group_size: Distributions;
  /** Checkpoints since the start: the log was copied into the database file. */
  readonly checkpoints: number;
  /** Milliseconds that the last of them took; 0 where there was none. */
  readonly checkpoint_ms: number;
  /** Size of the write-ahead log in bytes. */
  readonly wal_bytes: number;
  /** Frames of the log that are not in the database file yet, at the last checkpoint. */
  readonly wal_frames_left: number;
  /** For how many milliseconds a reader has held the log back; 0 when none does. */
  readonly wal_held_ms: number;
  /** Size of the log from which on writes are refused with `WAL_FULL`. */
  readonly wal_limit_bytes: number;
  /** Connections that are open at its endpoints. */
  readonly connections: number;
  /** They, the oldest first; at most 5,000 of all databases together. */
  readonly open_connections: readonly ConnectionStatus[];
}

/** How the daemon is doing, named as on the wire. */
export interface DaemonStatus {
  /** The daemon's version. */
  readonly version: string;
  /** Its process. */
  readonly pid: number;
  /** Path of its executable. */
  readonly exe: string;
  /** Milliseconds since it was started. */
  readonly uptime_ms: number;
  /** Version of its SQLite. */
  readonly sqlite_version: string;
  /** Connections that are open, this one included. */
  readonly connections: number;
  /** Connections since the start. */
  readonly connections_opened: number;
  /** Requests of every kind since the start. */
  readonly requests: number;
  /** Bytes received since the start. */
  readonly received_bytes: number;
  /** Bytes sent since the start. */
  readonly sent_bytes: number;
  /** Resident memory in bytes; on Linux also the private part. */
  readonly memory: { readonly rss: number; readonly private?: number };
  /** What it was started with. */
  readonly options: DaemonOptions;
  /** The databases that it serves. */
  readonly databases: readonly DatabaseStatus[];
}

/** What a daemon was started with, in {@link DaemonStatus}. */
export interface DaemonOptions {
  /** The second name at which it listens, or `null`. */
  readonly pipe: string | null;
  /** `full` or `normal`. */
  readonly durability: string;
  /** Whether foreign keys are enforced. */
  readonly foreign_keys: boolean;
  /** Whether `-wal` and `-shm` stay at the end. */
  readonly keep_wal: boolean;
  /** Size of the log from which on writes are refused, in bytes. */
  readonly wal_limit_bytes: number;
  /** For how long nobody must use a file until it is closed, in milliseconds; 0: it stays open. */
  readonly close_idle_ms: number;
  /** For how long nobody must be connected until it ends, in milliseconds; 0: it does not. */
  readonly exit_when_idle_ms: number;
  /** Absolute path of the log; `null`: standard error. */
  readonly log_file: string | null;
  /** `debug`, `info`, `warning` or `error`. */
  readonly log_level: string;
}

/** Answer to {@link StatusRequest}. */
export interface StatusAnswer extends AnswerBase, DaemonStatus {
  readonly status: "ok";
}

/** Any answer that is an error. */
export interface ErrorAnswer extends AnswerBase {
  readonly status: "error";
  readonly message: string;
  readonly code: ErrorCode;
  readonly sqlite_code?: string;
  readonly statement?: number;
  readonly retry: Retry;
  readonly hint?: string;
  /** Whether the request had failed before, and this is its answer of then. */
  readonly replayed?: true;
}
