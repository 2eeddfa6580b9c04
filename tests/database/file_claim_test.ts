import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { SkylineError } from "../../client/errors.ts";
import { Database } from "../../daemon/database/database.ts";
import { FileClaim } from "../../daemon/database/file_claim.ts";
import { isDone } from "../../daemon/database/write.ts";
import { LIMITS } from "../../daemon/process/limits.ts";
import { until } from "../e2e/daemon_case.ts";

/** A folder with `app.db`, whose only table `t` holds 1. */
class Folder implements Disposable {
  readonly path = Deno.realPathSync(Deno.makeTempDirSync({ prefix: "skylinedb-claim-" }));
  readonly file = join(this.path, "app.db");

  constructor() {
    this.replace(1);
  }

  /** Puts a database with this row in the place of the one before. */
  replace(row: number): void {
    const file = join(this.path, "new.db");
    using direct = new DatabaseSync(file);
    direct.exec(`create table t(a); insert into t values (${row})`);
    direct.close();
    Deno.renameSync(file, this.file);
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }
}

Deno.test("FileClaim is outdated when another file has come, or none is there", () => {
  using folder = new Folder();
  let claimed = 0;
  const claim = new FileClaim(folder.file, () => claimed++);
  assert.equal(claim.isOutdated, false);
  assert.equal(claim.renew(), false);
  folder.replace(2);
  assert.equal(claim.isOutdated, true);
  assert.equal(claim.renew(), true);
  assert.deepEqual([claimed, claim.isOutdated], [1, false]);
  Deno.renameSync(folder.file, `${folder.file}.away`);
  assert.equal(claim.isOutdated, true);
});

Deno.test("Database does not serve a file that came after the right to serve the path was taken", {
  ignore: Deno.build.os === "windows", // where an open file cannot be replaced
}, async () => {
  using folder = new Folder();
  const claims: number[] = [];
  const database = await Database.open(folder.file, {
    durability: "normal",
    foreignKeys: true,
    keepWal: false,
    walLimitBytes: LIMITS.walLimitBytes.default,
    closeIdleMs: 50,
    log: { debug() {}, info() {}, warn() {}, error() {} },
    othersMaySend: () => false,
    claimFile() {
      claims.push(claims.length);
      // Between the claim and the opening, once.
      if (claims.length === 1) folder.replace(3);
    },
  });
  try {
    const insert = (row: number) =>
      database.write({
        statements: [{ sql: `insert into t values (${row})`, params: [] }],
        atomic: true,
        results: false,
        deadline: performance.now() + 10_000,
        units: 100,
      });
    await until(() => !database.figures().open);
    folder.replace(2);
    const refused = await insert(7);
    assert.ok(refused instanceof SkylineError && refused.code === "CANNOT_OPEN", String(refused));
    assert.match(refused.message, /it was replaced at this moment/);
    assert.ok(isDone(await insert(8)));
    assert.equal(claims.length, 2);
  } finally {
    await database.close();
  }
  using direct = new DatabaseSync(folder.file, { readOnly: true });
  assert.deepEqual(direct.prepare("select a from t").all().map(({ a }) => a), [3, 8]);
});
