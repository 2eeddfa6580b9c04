import assert from "node:assert/strict";
import { join } from "node:path";
import { Folder, run } from "./command_line.ts";

async function served(folder: Folder): Promise<string> {
  const file = folder.file("app.db");
  const { code, stderr } = await run(["start", file, "--background"]);
  assert.equal(code, 0, stderr);
  return file;
}

Deno.test("exec executes its statements as one transaction and says what changed", async () => {
  await using folder = new Folder();
  const file = await served(folder);
  const done = await run([
    "exec",
    file,
    "create table t (a unique)",
    "insert into t values (1), (2)",
  ]);
  assert.deepEqual(done, { code: 0, stdout: "2 rows changed, revision 1\n", stderr: "" });
  const failed = await run(["exec", file, "insert into t values (3)", "insert into t values (1)"]);
  assert.equal(failed.code, 1);
  assert.match(failed.stderr, /^error: Statement 1: UNIQUE constraint failed: t\.a\n/);
  assert.equal((await run(["query", file, "select count(*) n from t", "--csv"])).stdout, "n\n2\n");
});

Deno.test("exec prints the rows that statements return", async () => {
  await using folder = new Folder();
  const file = await served(folder);
  await run(["exec", file, "create table t (id integer primary key, a)"]);
  const insert = "insert into t (a) values ('x') returning id, a";
  assert.equal(
    (await run(["exec", file, insert])).stdout,
    "┌────┬───┐\n│ id │ a │\n├────┼───┤\n│  1 │ x │\n└────┴───┘\n1 row\n1 row changed, revision 2\n",
  );
  assert.equal((await run(["exec", file, insert, "--csv"])).stdout, "id,a\n2,x\n");
  assert.deepEqual(JSON.parse((await run(["exec", file, insert, "--json"])).stdout), {
    rev: 4,
    rows_affected: 1,
    results: [{ changes: 1, last_insert_rowid: 3, rows: [{ id: 3, a: "x" }] }],
  });
});

Deno.test("exec takes its SQL from a file or standard input when it is told to", async () => {
  await using folder = new Folder();
  const file = await served(folder);
  const script = join(folder.path, "schema.sql");
  Deno.writeTextFileSync(script, "\uFEFFcreate table t (a); insert into t values ('ä');\n");
  assert.equal((await run(["exec", file, "--file", script])).code, 0);
  const more = await run(["exec", file, "--file", "-"], { input: "insert into t values ('日本')" });
  assert.equal(more.code, 0, more.stderr);
  const rows = await run(["query", file, "--file", "-", "--csv"], { input: "select a from t" });
  assert.equal(rows.stdout, "a\nä\n日本\n");
});

const VALUES =
  "select 9223372036854775807 as i, 1.0 as r, 1e999 as inf, null as n, '' as e, x'00ff' as b, 'a,\"b\"' as t";

Deno.test("query prints every value exactly, as a table, CSV and JSON", async () => {
  await using folder = new Folder();
  const file = await served(folder);
  const table = await run(["query", file, VALUES]);
  assert.match(
    table.stdout,
    /^│ 9223372036854775807 │ 1\.0 │ Infinity │ NULL │ +│ x'00ff' │ a,"b" │$/m,
  );
  assert.match(table.stdout, /\n1 row\n$/);
  const csv = await run(["query", file, VALUES, "--csv"]);
  assert.equal(
    csv.stdout,
    `i,r,inf,n,e,b,t\n9223372036854775807,1.0,Infinity,,"",x'00ff',"a,""b"""\n`,
  );
  const json = await run(["query", file, VALUES, "--json"]);
  assert.equal(
    json.stdout,
    `[{"i":9223372036854775807,"r":1.0,"inf":{"$real":"Infinity"},"n":null,"e":"","b":{"$blob":"AP8="},"t":"a,\\"b\\""}]\n`,
  );
});

Deno.test("query points to exec, exit code 1, when the statement would write", async () => {
  await using folder = new Folder();
  const file = await served(folder);
  const { code, stdout, stderr } = await run(["query", file, "create table t (a)"]);
  assert.equal(code, 1);
  assert.equal(stdout, "");
  assert.match(stderr, /^error: .*write\nhint: Use exec in place of query/);
});

Deno.test("query says so, exit code 6, when it is not done in time", async () => {
  await using folder = new Folder();
  const file = await served(folder);
  const endless =
    "with recursive c(x) as (select 1 union all select x + 1 from c) select count(*) from c";
  const { code, stderr } = await run(["query", file, endless, "--timeout", "300ms"]);
  assert.equal(code, 6);
  assert.match(stderr, /^error: .*\nhint: Give a longer --timeout/);
});
