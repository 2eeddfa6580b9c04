/**
 * The machine that figures were measured on.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import { cpus, release, totalmem, type } from "node:os";
import { fileURLToPath } from "node:url";
import { sqliteVersion } from "../daemon/sqlite/ffi.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** What figures depend on. */
export interface Machine {
  readonly processor: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly system: string;
  readonly deno: string;
  readonly sqlite: string;
  /** Of the folder that the files are in, such as `ext4`; `unknown` where the system does not say. */
  readonly filesystem: string;
}

/** Describes this machine, and the file system of `folder`. */
export function describeMachine(folder: string): Machine {
  const processors = cpus();
  return {
    processor: processors[0]?.model.trim() ?? "unknown",
    cores: processors.length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${type()} ${release()} ${Deno.build.arch}`,
    deno: Deno.version.deno,
    sqlite: sqliteVersion(),
    filesystem: filesystemOf(Deno.realPathSync(folder)),
  };
}

/** By the mount point that is the longest beginning of the path; of mounts at one point the last is on top. */
function filesystemOf(path: string): string {
  if (Deno.build.os !== "linux") return "unknown";
  let found = { point: "", filesystem: "unknown" };
  for (const line of readFileSync("/proc/self/mounts", "utf8").split("\n")) {
    const [, point, filesystem] = line.split(" ");
    if (point === undefined || point.length < found.point.length) continue;
    if (point === "/" || path === point || path.startsWith(`${point}/`)) {
      found = { point, filesystem };
    }
  }
  return found.filesystem;
}

/** Whether files there are never written to a disk, so that being durable costs nothing. */
export function isInMemory({ filesystem }: Machine): boolean {
  return filesystem === "tmpfs" || filesystem === "ramfs";
}

/** The commit that is checked out, and whether its sources were changed; `unknown` where git does not say. */
export async function commitOf(): Promise<string> {
  const git = async (...args: string[]) => {
    const { success, stdout } = await new Deno.Command("git", { args, cwd: ROOT, stderr: "null" })
      .output();
    if (!success) throw new Error("git failed");
    return new TextDecoder().decode(stdout).trim();
  };
  try {
    const commit = await git("rev-parse", "--short", "HEAD");
    const changed = await git("status", "--porcelain", "--", "daemon", "client", "tools");
    return changed === "" ? commit : `${commit} with changes`;
  } catch {
    return "unknown";
  }
}
