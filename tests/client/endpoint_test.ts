import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import process from "node:process";
import {
  endpointOf,
  endpointOfName,
  hashOfRealPath,
  runtimeFolder,
} from "../../client/endpoint.ts";
import { SkylineError } from "../../client/errors.ts";

const WINDOWS = process.platform === "win32";

function withFolder(body: (folder: string) => void): () => void {
  return () => {
    const folder = realpathSync.native(mkdtempSync(join(tmpdir(), "endpoint-")));
    try {
      body(folder);
    } finally {
      rmSync(folder, { recursive: true });
    }
  };
}

Deno.test(
  "endpointOf() is the hash of the real path when a file exists",
  withFolder((folder) => {
    const file = join(folder, "app é.db");
    writeFileSync(file, "");
    const known = WINDOWS ? file.replace(/[A-Z]/g, (letter) => letter.toLowerCase()) : file;
    const hash = createHash("sha256").update(known).digest("hex").slice(0, 16);
    assert.equal(
      endpointOf(file),
      WINDOWS ? `\\\\.\\pipe\\skylinedb-${hash}` : `${runtimeFolder()}/${hash}.sock`,
    );
  }),
);

Deno.test(
  "endpointOf() is the same for every spelling of a path",
  withFolder((folder) => {
    mkdirSync(join(folder, "data"));
    const file = join(folder, "data", "app.db");
    writeFileSync(file, "");
    const spellings = [
      `${folder}/./data/../data//app.db`,
      relative(process.cwd(), file),
      ...(WINDOWS ? [file.toUpperCase()] : []),
    ];
    for (const spelling of spellings) assert.equal(endpointOf(spelling), endpointOf(file));
  }),
);

Deno.test({
  name: "endpointOf() is that of the file when a symbolic link leads to it",
  // Making one needs a right on Windows that few have.
  ignore: WINDOWS,
  fn: withFolder((folder) => {
    const file = join(folder, "app.db");
    writeFileSync(file, "");
    symlinkSync(folder, join(folder, "link"));
    symlinkSync(file, join(folder, "alias.db"));
    assert.equal(endpointOf(join(folder, "link", "app.db")), endpointOf(file));
    assert.equal(endpointOf(join(folder, "alias.db")), endpointOf(file));
  }),
});

Deno.test(
  "endpointOf() says how to start a daemon when the file does not exist",
  withFolder((folder) => {
    for (const file of [join(folder, "none.db"), join(folder, "none", "app.db")]) {
      assert.throws(() => endpointOf(file), (error) => {
        assert.ok(error instanceof SkylineError);
        assert.equal(error.code, "NOT_RUNNING");
        assert.ok(error.message.includes(file));
        assert.ok(error.hint!.includes(`skylinedb-daemon "${file}"`));
        return true;
      });
    }
  }),
);

Deno.test("hashOfRealPath() ignores the prefix and the case of A to Z on Windows alone", () => {
  const plain = hashOfRealPath("d:\\data\\Äpp.db", true);
  assert.equal(hashOfRealPath("D:\\DATA\\ÄPP.db", true), plain);
  assert.equal(hashOfRealPath("\\\\?\\D:\\Data\\Äpp.db", true), plain);
  assert.notEqual(hashOfRealPath("d:\\data\\äpp.db", true), plain);
  assert.equal(
    hashOfRealPath("\\\\?\\UNC\\Server\\Share\\a.db", true),
    hashOfRealPath("\\\\server\\share\\a.db", true),
  );
  assert.notEqual(hashOfRealPath("/data/A.db", false), hashOfRealPath("/data/a.db", false));
  assert.equal(hashOfRealPath("/data/app.db", false), "5c75055c1d9cc7d4");
});

Deno.test("endpointOfName() takes plain names, and endpoints as they are", () => {
  const longest = "a.b_c-9" + "x".repeat(57);
  const endpoint = endpointOfName(longest);
  if (WINDOWS) {
    assert.equal(endpoint, `\\\\.\\pipe\\${longest}`);
    assert.equal(endpointOfName("\\\\.\\pipe\\any name"), "\\\\.\\pipe\\any name");
  } else {
    assert.equal(endpoint, `${runtimeFolder()}/${longest}.sock`);
    assert.ok(endpoint.length <= 103);
    assert.equal(endpointOfName("/run/any name.sock"), "/run/any name.sock");
  }
});

Deno.test("endpointOfName() refuses what is no name", () => {
  const names = ["", "a/b", "../a", "a b", "é", "a\0", "x".repeat(65), "./a.sock"];
  for (const name of [...names, WINDOWS ? "/tmp/a" : `/${"x".repeat(103)}`]) {
    assert.throws(() => endpointOfName(name), RangeError, name);
  }
});
