/**
 * A disk of a few MiB, in a mount namespace of its own: it goes with the last process that uses it, whatever happens.
 *
 * @module
 */
import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Program } from "../daemon_fixture.ts";

const PIECE = new Uint8Array(4_096).fill(1);

/** A mounted tmpfs. Only programs that {@link SmallDisk.inside} changed see it. */
export class SmallDisk implements AsyncDisposable {
  readonly #holder: Deno.ChildProcess;
  /** Where it is mounted, for programs inside. */
  readonly folder: string;

  private constructor(holder: Deno.ChildProcess, folder: string) {
    this.#holder = holder;
    this.folder = folder;
  }

  /**
   * Mounts one.
   *
   * @throws where this user may not.
   */
  static async mount(mebibytes: number): Promise<SmallDisk> {
    const folder = mkdtempSync(join(tmpdir(), "skylinedb-disk-"));
    // It holds the namespace until its standard input ends, which also this process's death brings about.
    const script = `mount -t tmpfs -o size=${mebibytes}m none "$1" && echo mounted && exec cat`;
    const holder = new Deno.Command("unshare", {
      args: ["--mount", "sh", "-c", script, "sh", folder],
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const disk = new SmallDisk(holder, folder);
    const reader = holder.stdout.getReader();
    const { value } = await reader.read();
    reader.releaseLock();
    if (value !== undefined) return disk;
    const said = await new Response(holder.stderr).text();
    await disk.#end();
    throw new Error(said.trim().split("\n")[0]);
  }

  /** The program, so that it sees the disk. */
  inside(program: Program): Program {
    return ["nsenter", "--target", String(this.#holder.pid), "--mount", "--", ...program];
  }

  /** The path under which this process reaches a file on the disk. */
  outside(name: string): string {
    return `/proc/${this.#holder.pid}/root${this.folder}/${name}`;
  }

  /** Takes all the space but for so many bytes. */
  fill(bytesFree: number): void {
    const descriptor = openSync(this.outside("filler"), "w");
    let size = 0;
    try {
      for (;;) size += writeSync(descriptor, PIECE);
    } catch (error) {
      if ((error as { code?: string }).code !== "ENOSPC") throw error;
      ftruncateSync(descriptor, Math.max(0, size - bytesFree));
    } finally {
      closeSync(descriptor);
    }
  }

  /** Gives the space back. */
  free(): void {
    rmSync(this.outside("filler"), { force: true });
  }

  /** Its files and their sizes, in words. */
  list(): string {
    return readdirSync(this.outside("")).map((name) =>
      `${name} with ${statSync(this.outside(name)).size} bytes`
    ).join(", ");
  }

  async #end(): Promise<void> {
    await this.#holder.stdout.cancel();
    await this.#holder.stdin.close().catch(() => {});
    await this.#holder.status;
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Unmounts it, once the programs inside have ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#holder.stderr.cancel();
    await this.#end();
  }
}

/** Why a disk cannot be mounted here; `undefined` where one can. */
export async function whyNoSmallDisk(): Promise<string | undefined> {
  if (Deno.build.os !== "linux") return "a small disk is mounted on Linux alone";
  try {
    await using _disk = await SmallDisk.mount(1);
    return undefined;
  } catch (error) {
    return `a tmpfs cannot be mounted here: ${(error as Error).message}`;
  }
}
