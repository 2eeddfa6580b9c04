import assert from "node:assert/strict";
import { SkylineError } from "../../client/errors.ts";
import { PutOffQuery, type Query, Readers } from "../../daemon/database/readers.ts";
import { Commits } from "./commits.ts";

const query = (): Query => ({
  sql: "select count(*) from sqlite_schema where name like 'many%'",
  params: [],
  deadline: performance.now() + 30_000,
  signal: new AbortController().signal,
  recipient: { hasFetched: true, hasRoom: true, wait: () => Promise.resolve() },
});

Deno.test("Readers.query() looks at the files after a reader was opened beside the loop, too", async () => {
  using it = new Commits();
  const { connection, file } = it.temporary;
  const tables = Array.from({ length: 10_000 }, (_, i) => `create table many_${i}(a, b, c, d)`);
  connection.exec(`begin; ${tables.join(";")}; commit`);
  let looks = 0;
  const readers = new Readers({
    path: file,
    settings: { durability: "full", foreignKeys: true },
    open: () => Promise.resolve(),
    checkFiles: () => {
      // The first is that of the reader which was given up, for its schema.
      if (++looks === 3) throw new SkylineError("FILE_REPLACED", "another file has the name now");
    },
    revision: () => 0,
    mend: () => {},
  });
  const ask = async () => {
    const answer = readers.query(query());
    assert.ok(answer instanceof PutOffQuery);
    return await answer.outcome;
  };
  const refused = await ask();
  assert.equal(refused instanceof SkylineError && refused.code, "FILE_REPLACED");
  const done = await ask();
  assert.equal("rows" in done && done.rows, "[[10000]]");
  await readers.close(new SkylineError("SHUTTING_DOWN", "the end"));
});
