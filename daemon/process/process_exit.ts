/**
 * Waiting for another process to end.
 *
 * @module
 */
import { SkylineError } from "../../client/errors.ts";
import { kernel32 } from "./kernel32.ts";

const SYNCHRONIZE = 0x100000;
const WAIT_TIMEOUT = 0x102;
const POLL_MS = 10;

/**
 * Waits on Windows until a process has ended and its executable can be replaced. Elsewhere a running executable may be
 * replaced, and a process that nobody asked for its exit code would be waited for in vain: it returns at once.
 *
 * @throws {SkylineError} `TIMEOUT`.
 */
export async function waitForExit(pid: number, timeoutMs: number): Promise<void> {
  if (Deno.build.os !== "windows") return;
  const process = kernel32().OpenProcess(SYNCHRONIZE, 0, pid);
  if (process === null) return;
  const deadline = performance.now() + timeoutMs;
  try {
    while (kernel32().WaitForSingleObject(process, 0) === WAIT_TIMEOUT) {
      if (performance.now() >= deadline) {
        throw new SkylineError("TIMEOUT", `The process ${pid} did not end within the time given`);
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  } finally {
    kernel32().CloseHandle(process);
  }
}
