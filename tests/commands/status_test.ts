import assert from "node:assert/strict";
import { EXIT } from "../../daemon/commands/exit_code.ts";
import { Folder, run } from "./command_line.ts";

Deno.test("status prints a page, JSON, or Prometheus' text", async () => {
  await using folder = new Folder();
  const file = folder.file("app.db");
  const archive = folder.file("archive.db");
  assert.equal((await run([file, archive, "--background"])).code, EXIT.done);
  assert.equal((await run(["exec", file, "create table t (a)"])).code, EXIT.done);
  const page = await run(["status", file]);
  assert.equal(page.code, EXIT.done);
  assert.match(page.stdout, /^skylinedb-daemon \S+, SQLite \S+, up \d+ s\n/);
  assert.ok(page.stdout.includes(`\n${file}\n`) && page.stdout.includes(`\n${archive}\n`));
  assert.match(page.stdout, /^ {2}writes +1 in 1 commits \(lately 1\.0 in one\)$/m);
  const status = JSON.parse((await run(["status", "--json", archive])).stdout);
  assert.deepEqual(status.databases.map(({ path }: { path: string }) => path), [file, archive]);
  const metrics = await run(["status", "--prometheus", file]);
  assert.equal(metrics.code, EXIT.done);
  const label = JSON.stringify(file);
  assert.ok(metrics.stdout.includes(`\nskylinedb_writes_total{database=${label}} 1\n`));
});

Deno.test("status says which options exclude one another", async () => {
  for (const other of ["--json", "--watch"]) {
    const { code, stderr } = await run(["status", "--prometheus", other]);
    assert.equal(code, EXIT.usage);
    assert.equal(stderr, `error: --prometheus and ${other} exclude one another\n`);
  }
});

Deno.test("start --background hands the log's limit on", async () => {
  await using folder = new Folder();
  const file = folder.file("app.db");
  assert.equal((await run([file, "--background", "--wal-limit", "64MiB"])).code, 0);
  const { databases } = JSON.parse((await run(["status", file, "--json"])).stdout);
  assert.equal(databases[0].wal_limit_bytes, 64 * 1024 * 1024);
  assert.equal((await run(["shutdown", file])).code, 0);
});
