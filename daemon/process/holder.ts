/**
 * Who serves a database file: what the lock on the file's identity carries, and what `list` shows.
 *
 * @module
 */

/** A daemon that serves one database file. */
export interface Holder {
  /** Path of its socket, or name of its pipe. */
  readonly endpoint: string;
  /** Process id; 0 when it could not be found out. */
  readonly pid: number;
  /** The database file, absolute. */
  readonly path: string;
}

/** Writes a holder as the text that {@link parseHolder} reads. */
export function holderText({ endpoint, pid, path }: Holder): string {
  return JSON.stringify({ endpoint, pid, path }) + "\n";
}

/** Reads a holder; `null` when the text is not, or not yet, one. */
export function parseHolder(text: string): Holder | null {
  try {
    const { endpoint, pid, path } = JSON.parse(text);
    if (typeof endpoint !== "string" || typeof pid !== "number" || typeof path !== "string") {
      return null;
    }
    return { endpoint, pid, path };
  } catch {
    return null;
  }
}

/** Another process, or this one, serves the file already. */
export class AlreadyRunningError extends Error {
  override readonly name = "AlreadyRunningError";
  /** Where it listens. */
  readonly endpoint: string;
  /** Its process id; 0 when it could not be found out. */
  readonly pid: number;
  /** The path by which it serves the file. */
  readonly path: string;
  /** Whether it has other options than this start asks for. */
  readonly differs: boolean;

  /** Makes the error that names `holder`, and in what it differs from what a start asks for. */
  constructor(holder: Holder, differences: readonly string[] = []) {
    const { pid, path, endpoint } = holder;
    const others = differences.length > 0 ? `, with other options: ${differences.join("; ")}` : "";
    super(`A daemon${pid ? ` (pid ${pid})` : ""} serves ${path} already, at ${endpoint}${others}`);
    this.differs = differences.length > 0;
    this.endpoint = holder.endpoint;
    this.pid = holder.pid;
    this.path = holder.path;
  }
}
