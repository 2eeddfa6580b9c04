/**
 * What a daemon does to the files of a folder, journaled by a library of our own that is preloaded into it.
 *
 * @module
 */
import { mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const SOURCE = fileURLToPath(new URL("disk_journal.c", import.meta.url));
const HEADER_BYTES = 40;
const KINDS = [
  "start",
  "open",
  "close",
  "write",
  "truncate",
  "sync begins",
  "sync ends",
  "unlink",
  "rename",
] as const;

/** A call that was made. */
export interface DiskRecord {
  readonly kind: typeof KINDS[number];
  /** When it began, by the clock of {@link monotonicNs}. */
  readonly ns: bigint;
  /** Below 0 where it failed. */
  readonly result: number;
  readonly fd: number;
  /** Where a write begins, a file's new size, the flags of an open. */
  readonly number: number;
  readonly path: string;
  /** What was written; a file's new path. */
  readonly data: Uint8Array;
}

/** The folder whose files are journaled, and what makes a daemon do so. At dispose all is removed. */
export class DiskJournal implements Disposable {
  readonly #folder = realpathSync(mkdtempSync(join(tmpdir(), "skylinedb-power-")));
  readonly #library: string;
  /** Real, and empty; files are made in it. */
  readonly folder: string;

  private constructor(library: string) {
    this.#library = library;
    this.folder = join(this.#folder, "disk");
    Deno.mkdirSync(this.folder);
    writeFileSync(this.#path("journal"), "");
    this.failSyncs(0, 0);
  }

  /** Compiles the library. */
  static open(): DiskJournal {
    const library = Deno.makeTempFileSync({ prefix: "skylinedb-power-", suffix: ".so" });
    const args = ["-shared", "-fPIC", "-O2", "-o", library, SOURCE, "-ldl", "-lpthread"];
    const { success, stderr } = new Deno.Command("cc", { args }).outputSync();
    if (!success) throw new Error(new TextDecoder().decode(stderr));
    return new DiskJournal(library);
  }

  #path(name: string): string {
    return join(this.#folder, name);
  }

  /** The environment of a daemon that is journaled. */
  get env(): Record<string, string> {
    return {
      LD_PRELOAD: this.#library,
      SKYLINEDB_DISK_FOLDER: this.folder,
      SKYLINEDB_DISK_JOURNAL: this.#path("journal"),
      SKYLINEDB_DISK_CONTROL: this.#path("control"),
    };
  }

  /**
   * From now on so many syncs succeed, then so many fail; those after them succeed. So many journaled calls later the daemon
   * is killed; 0: it lives. `of`: only syncs of these files count.
   */
  failSyncs(succeed: number, fail: number, killAfter = 0, of: "all" | "databases" = "all"): void {
    const control = [succeed, fail, killAfter, of === "databases" ? 1 : 0];
    const bytes = new Uint8Array(new Int32Array(control).buffer);
    // In place: the daemon has it mapped.
    using file = Deno.openSync(this.#path("control"), { write: true, create: true });
    file.writeSync(bytes);
  }

  /** How many syncs are still to fail. */
  get syncsToFail(): number {
    return new Int32Array(readFileSync(this.#path("control")).buffer.slice(0, 8))[1];
  }

  /** What was journaled up to now. */
  records(): DiskRecord[] {
    return parseJournal(Deno.readFileSync(this.#path("journal")));
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true, force: true });
    rmSync(this.#library, { force: true });
  }
}

function parseJournal(bytes: Uint8Array): DiskRecord[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const records: DiskRecord[] = [];
  for (let at = 0; at < bytes.length;) {
    const pathAt = at + HEADER_BYTES;
    const dataAt = pathAt + view.getUint32(at + 32, true);
    const end = dataAt + view.getUint32(at + 36, true);
    records.push({
      ns: view.getBigInt64(at, true),
      kind: KINDS[view.getInt32(at + 8, true)],
      result: view.getInt32(at + 12, true),
      fd: Number(view.getBigInt64(at + 16, true)),
      number: Number(view.getBigInt64(at + 24, true)),
      path: new TextDecoder().decode(bytes.subarray(pathAt, dataAt)),
      data: bytes.subarray(dataAt, end),
    });
    at = end;
  }
  return records;
}

/** The clock that all processes of the machine share. */
export function monotonicNs(): bigint {
  const CLOCK_MONOTONIC = 1;
  const timespec = new BigInt64Array(2);
  libc ??= Deno.dlopen("libc.so.6", {
    clock_gettime: { parameters: ["i32", "buffer"], result: "i32" },
  });
  libc.symbols.clock_gettime(CLOCK_MONOTONIC, new Uint8Array(timespec.buffer));
  return timespec[0] * 1_000_000_000n + timespec[1];
}

let libc:
  | Deno.DynamicLibrary<{
    clock_gettime: { parameters: ["i32", "buffer"]; result: "i32" };
  }>
  | undefined;

/** Why this cannot be done here; `undefined` where it can. */
export function whyNoJournal(): string | undefined {
  if (Deno.build.os !== "linux") return "system calls are journaled on Linux alone";
  try {
    const { success } = new Deno.Command("cc", {
      args: ["--version"],
      stdout: "null",
      stderr: "null",
    }).outputSync();
    return success ? undefined : "the C compiler does not work";
  } catch {
    return "there is no C compiler (cc)";
  }
}
