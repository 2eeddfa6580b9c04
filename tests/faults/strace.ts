/**
 * The system calls of a daemon that runs: seen in their order, and made to fail. By strace, so on Linux alone.
 *
 * @module
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "../e2e/daemon_case.ts";

const ATTACH_MS_MAX = 10_000;
const END_MS_MAX = 5_000;

/** Why strace cannot be used here; `undefined` where it can. */
export async function whyNoTrace(): Promise<string | undefined> {
  if (Deno.build.os !== "linux") return "strace is for Linux alone";
  try {
    const { success, stderr } = await new Deno.Command("strace", {
      args: ["-f", "-o", "/dev/null", "-e", "inject=fsync:error=EIO:when=1", "true"],
      stdin: "null",
    }).output();
    if (success) return undefined;
    return `strace does not work: ${new TextDecoder().decode(stderr).trim().split("\n")[0]}`;
  } catch {
    return "strace is not installed";
  }
}

/** A trace of a process and of all its threads. At dispose it is ended; the process goes on without it. */
export class Trace implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #folder: string;
  #ended = false;

  private constructor(child: Deno.ChildProcess, folder: string) {
    this.#child = child;
    this.#folder = folder;
  }

  /** Attaches to a process; `args` say to strace what to trace, and what shall fail. */
  static async attach(pid: number, args: readonly string[]): Promise<Trace> {
    const folder = mkdtempSync(join(tmpdir(), "skylinedb-strace-"));
    const child = new Deno.Command("strace", {
      args: ["-f", "-p", String(pid), "-o", join(folder, "trace"), ...args],
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    let said = "";
    let ended = false;
    (async () => {
      for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) said += text;
      ended = true;
    })();
    const trace = new Trace(child, folder);
    try {
      await until(() => said.includes("attached") || ended, ATTACH_MS_MAX);
      if (!said.includes("attached")) throw new Error(`strace did not attach: ${said}`);
      return trace;
    } catch (error) {
      await trace[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Lets go of the process, if it still lives, and gives what was traced. */
  async end(): Promise<string> {
    await this.#stop();
    return readFileSync(join(this.#folder, "trace"), "utf8");
  }

  async #stop(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    try {
      this.#child.kill("SIGTERM");
    } catch {
      // It ended with the process that it traced.
    }
    const killing = setTimeout(() => this.#child.kill("SIGKILL"), END_MS_MAX);
    await this.#child.status;
    clearTimeout(killing);
  }

  /** Ends it, and removes what it wrote. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
