/**
 * Builds SQLite from the amalgamation that the npm package `better-sqlite3` carries, once, into
 * the cache folder outside the source tree. That package is only read: its code never runs, and
 * `deno.lock` holds its integrity.
 *
 *     deno run -A tools/build_sqlite.ts [TARGET]
 *
 * @module
 */
import "better-sqlite3/package.json" with { type: "json" }; // makes Deno fetch the package
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { cachedLibraryPath, LIBRARY_BUILD } from "../daemon/sqlite/library.ts";
import { progress } from "./progress.ts";

/** SQLite and calls of our own; it has the amalgamation in it. */
const WATCHED = join(import.meta.dirname!, "sqlite_watched.c");

/** -O3 takes 42 s instead of 31 s, and 0.4 MB more. */
const OPTIMISATION = "-O2";

/** What the library is compiled with everywhere. What is not named stays SQLite's default. */
const DEFINES = [
  "-DSQLITE_THREADSAFE=2", // a connection may change threads, never be used by two at once
  "-DSQLITE_ENABLE_FTS5",
  "-DSQLITE_ENABLE_RTREE",
  "-DSQLITE_ENABLE_MATH_FUNCTIONS",
  "-DSQLITE_ENABLE_DBSTAT_VTAB",
  "-DSQLITE_ENABLE_PREUPDATE_HOOK",
  "-DSQLITE_ENABLE_SESSION",
  // 64 KiB, the default, would open a file in the temp folder for 60 rows. No more than this: what spills is written in one
  // piece, and SQLite cuts a write to its size's lowest 17 bits: 1 MiB became one of 0 bytes, which is "disk full".
  "-DSQLITE_STMTJRNL_SPILL=131071",
  "-DSQLITE_LIKE_DOESNT_MATCH_BLOBS",
  "-DSQLITE_USE_ALLOCA",
];

/** Only the API is visible, and the library's own calls never leave it. */
const UNIX = [
  "-fPIC",
  "-fvisibility=hidden",
  '-DSQLITE_API=__attribute__((visibility("default")))',
  "-DHAVE_LOCALTIME_R=1", // else localtime(), whose result V8 may overwrite on another thread
  "-DHAVE_GMTIME_R=1",
];

const LINUX = [
  ...UNIX,
  "-DHAVE_FDATASYNC=1", // else every commit pays for an fsync, which also writes timestamps
  "-Wl,-Bsymbolic", // else the SQLite inside Deno's own executable could answer its calls
  "-s",
];

const WINDOWS = ["-DSQLITE_API=__declspec(dllexport)", "-static-libgcc", "-s"];

interface Target {
  flags: string[];
  /** The libraries that it links. */
  link: string[];
  /** Its name for zig; for Linux with the oldest glibc that Deno runs on. */
  zig: string;
  /** A cross compiler for it. */
  cross?: string;
  /** Its name for the compiler of macOS. */
  arch?: string;
}

const TARGETS: Record<string, Target> = {
  "x86_64-unknown-linux-gnu": {
    flags: LINUX,
    link: ["-lm", "-ldl", "-lpthread"],
    zig: "x86_64-linux-gnu.2.27",
    cross: "x86_64-linux-gnu-gcc",
  },
  "aarch64-unknown-linux-gnu": {
    flags: LINUX,
    link: ["-lm", "-ldl", "-lpthread"],
    zig: "aarch64-linux-gnu.2.27",
    cross: "aarch64-linux-gnu-gcc",
  },
  "x86_64-apple-darwin": {
    flags: UNIX,
    link: [],
    zig: "x86_64-macos",
    arch: "x86_64",
  },
  "aarch64-apple-darwin": {
    flags: UNIX,
    link: [],
    zig: "aarch64-macos",
    arch: "arm64",
  },
  "x86_64-pc-windows-msvc": {
    flags: WINDOWS,
    link: [],
    zig: "x86_64-windows-gnu",
    cross: "x86_64-w64-mingw32-gcc",
  },
  "aarch64-pc-windows-msvc": {
    flags: WINDOWS,
    link: [],
    zig: "aarch64-windows-gnu",
    cross: "aarch64-w64-mingw32-clang",
  },
};

/**
 * Returns the path of the library for a target, building it first where it is not cached yet,
 * which takes about 30 s. Several builds at once are safe. Returns null, after one line
 * that says so, where no compiler for the target is found.
 *
 * @param options.target a Deno target triple; by default that of the running Deno
 * @throws {RangeError} if the target is not one that skylinedb-daemon supports
 * @throws {Error} if the compiler fails, or `LIBRARY_BUILD` names another source or recipe
 */
