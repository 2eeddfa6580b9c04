/**
 * Makes the executable: the daemon, the runtime and the SQLite library in one file.
 *
 *     deno task compile [--target TARGET] [--output FILE] [--deno PATH]
 *
 * The compiler is the Deno that runs this, or the one of `--deno`; `DENORT_BIN` names a
 * runtime to use instead of a downloaded one. Where `EXE_DENO`, `EXE_DENORT` and
 * `EXE_DENORT_WINDOWS` are set, they name compiler and runtimes for a machine without downloads.
 *
 * @module
 */
import { basename, dirname, extname, join } from "node:path";
import { parseArgs } from "node:util";
import { gzipSync } from "node:zlib";
import { V8_FLAGS } from "../daemon/process/v8_flags.ts";
import { bundledLibraryPath, LIBRARY_BUILD } from "../daemon/sqlite/library.ts";
import { buildSqlite } from "./build_sqlite.ts";

const ROOT = join(import.meta.dirname!, "..");

/** Its executables start with a runtime that does not find the program. */
const BROKEN_COMPILER = "2.9.3";

/** What to compile. */
export interface CompileOptions {
  /** The module to run; by default the daemon. */
  entry?: string;
  /** A Deno target triple; by default that of the running Deno. */
  target?: string;
  /** The file to write; by default in `dist/`. On Windows it must end in `.exe`. */
  output?: string;
  /** The Deno that compiles; by default `EXE_DENO`, else the running one. */
  deno?: string;
}

/** What was made. */
export interface Executable {
  path: string;
  /** Size in bytes. */
  size: number;
  target: string;
  /** The version of the Deno that compiled it, and that is inside. */
  deno: string;
}

/**
 * Compiles a module of this project, with the SQLite library for the target inside.
 *
 * @throws {Error} if the library cannot be built, or the compiler fails or is known to be broken
 */
export async function compile(
  {
    entry = join(ROOT, "daemon", "main.ts"),
    target = Deno.build.target,
    output = join(ROOT, "dist", target.includes("windows") ? `${NAME}.exe` : NAME),
    deno = Deno.env.get("EXE_DENO") ?? Deno.execPath(),
  }: CompileOptions = {},
): Promise<Executable> {
  const version = await compilerVersion(deno);
  const library = await bundleLibrary(target);
  // As deep as the sources, which look from there for the library.
  const folder = await Deno.makeTempDir({ dir: join(ROOT, "dist"), prefix: "bundle-" });
  try {
    // With deno.lock the compiler embeds every package that it names, 12 MB that are not needed:
    // it gets a lock of its own, which holds what the entry imports.
    const lock = join(folder, "deno.lock");
    await Deno.writeTextFile(lock, '{ "version": "5" }'); // stays so when no package is imported
    const resolution = ["--quiet", "--config", join(ROOT, "deno.json"), "--lock", lock];
    await run(deno, ["cache", ...resolution, "--no-check", entry]);
    await checkLock(lock);
    await run(deno, [
      ...["compile", ...resolution, "--no-check", "--allow-all", "--include", library],
      // The cache would lie in the temporary folder under a known name, and code of whoever wrote it would run.
      "--no-code-cache",
      V8_FLAGS,
      ...["--target", target, "--output", output, await bundle(deno, entry, folder, resolution)],
    ], runtimeFor(target));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
  return { path: output, size: (await Deno.stat(output)).size, target, deno: version };
}

const NAME = "skylinedb-daemon";

async function compilerVersion(deno: string): Promise<string> {
  const [, version] = (await run(deno, ["--version"])).match(/^deno (\S+)/) ?? [];
  if (version === undefined) throw new Error(`Cannot compile: ${deno} is not Deno`);
  if (version !== BROKEN_COMPILER) return version;
  throw new Error(
    `Cannot compile: executables made by Deno ${version} do not start. Use another version, ` +
      "with --deno PATH or by running this with it.",
  );
}

/**
 * Makes scripts of the modules, one for each that is imported later, and returns the first one's path. All that is embedded
 * is private memory of the running executable, and packages and sources are six times as large as what is run of them.
 */
async function bundle(
  deno: string,
  entry: string,
  folder: string,
  resolution: readonly string[],
): Promise<string> {
  const options = ["--platform", "deno", "--minify", "--code-splitting", "--outdir", folder];
  await run(deno, ["bundle", ...resolution, ...options, entry]);
  return join(folder, `${basename(entry, extname(entry))}.js`);
}

/** Puts the library where its path, relative to the sources, is the one that the exe looks at. */
async function bundleLibrary(target: string): Promise<string> {
  const built = await buildSqlite({ target });
  if (built === null) throw new Error("Cannot compile without the SQLite library");
  const path = bundledLibraryPath(target);
  await Deno.mkdir(dirname(path), { recursive: true });
  const copy = await Deno.makeTempFile({ dir: dirname(path) });
  const library = await Deno.readFile(built);
  await Deno.writeFile(copy, path.endsWith(".gz") ? gzipSync(library, { level: 9 }) : library);
  await Deno.rename(copy, path); // whole at once: another compilation may be reading it
  return path;
}

/** Holds the compiler's own lock against deno.lock. */
async function checkLock(path: string): Promise<void> {
  const [used, known] = await Promise.all([path, join(ROOT, "deno.lock")].map(packages));
  for (const [name, { integrity }] of Object.entries(used!)) {
    if (known![name]?.integrity !== integrity) {
      throw new Error(`Cannot compile: deno.lock does not hold ${name} with its integrity`);
    }
  }
}

async function packages(lock: string): Promise<Record<string, { integrity: string }>> {
  const { npm } = JSON.parse(await Deno.readTextFile(lock));
  return npm ?? {};
}

function runtimeFor(target: string): Record<string, string> {
  const runtime = Deno.env.get(target.includes("windows") ? "EXE_DENORT_WINDOWS" : "EXE_DENORT");
  return runtime ? { DENORT_BIN: runtime } : {};
}

async function run(program: string, args: string[], env?: Record<string, string>): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(program, {
    args,
    // Deno 2.6 trusts Mozilla's certificates alone by default, later ones the system's as well.
    env: { DENO_TLS_CA_STORE: Deno.env.get("DENO_TLS_CA_STORE") ?? "system,mozilla", ...env },
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  if (success) return decoder.decode(stdout);
  throw new Error(`${basename(program)} ${args[0]} failed:\n${decoder.decode(stderr)}`);
}

if (import.meta.main) {
  try {
    const { values } = parseArgs({
      args: Deno.args,
      options: {
        target: { type: "string" },
        output: { type: "string" },
        deno: { type: "string" },
      },
    });
    const { path, size, target, deno } = await compile(values);
    const mebibytes = (size / 2 ** 20).toFixed(1);
    console.log(path);
    console.log(
      `  ${mebibytes} MiB, ${target}, Deno ${deno}, SQLite ${LIBRARY_BUILD.split("-")[0]}`,
    );
  } catch (error) {
    console.error(Error.isError(error) ? error.message : error);
    Deno.exit(1);
  }
}
