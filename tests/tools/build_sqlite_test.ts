import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { cachedLibraryPath, LIBRARY_BUILD } from "../../daemon/sqlite/library.ts";
import { buildSqlite, libraryBuildName } from "../../tools/build_sqlite.ts";

const TOOL = fileURLToPath(new URL("../../tools/build_sqlite.ts", import.meta.url));
const noScripts = Deno.build.os === "windows"; // the compiler below is a shell script

/** A compiler that takes a moment, writes one line, and counts its runs in a file beside it. */
const COMPILER = `#!/bin/sh
[ "$1" = --version ] && exit 0
echo run >> "$(dirname "$0")/runs"
sleep 0.3
while [ "$1" != -o ]; do shift; done
echo library > "$2"
`;

async function withCompiler(
  script: string,
  check: (folder: string, environment: Record<string, string>) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "skylinedb-build-" });
  try {
    const CC = join(folder, "compiler");
    await Deno.writeTextFile(CC, script, { mode: 0o755 });
    await check(folder, { CC, SKYLINEDB_CACHE: join(folder, "cache") });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function build(env: Record<string, string>, target?: string) {
  const args = ["run", "--allow-all", "--no-check", TOOL, ...(target ? [target] : [])];
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args,
    env,
    signal: AbortSignal.timeout(60_000),
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

Deno.test("LIBRARY_BUILD names the source and the recipe when neither changed", async () => {
  const source = import.meta.resolve("better-sqlite3/deps/sqlite3/sqlite3.c");
  assert.equal(await libraryBuildName(fileURLToPath(source)), LIBRARY_BUILD);
});

Deno.test("buildSqlite() leaves one whole library when two build at once", {
  ignore: noScripts,
}, async () => {
  await withCompiler(COMPILER, async (folder, environment) => {
    const both = await Promise.all([build(environment), build(environment)]);
    const name = basename(cachedLibraryPath(Deno.build.target));
    const path = join(folder, "cache", name);
    for (const { code, stdout } of both) assert.deepEqual([code, stdout], [0, `${path}\n`]);
    assert.equal(await Deno.readTextFile(path), "library\n");
    assert.deepEqual([...Deno.readDirSync(dirname(path))].map((entry) => entry.name), [name]);
  });
});

Deno.test("buildSqlite() runs no compiler when the library is cached", {
  ignore: noScripts,
}, async () => {
  await withCompiler(COMPILER, async (folder, environment) => {
    await build(environment);
    const again = await build(environment);
    assert.equal(again.code, 0);
    assert.equal(again.stderr, "");
    assert.equal(await Deno.readTextFile(join(folder, "runs")), "run\n");
  });
});

Deno.test("buildSqlite() shows the compiler's words and leaves nothing when it fails", {
  ignore: noScripts,
}, async () => {
  const script = '#!/bin/sh\n[ "$1" = --version ] && exit 0\necho no memory >&2\nexit 1\n';
  await withCompiler(script, async (folder, environment) => {
    const { code, stderr } = await build(environment);
    assert.equal(code, 1);
    assert.match(stderr, /could not build SQLite:\s+no memory/);
    assert.deepEqual([...Deno.readDirSync(join(folder, "cache"))], []);
  });
});

Deno.test("buildSqlite() says in one line what to install when no compiler is found", async () => {
  await withCompiler("", async (folder, environment) => {
    const { code, stderr } = await build({ ...environment, CC: "", PATH: folder });
    assert.equal(code, 1);
    assert.match(stderr, /^SQLite is not built for \S+: no C compiler found\. Install .*\n$/);
  });
});

Deno.test("buildSqlite() throws RangeError when it does not know the target", async () => {
  await assert.rejects(buildSqlite({ target: "sparc-sun-solaris" }), RangeError);
});

Deno.test("buildSqlite() makes a library with the recipe's options", {
  ignore: !existsSync(cachedLibraryPath(Deno.build.target)), // no C compiler here
}, () => {
  const library = Deno.dlopen(cachedLibraryPath(Deno.build.target), {
    sqlite3_compileoption_used: { parameters: ["buffer"], result: "i32" },
    sqlite3_threadsafe: { parameters: [], result: "i32" },
    sqlite3session_create: { parameters: ["pointer", "buffer", "buffer"], result: "i32" },
  });
  try {
    const { symbols } = library;
    assert.equal(symbols.sqlite3_threadsafe(), 2);
    for (
      const option of [
        ...["THREADSAFE=2", "ENABLE_FTS5", "ENABLE_RTREE", "ENABLE_MATH_FUNCTIONS"],
        ...["ENABLE_DBSTAT_VTAB", "ENABLE_PREUPDATE_HOOK", "ENABLE_SESSION"],
        ...["STMTJRNL_SPILL=131071", "LIKE_DOESNT_MATCH_BLOBS"],
      ]
    ) {
      const name = new TextEncoder().encode(`${option}\0`);
      assert.equal(symbols.sqlite3_compileoption_used(name), 1, option);
    }
  } finally {
    library.close();
  }
});
