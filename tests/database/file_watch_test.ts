import assert from "node:assert/strict";
import { join } from "node:path";
import { FileWatch } from "../../daemon/database/file_watch.ts";

/** A test with the three files of a database; they are open, as a database's are, so that no new file gets their inodes. */
function watchTest(name: string, body: (path: string, watch: FileWatch) => void): void {
  // On Windows nothing is watched: its sharing modes prevent all this.
  Deno.test(name, { ignore: Deno.build.os === "windows" }, () => {
    const folder = Deno.makeTempDirSync({ prefix: "skylinedb-watch-" });
    const path = join(folder, "Übung 1.db");
    const files = ["", "-wal", "-shm"].map((suffix) =>
      Deno.openSync(path + suffix, { write: true, createNew: true })
    );
    try {
      body(path, new FileWatch(path));
    } finally {
      for (const file of files) file.close();
      Deno.removeSync(folder, { recursive: true });
    }
  });
}

function replace(path: string): void {
  Deno.writeTextFileSync(`${path}.new`, "x");
  Deno.renameSync(`${path}.new`, path);
}

watchTest("FileWatch finds nothing when files are written, and shrink and grow", (path, watch) => {
  assert.equal(watch.check(), null);
  for (const suffix of ["", "-wal", "-shm"]) Deno.writeTextFileSync(path + suffix, "longer");
  assert.equal(watch.check(), null);
  Deno.truncateSync(`${path}-wal`);
  Deno.chmodSync(path, 0o600);
  assert.equal(watch.check(), null);
});

watchTest("FileWatch finds that the database was moved, and that it is back", (path, watch) => {
  Deno.renameSync(path, `${path}.away`);
  const moved = {
    what: "Übung 1.db was moved or removed",
    canReopen: false,
  };
  assert.deepEqual(watch.check(), moved);
  Deno.renameSync(`${path}.away`, path);
  assert.equal(watch.check(), null);
  Deno.removeSync(path);
  assert.deepEqual(watch.check(), moved);
});

watchTest("FileWatch finds that the folder was moved", (path, watch) => {
  const folder = join(path, "..");
  Deno.renameSync(folder, `${folder}-away`);
  try {
    assert.match(watch.check()!.what, /was moved or removed/);
  } finally {
    Deno.renameSync(`${folder}-away`, folder);
  }
});

watchTest("FileWatch finds that the database was replaced by a copy of it", (path, watch) => {
  replace(path);
  assert.deepEqual(watch.check(), {
    what: "Übung 1.db was replaced by another file",
    canReopen: false,
  });
});

watchTest("FileWatch finds that a symbolic link took the database's place", (path, watch) => {
  Deno.renameSync(path, `${path}.away`);
  Deno.symlinkSync(`${path}.away`, path);
  assert.match(watch.check()!.what, /was replaced/);
});

watchTest("FileWatch finds a hard link to the database, not to its log", (path, watch) => {
  Deno.linkSync(`${path}-wal`, `${path}.copy-wal`);
  assert.equal(watch.check(), null);
  Deno.linkSync(path, `${path}.copy`);
  assert.deepEqual(watch.check(), {
    what: "Übung 1.db has another name now (a hard link)",
    canReopen: false,
  });
});

watchTest("FileWatch finds that the log was removed, and that it was replaced", (path, watch) => {
  Deno.removeSync(`${path}-wal`);
  assert.deepEqual(watch.check(), {
    what: "Übung 1.db-wal was moved or removed",
    canReopen: true,
  });
  replace(`${path}-wal`);
  assert.deepEqual(watch.check(), {
    what: "Übung 1.db-wal was replaced by another file",
    canReopen: false,
    hint: "Move Übung 1.db-wal away, or SQLite takes it for the database's own; then start the " +
      "daemon again.",
  });
});

watchTest("FileWatch finds that the log's index was removed or replaced", (path, watch) => {
  Deno.removeSync(`${path}-shm`);
  assert.deepEqual(watch.check(), {
    what: "Übung 1.db-shm was moved or removed",
    canReopen: true,
  });
  replace(`${path}-shm`);
  assert.equal(watch.check()?.canReopen, true);
});

watchTest(
  "FileWatch says what happened to the database before what happened to its log",
  (path, watch) => {
    for (const suffix of ["-shm", "-wal", ""]) {
      Deno.removeSync(path + suffix);
      assert.equal(watch.check()?.what, `Übung 1.db${suffix} was moved or removed`);
    }
  },
);

watchTest("FileWatch.checkDatabase() leaves the log aside", (path, watch) => {
  Deno.removeSync(`${path}-shm`);
  replace(`${path}-wal`);
  assert.equal(watch.checkDatabase(), null);
  replace(path);
  assert.match(watch.checkDatabase()!.what, /^Übung 1\.db was replaced/);
});
