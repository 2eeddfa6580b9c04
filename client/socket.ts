/**
 * Connecting to an endpoint: patient where the system is busy for a moment, plain about what is wrong otherwise.
 *
 * @module
 */
import { connect, type Socket } from "node:net";
import process from "node:process";
import { clearTimeout, setTimeout } from "node:timers";
import { otherEndpoints } from "./endpoint.ts";
import { SkylineError } from "./errors.ts";

const PAUSE_MS_FIRST = 5;
const PAUSE_MS_MAX = 100;
/** Between two clients a Windows pipe has no instance, and is then not found, for a moment. */
const ABSENT_MS_MAX = 250;

/**
 * Connects to an endpoint, or, where nobody listens there any more, to the one in its place.
 *
 * @param timeoutMs milliseconds that it may take; 0: no bound.
 * @throws {SkylineError} `NOT_RUNNING`, `NO_PERMISSION`, `TIMEOUT`, `TOO_MANY_CONNECTIONS`; `CANNOT_OPEN` where this process may
 * open no more files.
 */
export async function openSocket(endpoint: string, timeoutMs: number): Promise<Socket> {
  try {
    return await openSocketAt(endpoint, timeoutMs);
  } catch (error) {
    if (!(error instanceof SkylineError && error.code === "NOT_RUNNING")) throw error;
    for (const other of otherEndpoints(endpoint)) {
      const socket = await openSocketAt(other, timeoutMs).catch(() => null);
      if (socket) return socket;
    }
    throw error;
  }
}

async function openSocketAt(endpoint: string, timeoutMs: number): Promise<Socket> {
  const startedAt = performance.now();
  const boundMs = timeoutMs === 0 ? Infinity : timeoutMs;
  for (let pauseMs = PAUSE_MS_FIRST;; pauseMs = Math.min(2 * pauseMs, PAUSE_MS_MAX)) {
    let passedMs = performance.now() - startedAt;
    try {
      return await attempt(endpoint, boundMs - passedMs);
    } catch (error) {
      passedMs = performance.now() - startedAt;
      const { code } = error as NodeJS.ErrnoException;
      if (!isMomentary(code, passedMs) || passedMs + pauseMs > boundMs) {
        throw connectError(endpoint, error as NodeJS.ErrnoException);
      }
    }
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}

function attempt(endpoint: string, boundMs: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(endpoint);
    // The system itself may wait for a free pipe, for half a minute.
    const timer = boundMs === Infinity ? undefined : setTimeout(() => {
      socket.destroy();
      reject(
        new SkylineError("TIMEOUT", `No connection to ${endpoint} within the time given`, {
          hint: "",
        }),
      );
    }, Math.max(boundMs, 1));
    const settle = (error?: Error) => {
      clearTimeout(timer);
      socket.removeAllListeners();
      if (error === undefined) return resolve(socket);
      // A second error of a socket that is given up would else end the process.
      socket.on("error", () => {}).destroy();
      reject(error);
    };
    socket.once("connect", () => settle());
    socket.once("error", settle);
  });
}

function isMomentary(code: string | undefined, passedMs: number): boolean {
  // EAGAIN: a Unix socket's queue of connections that wait to be accepted is full.
  if (code === "EBUSY" || code === "EAGAIN") return true;
  return code === "ENOENT" && process.platform === "win32" && passedMs < ABSENT_MS_MAX;
}

function connectError(endpoint: string, cause: NodeJS.ErrnoException): SkylineError {
  if (cause instanceof SkylineError) return cause;
  if (cause.name === "NotCapable") {
    return new SkylineError("NO_PERMISSION", cause.message, {
      cause,
      hint: "Run Deno with --allow-net --allow-read --allow-write --allow-sys.",
    });
  }
  switch (cause.code) {
    case "ENOENT":
    case "ECONNREFUSED":
      return new SkylineError("NOT_RUNNING", `No daemon listens on ${endpoint}`, { cause });
    case "EACCES":
    case "EPERM":
      return new SkylineError(
        "NO_PERMISSION",
        `The system refuses this user the connection to ${endpoint}`,
        { cause },
      );
    case "EMFILE":
    case "ENFILE":
      return new SkylineError(
        "CANNOT_OPEN",
        `Cannot connect to ${endpoint}: ${
          cause.code === "EMFILE" ? "this process" : "the system"
        } has as many files open as it may (${cause.code})`,
        {
          cause,
          retry: "safe",
          hint: "Close files and connections, or raise the limit: ulimit -n",
        },
      );
    case "EBUSY":
    case "EAGAIN":
      return new SkylineError("TOO_MANY_CONNECTIONS", `${endpoint} takes no more connections`, {
        cause,
      });
  }
  return new SkylineError("NOT_RUNNING", `Cannot connect to ${endpoint}: ${cause.message}`, {
    cause,
  });
}
