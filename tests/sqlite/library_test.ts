import assert from "node:assert/strict";
import { basename, join } from "node:path";
import { gzipSync } from "node:zlib";
import {
  bundledLibraryPath,
  cachedLibraryPath,
  cacheFolder,
  copiedLibrary,
  findLibrary,
  unpackedLibrary,
  withUnpackedLibrary,
} from "../../daemon/sqlite/library.ts";

/** Runs a check with environment variables set (null: removed), and puts them back. */
function withEnvironment(variables: Record<string, string | null>, check: () => void): void {
  const before = Object.keys(variables).map((name) => [name, Deno.env.get(name)] as const);
  const set = (name: string, value: string | null | undefined) =>
    value == null ? Deno.env.delete(name) : Deno.env.set(name, value);
  try {
    for (const [name, value] of Object.entries(variables)) set(name, value);
    check();
  } finally {
    for (const [name, value] of before) set(name, value);
  }
}

async function withFolder(check: (folder: string) => void): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "skylinedb-library-" });
  try {
    check(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("findLibrary() takes what SKYLINEDB_SQLITE names before the built library", async () => {
  await withFolder((folder) => {
    const path = join(folder, "mine.so");
    Deno.writeTextFileSync(path, "");
    withEnvironment({ SKYLINEDB_SQLITE: path }, () => {
      assert.deepEqual(findLibrary(), { path, origin: "environment" });
    });
  });
});

Deno.test("findLibrary() throws and names the file when SKYLINEDB_SQLITE leads nowhere", () => {
  withEnvironment({ SKYLINEDB_SQLITE: "/nowhere/sqlite.so" }, () => {
    assert.throws(() => findLibrary(), /SKYLINEDB_SQLITE names \/nowhere\/sqlite\.so, which does/);
  });
});

Deno.test("findLibrary() takes the built library when it is in the cache", async () => {
  await withFolder((folder) => {
    withEnvironment({ SKYLINEDB_SQLITE: null, SKYLINEDB_CACHE: folder }, () => {
      const path = cachedLibraryPath(Deno.build.target);
      Deno.writeTextFileSync(path, "");
      assert.deepEqual(findLibrary(), { path, origin: "built" });
    });
  });
});

Deno.test("findLibrary() takes the system's library, or says what to do, when none is built", async () => {
  await withFolder((folder) => {
    withEnvironment({ SKYLINEDB_SQLITE: null, SKYLINEDB_CACHE: folder }, () => {
      try {
        assert.equal(findLibrary().origin, "system");
      } catch (error) {
        assert.match(String(error), /the system has no .*set SKYLINEDB_SQLITE to a library/);
      }
    });
  });
});

Deno.test("cacheFolder() ignores a relative XDG_CACHE_HOME", {
  ignore: Deno.build.os === "windows" || Deno.build.os === "darwin",
}, () => {
  const home = { SKYLINEDB_CACHE: null, HOME: "/home/someone" };
  withEnvironment({ ...home, XDG_CACHE_HOME: "/var/cache/me" }, () => {
    assert.equal(cacheFolder(), "/var/cache/me/skylinedb-daemon");
  });
  withEnvironment({ ...home, XDG_CACHE_HOME: "relative" }, () => {
    assert.equal(cacheFolder(), "/home/someone/.cache/skylinedb-daemon");
  });
});

Deno.test("cachedLibraryPath() ends as the target's loader wants it", () => {
  assert.match(cachedLibraryPath("x86_64-pc-windows-msvc"), /-x86_64-pc-windows-msvc\.dll$/);
  assert.match(cachedLibraryPath("aarch64-apple-darwin"), /-aarch64-apple-darwin\.dylib$/);
  assert.match(
    bundledLibraryPath("x86_64-unknown-linux-gnu"),
    /-x86_64-unknown-linux-gnu\.so\.gz$/,
  );
  assert.match(bundledLibraryPath("x86_64-pc-windows-msvc"), /-x86_64-pc-windows-msvc\.dll$/);
});

Deno.test("copiedLibrary() copies the library once, and again what was cut short", async () => {
  await withFolder((folder) => {
    const bundled = join(folder, "bundled.dll");
    Deno.writeTextFileSync(bundled, "the library");
    const own = join(folder, "of the user", "own");
    const path = copiedLibrary(bundled, own);
    assert.equal(path, join(own, "bundled.dll"));
    const { mtime, ino } = Deno.statSync(path);
    assert.equal(copiedLibrary(bundled, own), path);
    assert.deepEqual([Deno.statSync(path).mtime, Deno.statSync(path).ino], [mtime, ino]);
    Deno.writeTextFileSync(path, "the lib");
    assert.equal(Deno.readTextFileSync(copiedLibrary(bundled, own)), "the library");
    assert.deepEqual([...Deno.readDirSync(own)].map(({ name }) => name), ["bundled.dll"]);
  });
});

Deno.test("unpackedLibrary() unpacks again what was cut short", {
  ignore: Deno.build.os === "windows", // there it is not packed
}, async () => {
  await withFolder((folder) => {
    const packed = join(folder, `${basename(folder)}.so.gz`); // a name of its own where it is unpacked
    Deno.writeFileSync(packed, gzipSync("the library"));
    const path = unpackedLibrary(packed);
    try {
      assert.equal(Deno.readTextFileSync(path), "the library");
      assert.equal(Deno.statSync(path).mode! & 0o777, 0o700);
      Deno.writeTextFileSync(path, "the lib");
      assert.equal(unpackedLibrary(packed), path);
      assert.equal(Deno.readTextFileSync(path), "the library");
    } finally {
      Deno.removeSync(path);
    }
    const [used, text] = withUnpackedLibrary(
      packed,
      (path) => [path, Deno.readTextFileSync(path)],
    );
    assert.equal(text, "the library");
    assert.throws(() => Deno.statSync(used), Deno.errors.NotFound);
  });
});
