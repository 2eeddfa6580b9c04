/**
 * Provides the programs that tests run: the compiled executables and other runtimes. Each comes
 * as environment variables; where one cannot be had, a line says so and its tests skip.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { buildSqlite } from "./build_sqlite.ts";
import { cacheFolder } from "../daemon/sqlite/library.ts";
import { compile } from "./compile.ts";
import { progress } from "./progress.ts";

const ROOT = join(import.meta.dirname!, "..");
const NODE = "24.21.0";
/** The first on npm after 2.6.10, the oldest supported, which is not there: `EXE_DENO` may name it. */
const OLD_DENO = "2.7.1";
/** An executable is some 95 MB, and every change of a source makes another. */
const KEEP_EXECUTABLES_MS = 1_800_000;

type Environment = Record<string, string>;

const WINDOWS = "x86_64-pc-windows-msvc";

/** What there is for tests to run. */
export interface TestPrograms {
  /** The variables that name the programs. */
  environment: Environment;
  /** How many could not be made although all that it takes is there: each is a failure. */
  failures: number;
}

/** Why a program cannot be had on this machine, for the user. */
class Unavailable extends Error {}

/**
 * Builds the SQLite library, and returns the variables for all programs: `SKYLINEDB_TEST_EXE`,
 * `SKYLINEDB_TEST_EXE_WINDOWS` with `SKYLINEDB_TEST_WINE` and `SKYLINEDB_TEST_WINE_DLL`,
 * `SKYLINEDB_TEST_NODE` (Node 24) and `SKYLINEDB_TEST_OLD_DENO`. What is set already is left as
 * it is.
 */
export async function testPrograms(): Promise<TestPrograms> {
  const programs: TestPrograms = { environment: {}, failures: 0 };
  await provide(programs, "SKYLINEDB_SQLITE", "SQLite", libraries);
  await provide(programs, "SKYLINEDB_TEST_EXE", "the executable", nativeExecutable);
  await provide(
    programs,
    "SKYLINEDB_TEST_EXE_WINDOWS",
    "the Windows executable",
    windowsExecutable,
  );
  await provide(programs, "SKYLINEDB_TEST_NODE", "Node 24", node);
  await provide(programs, "SKYLINEDB_TEST_OLD_DENO", "an old Deno", oldDeno);
  return programs;
}

async function provide(
  programs: TestPrograms,
  variable: string,
  what: string,
  find: () => Promise<Environment>,
): Promise<void> {
  if (Deno.env.get(variable)) return;
  try {
    Object.assign(programs.environment, await find());
  } catch (error) {
    const message = Error.isError(error) ? error.message : String(error);
    if (error instanceof Unavailable) return console.log(`Skipping tests of ${what}: ${message}`);
    console.log(`Cannot provide ${what}: ${message}`);
    programs.failures += 1;
  }
}

/** The daemon finds them in the cache. Side by side: each takes 30 s of one core. */
async function libraries(): Promise<Environment> {
  const targets = [Deno.build.target, ...(Deno.env.get("EXE_DENORT_WINDOWS") ? [WINDOWS] : [])];
  await Promise.all(targets.map((target) => buildSqlite({ target })));
  return {};
}

async function nativeExecutable(): Promise<Environment> {
  const runtime = Deno.env.get("EXE_DENORT") ?? Deno.env.get("DENORT_BIN");
  return { SKYLINEDB_TEST_EXE: await executable(Deno.build.target, runtime) };
}

async function windowsExecutable(): Promise<Environment> {
  const [runtime, wine, dll] = ["EXE_DENORT_WINDOWS", "EXE_WINE", "EXE_WINE_DLL"]
    .map((name) => Deno.env.get(name));
  if (Deno.build.os === "windows") throw new Unavailable("it is the executable of this system");
  if (!runtime || !wine) throw new Unavailable("EXE_DENORT_WINDOWS or EXE_WINE is not set");
  const path = await executable(WINDOWS, runtime);
  const variables: Environment = { SKYLINEDB_TEST_EXE_WINDOWS: path, SKYLINEDB_TEST_WINE: wine };
  if (dll) {
    await Deno.copyFile(dll, join(dirname(path), "bcryptprimitives.dll")); // Wine 8 lacks it
    variables.SKYLINEDB_TEST_WINE_DLL = dll;
  }
  return variables;
}

