import assert from "node:assert/strict";
import type { Connection } from "../../daemon/sqlite/connection.ts";
import { sqlite } from "../../daemon/sqlite/ffi.ts";
import { Script } from "../../daemon/sqlite/script.ts";
import type { Statement } from "../../daemon/sqlite/statement.ts";
import { ALLOWED } from "../faults/allowed_sql.ts";
import { ESCAPES, HARMLESS } from "../faults/escapes.ts";
import { TemporaryConnection } from "./temporary_connection.ts";

/** Another library than the one that is built asks at once. */
const ignore = sqlite().skylinedb_prepare === null;
const OWN = "_skylinedb_state";

/** What is known of SQL once it is prepared: the error, or what a statement is by its nature. */
async function known(prepare: () => Statement | null | Promise<Statement | null>) {
  try {
    const statement = await prepare();
    if (statement === null) return null;
    const { sql, readOnly, quickUpTo, isLong, isBlind, isSteep } = statement;
    statement.finalize();
    return { sql, readOnly, quickUpTo, isLong, isBlind, isSteep };
  } catch (error) {
    return String(error);
  }
}

/** As it is off the loop; it has to be as on the loop. */
async function assertSame(connection: Connection, sql: string): Promise<void> {
  connection.principal = "client";
  const inline = await known(() => connection.prepareNext(new Script(sql)));
  const offLoop = await known(() => connection.prepareNextOffLoop(new Script(sql)));
  connection.principal = "own";
  // SQLite has words of its own for a function that is refused on the loop.
  const isRefused = typeof inline === "string" && typeof offLoop === "string";
  if (!isRefused) assert.deepEqual(offLoop, inline, sql.slice(0, 100));
}

function ownTable(): TemporaryConnection {
  const temporary = new TemporaryConnection();
  temporary.connection.exec(
    `create table ${OWN}(a); create table victim(a, b); create virtual table words using fts5(a);
    create virtual table boxes using rtree(id, x0, x1)`,
  );
  return temporary;
}

Deno.test(
  "Connection.prepareNextOffLoop() refuses what is refused on the loop",
  { ignore },
  async () => {
    using temporary = ownTable();
    const statements = [...ESCAPES.flatMap(({ statements }) => statements), ...HARMLESS];
    for (const statement of statements) {
      const sql = statement.replaceAll("{own}", OWN).replaceAll("{folder}", temporary.folder);
      await assertSame(temporary.connection, sql);
    }
  },
);

Deno.test("Connection.prepareNextOffLoop() allows what is allowed, and knows its nature", {
  ignore,
}, async () => {
  using temporary = ownTable();
  const { connection } = temporary;
  for (const [sql] of ALLOWED) {
    await assertSame(connection, sql);
    try {
      connection.exec(sql);
    } catch {
      // It takes parameters, or VACUUM needs an attached database.
    }
  }
  const calls = (count: number) => Array.from({ length: count }, () => "upper(a)").join();
  for (
    const sql of [
      ...[1, 40, 400].map((count) => `select ${calls(count)} from victim`),
      "select a, (select count(*) from victim) from victim",
      "delete from victim",
      "delete from victim where a = 1",
      "with x as (select a from victim) delete from victim where b in x",
      "select trim(a), replace(a, b, a), like(a, b) from victim",
      "select json_extract(a, b) from victim union all select instr(b, a) from victim",
    ]
  ) {
    await assertSame(connection, sql);
  }
});

Deno.test(
  "Connection.prepareNextOffLoop() does not take longer for what is asked again and again",
  { ignore },
  async () => {
    using temporary = ownTable();
    const { connection } = temporary;
    let asked = 0;
    connection.principal = "client";
    const views = Array.from(
      { length: 10 },
      (_, i) => `c${i + 1} as (select * from c${i} union all select * from c${i})`,
    );
    const sql = `with c0 as (select a from victim), ${views.join(", ")} select a from c10`;
    const hasOutdated = Object.getOwnPropertyDescriptor(connection, "hasOutdated")!;
    Object.defineProperty(connection, "hasOutdated", { get: () => asked++ < 0, set() {} });
    (await known(() => connection.prepareNext(new Script(sql))))!;
    const inline = asked;
    asked = 0;
    (await known(() => connection.prepareNextOffLoop(new Script(sql))))!;
    Object.defineProperty(connection, "hasOutdated", hasOutdated);
    connection.principal = "own";
    assert.ok(asked < 20 && inline > 2_000, `${asked} of ${inline}`);
  },
);
