import assert from "node:assert/strict";
import { join } from "node:path";
import { fileIdentity } from "../../daemon/process/file_identity.ts";

Deno.test("fileIdentity() is one for all names of a file and differs for its copy", () => {
  const folder = Deno.makeTempDirSync({ prefix: "skylinedb-identity-" });
  try {
    const [path, second, copy] = ["a.db", "b.db", "c.db"].map((name) => join(folder, name));
    Deno.writeTextFileSync(path, "x");
    assert.equal(fileIdentity(path).links, 1);
    Deno.linkSync(path, second);
    Deno.copyFileSync(path, copy);
    assert.deepEqual(fileIdentity(second), fileIdentity(path));
    assert.equal(fileIdentity(path).links, 2);
    assert.deepEqual(fileIdentity(join(folder, ".", "a.db")), fileIdentity(path));
    assert.notEqual(fileIdentity(copy).key, fileIdentity(path).key);
    if (Deno.build.os === "windows") return; // symbolic links need a privilege there
    Deno.symlinkSync(path, join(folder, "link.db"));
    assert.deepEqual(fileIdentity(join(folder, "link.db")), fileIdentity(path));
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

Deno.test("fileIdentity() agrees with the system's inode where a number holds it", {
  ignore: Deno.build.os === "windows", // where Deno has no inode
}, () => {
  const path = Deno.makeTempFileSync({ prefix: "skylinedb-identity-" });
  try {
    assert.equal(fileIdentity(path).key.split("-")[1], Deno.statSync(path).ino!.toString(16));
  } finally {
    Deno.removeSync(path);
  }
});

Deno.test("fileIdentity() throws what the system says when there is no file", () => {
  assert.throws(() => fileIdentity("/no/such/file"), Deno.errors.NotFound);
});
