import assert from "node:assert/strict";
import { join } from "node:path";
import { SkylineError } from "../../client/errors.ts";
import { prepareRuntimeFolder } from "../../daemon/process/runtime_folder.ts";

const ignore = Deno.build.os === "windows"; // pipes have no folder

function inTemporaryFolder(test: (folder: string) => void): () => void {
  return () => {
    const folder = Deno.makeTempDirSync({ prefix: "skylinedb-folder-" });
    try {
      test(folder);
    } finally {
      Deno.removeSync(folder, { recursive: true });
    }
  };
}

function refuses(folder: string, said: RegExp): void {
  assert.throws(
    () => prepareRuntimeFolder(folder),
    (error) =>
      error instanceof SkylineError && error.code === "NO_PERMISSION" && said.test(error.message),
  );
}

Deno.test(
  "prepareRuntimeFolder() makes the folder for this user alone when it is missing",
  { ignore },
  inTemporaryFolder((base) => {
    const folder = join(base, "skylinedb");
    assert.equal(prepareRuntimeFolder(folder), folder);
    assert.equal(Deno.statSync(folder).mode! & 0o777, 0o700);
    assert.equal(prepareRuntimeFolder(folder), folder);
  }),
);

Deno.test(
  "prepareRuntimeFolder() refuses a folder that others may enter",
  { ignore },
  inTemporaryFolder((base) => {
    const folder = join(base, "skylinedb");
    Deno.mkdirSync(folder);
    Deno.chmodSync(folder, 0o755);
    refuses(folder, /other users may enter it$/);
  }),
);

Deno.test(
  "prepareRuntimeFolder() refuses a symbolic link",
  { ignore },
  inTemporaryFolder((base) => {
    const folder = join(base, "skylinedb");
    Deno.mkdirSync(join(base, "elsewhere"), { mode: 0o700 });
    Deno.symlinkSync(join(base, "elsewhere"), folder);
    refuses(folder, /belongs to somebody else$/);
  }),
);

Deno.test(
  "prepareRuntimeFolder() refuses somebody else's folder",
  {
    ignore: ignore || Deno.uid() !== 0, // only root can give a folder away
  },
  inTemporaryFolder((base) => {
    const folder = join(base, "skylinedb");
    Deno.mkdirSync(folder, { mode: 0o700 });
    Deno.chownSync(folder, 12_345, 12_345);
    refuses(folder, /belongs to somebody else$/);
  }),
);

Deno.test(
  "prepareRuntimeFolder() says which folder to make when there is none to hold its own",
  { ignore },
  inTemporaryFolder((base) => {
    const parent = join(base, "tmp");
    assert.throws(
      () => prepareRuntimeFolder(join(parent, "skylinedb")),
      (error) =>
        error instanceof SkylineError && error.code === "CANNOT_OPEN" &&
        error.hint === `Make ${parent} first: mkdir -m 1777 ${parent}`,
    );
  }),
);