/** Compiles the daemon, unless these very sources were compiled before. */
async function executable(target: string, runtime: string | undefined): Promise<string> {
  const all = join(cacheFolder(), "test-executables");
  const folder = join(all, `${target}-${await sourcesHash(runtime)}`);
  const name = `skylinedb-daemon${target.includes("windows") ? ".exe" : ""}`;
  await Deno.mkdir(folder, { recursive: true });
  await Deno.utime(folder, new Date(), new Date());
  await removeUnused(all);
  const output = join(folder, name);
  if (existsSync(output)) return output;

  if (await buildSqlite({ target }) === null) throw new Unavailable("no C compiler builds SQLite");
  const report = await progress(`Compiling the executable for ${target}`);
  const building = await Deno.makeTempDir({ dir: folder });
  try {
    await compile({ target, output: join(building, name) });
    await Deno.rename(join(building, name), output); // whole at once: another run may wait for it
    report.done(`Compiled ${output}`);
    return output;
  } catch (error) {
    report.failed();
    if (runtime !== undefined || !/denort/.test(String(error))) throw error;
    throw new Unavailable(
      "the runtime for it cannot be downloaded; DENORT_BIN may name one for this Deno",
    );
  } finally {
    await Deno.remove(building, { recursive: true });
  }
}

async function sourcesHash(runtime: string | undefined): Promise<string> {
  const files = [join(ROOT, "deno.json"), join(ROOT, "deno.lock"), join(ROOT, "tools/compile.ts")];
  for (const folder of ["client", "daemon"]) await listFiles(join(ROOT, folder), files);
  const hash = createHash("sha256");
  hash.update(JSON.stringify([runtime, Deno.env.get("EXE_DENO"), Deno.version.deno]));
  for (const file of files.sort()) {
    hash.update(relative(ROOT, file)).update(await Deno.readFile(file));
  }
  return hash.digest("hex").slice(0, 16);
}

async function listFiles(folder: string, into: string[]): Promise<void> {
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    const path = join(folder, name);
    if (isDirectory) await listFiles(path, into);
    else into.push(path);
  }
}

async function removeUnused(all: string): Promise<void> {
  for await (const { name } of Deno.readDir(all)) {
    const path = join(all, name);
    const { mtime } = await Deno.stat(path);
    if (Date.now() - mtime!.getTime() < KEEP_EXECUTABLES_MS) continue;
    await Deno.remove(path, { recursive: true }).catch(() => {}); // in use, or removed already
  }
}

async function node(): Promise<Environment> {
  const binary = join("node", "bin", Deno.build.os === "windows" ? "node.exe" : "node");
  return { SKYLINEDB_TEST_NODE: await npmProgram("node", NODE, binary) };
}

async function oldDeno(): Promise<Environment> {
  const chosen = Deno.env.get("EXE_DENO");
  if (chosen) return { SKYLINEDB_TEST_OLD_DENO: chosen };
  const binary = join("deno", Deno.build.os === "windows" ? "deno.exe" : "deno");
  return { SKYLINEDB_TEST_OLD_DENO: await npmProgram("deno", OLD_DENO, binary) };
}

/** Installs a program from npm into the cache, once. */
async function npmProgram(name: string, version: string, binary: string): Promise<string> {
  const folder = join(cacheFolder(), `npm-${name}-${version}`);
  const path = join(folder, "node_modules", binary);
  if (existsSync(path)) return path;
  await Deno.mkdir(cacheFolder(), { recursive: true });
  const installing = await Deno.makeTempDir({ dir: cacheFolder(), prefix: "installing-" });
  const report = await progress(`Installing ${name} ${version} from npm, once (about 10 s)`);
  try {
    await npmInstall(installing, `${name}@${version}`);
    if (!existsSync(join(installing, "node_modules", binary))) {
      throw new Unavailable(`the npm package ${name}@${version} brought no program`);
    }
    await Deno.rename(installing, folder);
    report.done(`Installed ${path}`);
  } catch (error) {
    report.failed();
    await Deno.remove(installing, { recursive: true });
    if (!existsSync(path)) throw error; // else another run has installed it meanwhile
  }
  return path;
}

async function npmInstall(folder: string, wanted: string): Promise<void> {
  const npm = Deno.build.os === "windows" ? "npm.cmd" : "npm";
  const args = ["install", "--prefix", folder, "--no-save", "--no-audit", "--no-fund", wanted];
  try {
    const { success, stderr } = await new Deno.Command(npm, { args, stdin: "null" }).output();
    if (success) return;
    const [line] = new TextDecoder().decode(stderr).match(/npm error.*/) ?? [];
    throw new Unavailable(`npm could not install ${wanted}: ${line}`);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new Unavailable("npm is not installed");
  }
}
