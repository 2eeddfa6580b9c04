import assert from "node:assert/strict";
import { SqliteError } from "../../daemon/sqlite/errors.ts";
import { Script } from "../../daemon/sqlite/script.ts";
import { TemporaryConnection } from "./temporary_connection.ts";

Deno.test("Script gives the SQL that was taken, and knows what is left", () => {
  const script = new Script("select 'ä'; select 2");
  assert.equal(script.at, 0);
  assert.equal(script.rest, "select 'ä'; select 2");
  const end = new TextEncoder().encode("select 'ä';").length;
  assert.equal(script.take(end), "select 'ä';");
  assert.deepEqual([script.at, script.isAtEnd, script.rest], [end, false, " select 2"]);
  assert.equal(script.take(script.bytes.length - 1), " select 2");
  assert.deepEqual([script.isAtEnd, script.rest], [true, ""]);
  assert.throws(() => new Script("select 1\0"), SqliteError);
});

Deno.test("Script.isBlank is as SQLite takes it: white space, semicolons and comments", () => {
  using temporary = new TemporaryConnection();
  const blank = [
    "",
    " \t\r\n\f",
    ";; ;",
    "-- é",
    "-- a\n ; -- b\r\n",
    "/* a; */",
    "/**/ /***/ /*/ */",
    "/* without an end",
    "/* *",
    "\ufeff",
  ];
  const others = ["select 1", "/* a */ x", "-- a\nx", "/ *", "-", "*/", "/*", "é", "; ; end"];
  for (const sql of [...blank, ...others]) {
    const isBlank = new Script(sql).isBlank;
    assert.equal(isBlank, blank.includes(sql), JSON.stringify(sql));
    let taken: boolean;
    try {
      const { statement, tail } = temporary.connection.prepare(sql);
      taken = statement === null && tail === "";
      statement?.finalize();
    } catch {
      taken = false;
    }
    assert.equal(taken, isBlank, `${JSON.stringify(sql)} by SQLite`);
  }
  assert.equal(new Script("\u00a0 \u2003").isBlank, true, "white space that is none in SQL");
});

/** Characters that `run` has encoded and decoded. */
function coded(run: () => void): number {
  const { encode } = TextEncoder.prototype, { decode } = TextDecoder.prototype;
  let count = 0;
  TextEncoder.prototype.encode = function (text) {
    count += text?.length ?? 0;
    return encode.call(this, text);
  };
  TextDecoder.prototype.decode = function (bytes, options) {
    count += bytes?.byteLength ?? 0;
    return decode.call(this, bytes, options);
  };
  try {
    run();
    return count;
  } finally {
    Object.assign(TextEncoder.prototype, { encode });
    Object.assign(TextDecoder.prototype, { decode });
  }
}

Deno.test("Connection.exec() codes a script's characters once, however many statements it has", () => {
  using temporary = new TemporaryConnection();
  const { connection } = temporary;
  connection.exec("create table t(a)");
  const sql = "insert into t values ('ä');".repeat(1_000);
  const count = coded(() => connection.exec(sql));
  assert.ok(count >= sql.length && count < 3 * sql.length, `${count} of ${sql.length}`);
  assert.deepEqual(connection.get("select count(*), min(a) from t"), [1_000, "ä"]);
});