export async function buildSqlite(
  { target = Deno.build.target }: { target?: string } = {},
): Promise<string | null> {
  if (!(target in TARGETS)) {
    throw new RangeError(
      `Cannot build for ${target}: choose one of ${Object.keys(TARGETS).join(", ")}`,
    );
  }
  const path = cachedLibraryPath(target);
  if (existsSync(path)) return path;

  const source = fileURLToPath(import.meta.resolve("better-sqlite3/deps/sqlite3/sqlite3.c"));
  await checkBuildName(source);
  const compiler = await findCompiler(target);
  if (compiler === null) {
    console.error(
      `SQLite is not built for ${target}: no C compiler found. Install ` +
        (target === Deno.build.target ? "one (cc or gcc)" : TARGETS[target]!.cross ?? "zig") +
        ', or "pip install ziglang".',
    );
    return null;
  }
  await compileInto(path, source, compiler, target);
  return path;
}

/** The name of the build that these sources and this recipe make: see `LIBRARY_BUILD`. */
export async function libraryBuildName(sourcePath: string): Promise<string> {
  const source = await Deno.readFile(sourcePath);
  const recipe = Object.entries(TARGETS).map(([name, { flags, link }]) => [name, flags, link]);
  // Whatever ends its lines where it was checked out.
  const watched = (await Deno.readTextFile(WATCHED)).replaceAll("\r\n", "\n");
  const hash = createHash("sha256").update(source).update(watched)
    .update(JSON.stringify([OPTIMISATION, DEFINES, recipe])).digest("hex").slice(0, 16);
  const text = new TextDecoder().decode(source.subarray(0, 100_000));
  const version = /#define SQLITE_VERSION\s+"([^"]+)"/.exec(text)?.[1];
  return `${version}-${hash}`;
}

async function checkBuildName(source: string): Promise<void> {
  const name = await libraryBuildName(source);
  if (name === LIBRARY_BUILD) return;
  throw new Error(
    `SQLite's source or the recipe has changed: set LIBRARY_BUILD in daemon/sqlite/library.ts to "${name}"`,
  );
}

/** A compiler's command, and what makes it compile for the target. */
interface Compiler {
  command: string[];
  choice: string[];
}

/** Returns the first compiler for the target that is installed. */
async function findCompiler(target: string): Promise<Compiler | null> {
  const { arch, cross, zig } = TARGETS[target]!;
  const candidates: Compiler[] = [];
  if (target === Deno.build.target) {
    const chosen = Deno.env.get("CC")?.trim();
    if (chosen) candidates.push({ command: chosen.split(/\s+/), choice: [] });
    candidates.push({ command: ["cc"], choice: [] }, { command: ["gcc"], choice: [] });
  }
  if (cross !== undefined) candidates.push({ command: [cross], choice: [] });
  if (arch !== undefined && Deno.build.os === "darwin") {
    candidates.push({ command: ["cc"], choice: ["-arch", arch] });
  }
  for (const zigCommand of [["zig"], ["python3", "-m", "ziglang"], ["python", "-m", "ziglang"]]) {
    candidates.push({ command: [...zigCommand, "cc"], choice: ["-target", zig] });
  }
  for (const candidate of candidates) {
    if (await runs([...candidate.command, "--version"])) return candidate;
  }
  return null;
}

async function runs([program, ...args]: string[]): Promise<boolean> {
  try {
    const command = new Deno.Command(program!, { args, stdout: "null", stderr: "null" });
    return (await command.output()).success;
  } catch {
    return false; // not installed, or not allowed to run: the next candidate may do
  }
}

/** Compiles in a folder of its own, then renames: another build never sees half a library. */
async function compileInto(
  path: string,
  source: string,
  { command, choice }: Compiler,
  target: string,
): Promise<void> {
  await Deno.mkdir(dirname(path), { recursive: true });
  const folder = await Deno.makeTempDir({ dir: dirname(path), prefix: "building-" });
  const report = await progress(`Building SQLite for ${target}, once (about 30 s)`);
  try {
    const output = join(folder, basename(path)); // the suffix: mingw would add .exe
    const { flags, link } = TARGETS[target]!;
    const [program, ...first] = command;
    const { success, stderr } = await new Deno.Command(program!, {
      args: [
        ...first,
        ...choice,
        "-shared",
        OPTIMISATION,
        ...DEFINES,
        ...flags,
        "-o",
        output,
        "-I",
        dirname(source),
        WATCHED,
        ...link,
      ],
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).output();
    if (!success) {
      throw new Error(
        `${command.join(" ")} could not build SQLite:\n${new TextDecoder().decode(stderr)}`,
      );
    }
    await publish(output, path);
    report.done(`Built ${path}`);
  } catch (error) {
    report.failed();
    throw error;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function publish(output: string, path: string): Promise<void> {
  try {
    await Deno.rename(output, path);
  } catch (error) {
    // Windows does not replace a library that is in use: another build was first, with the same.
    if (!existsSync(path)) throw error;
  }
}

if (import.meta.main) {
  try {
    const path = await buildSqlite({ target: Deno.args[0] });
    if (path === null) Deno.exit(1);
    console.log(path);
  } catch (error) {
    console.error(Error.isError(error) ? error.message : error);
    Deno.exit(1);
  }
}
