import assert from "node:assert/strict";
import type { Connection } from "../../daemon/sqlite/connection.ts";
import { SqliteError } from "../../daemon/sqlite/errors.ts";
import { sqlite } from "../../daemon/sqlite/ffi.ts";
import { Script } from "../../daemon/sqlite/script.ts";
import { TemporaryConnection } from "./temporary_connection.ts";

/** Another library than the one that is built has no such calls. */
const ignore = sqlite().skylinedb_prepare === null;

const DEPTH = 20;

/** Each part has the one before it twice: 2 to the power of `DEPTH` parts, of 1 KB of SQL. */
const EXPENSIVE: Readonly<Record<string, string>> = {
  "a common table expression": "with c0 as (select 1), " +
    doubled((i) => `c${i + 1} as (select * from c${i} union all select * from c${i})`).join(", ") +
    ` select count(*) from c${DEPTH}`,
  "subqueries": doubled(() => "").reduce(
    (inner) => `select a + a as a from (${inner})`,
    "select a from t",
  ),
  "generated columns": `create table g(a, b0 as (a), ${
    doubled((i) => `b${i + 1} as (b${i} || b${i})`).join(", ")
  })`,
  "views": `select count(*) from v${DEPTH}`,
  "the columns of views": "select ncol from pragma_table_list",
  "views of an ALTER": "alter table t rename to u",
  "window functions": `select ${
    doubled((i) => `sum(a) over (order by a + ${i})`, 1_000).join(", ")
  } from t`,
};

function doubled(part: (index: number) => string, count = DEPTH): string[] {
  return Array.from({ length: count }, (_, i) => part(i));
}

function withTable(): TemporaryConnection {
  const temporary = new TemporaryConnection();
  temporary.connection.exec("create table t(a)");
  return temporary;
}

/** Without looking at them: by the daemon's way they could be made as well, as `create view` looks at nothing. */
function makeViews(connection: Connection): void {
  connection.exec("create view v0 as select 1 as a");
  const views = doubled((i) =>
    `create view v${i + 1} as select * from v${i} union all select * from v${i}`
  );
  connection.exec(views.join(";"));
}

function code(name: string) {
  return (error: unknown) => error instanceof SqliteError && error.codeName === name;
}

for (const [what, sql] of Object.entries(EXPENSIVE)) {
  Deno.test(`Connection and Statement end in time what ${what} would make long`, { ignore }, () => {
    using temporary = withTable();
    const { connection } = temporary;
    if (/views/.test(what)) makeViews(connection);
    connection.exec("insert into t values (1)");
    assert.throws(() => {
      const statement = connection.prepareNext(new Script(sql), { withinMs: 5 })!;
      try {
        while (statement.stepWithin(5));
      } finally {
        statement.finalize();
      }
    }, code("SQLITE_INTERRUPT"));
    connection.exec("insert into t values (2)");
    assert.deepEqual(connection.get("select count(*) from t"), [2]);
  });
}

Deno.test(
  "Connection.prepareNextOffLoop() ends what takes too much memory",
  { ignore },
  async () => {
    using temporary = withTable();
    const { connection } = temporary;
    const sql = EXPENSIVE["a common table expression"];
    await assert.rejects(connection.prepareNextOffLoop(new Script(sql)), code("SQLITE_TOOBIG"));
    const script = new Script("select 1; select 2");
    const statement = await connection.prepareNextOffLoop(script);
    assert.deepEqual([statement?.sql, script.rest], ["select 1;", " select 2"]);
    statement?.finalize();
  },
);

Deno.test("Connection.interrupt() ends a preparation off the loop", { ignore }, async () => {
  using temporary = withTable();
  const { connection } = temporary;
  connection.interrupt(); // nothing runs: it ends nothing
  (await connection.prepareNextOffLoop(new Script("select 1 from t, t as u")))?.finalize();
  const preparing = connection.prepareNextOffLoop(new Script(EXPENSIVE["window functions"]));
  const timer = setInterval(() => connection.interrupt(), 5);
  await assert.rejects(preparing, code("SQLITE_INTERRUPT"));
  clearInterval(timer);
});

Deno.test(
  "Statement ends in time when it is prepared anew and that takes long",
  { ignore },
  async () => {
    using temporary = withTable();
    const { connection } = temporary;
    const other = temporary.another();
    other.exec("create view w as select 1 as a");
    makeViews(other);
    const script = new Script("select count(*) from w");
    const statement = connection.prepareNext(script, { persistent: true })!;
    try {
      assert.equal(statement.stepWithin(5), true);
      statement.reset();
      other.exec(`drop view w; create view w as select * from v${DEPTH}`);
      assert.throws(() => statement.stepWithin(5), code("SQLITE_INTERRUPT"));
      statement.reset();
      await assert.rejects(statement.stepOffLoop(), code("SQLITE_TOOBIG"));
      statement.reset();
      other.exec("drop view w; create view w as select 1 as a");
      connection.get("select count(*) from t"); // reads the schema, as whatever succeeds
      assert.equal(statement.stepWithin(1_000), true);
    } finally {
      statement.finalize();
    }
  },
);
