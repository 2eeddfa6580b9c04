import assert from "node:assert/strict";
import { join } from "node:path";
import { cannotOpen, prepareFile } from "../../daemon/database/database_file.ts";

/** Prepares a file in a folder of its own, and gives what is in there then. */
function prepared(refuseAt: (path: string) => void): string[] {
  const folder = Deno.realPathSync(Deno.makeTempDirSync({ prefix: "skylinedb-file-" }));
  try {
    prepareFile(join(folder, "app.db"), refuseAt);
    return [...Deno.readDirSync(folder)].map(({ name }) => name);
  } catch (error) {
    assert.deepEqual([...Deno.readDirSync(folder)], []);
    throw error;
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

Deno.test("prepareFile() makes nothing where that is refused", () => {
  assert.deepEqual(prepared(() => {}), ["app.db"]);
  assert.throws(
    () =>
      prepared((path) => {
        throw cannotOpen(path, "it was moved");
      }),
    /app\.db: it was moved/,
  );
});

Deno.test("prepareFile() takes the file that another start makes at the same moment", () => {
  const names = prepared((path) => {
    Deno.writeTextFileSync(path, "");
    throw cannotOpen(path, "a daemon serves it");
  });
  assert.deepEqual(names, ["app.db"]);
});
