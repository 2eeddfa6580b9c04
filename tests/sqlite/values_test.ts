import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import fc from "fast-check";
import { Real } from "../../client/values.ts";
import { Blocks } from "../../daemon/process/blocks.ts";
import { sqlite } from "../../daemon/sqlite/ffi.ts";
import type { BindValue } from "../../daemon/sqlite/values.ts";
import { TemporaryConnection } from "./temporary_connection.ts";

/** Binds one value and gives `typeof`, and the value as JSON text. */
function binder(
  temporary: TemporaryConnection,
): (value: BindValue) => [kind: string, json: string] {
  const statement = temporary.connection.prepare("select typeof(?1), ?1", { persistent: true })
    .statement!;
  temporary.connection.cache("", statement); // finalized with the connection
  return (value) => {
    statement.bind([value]);
    try {
      assert.ok(statement.step());
      const [, kind, json] = /^\["(\w+)",(.*)\]$/s.exec(statement.rowJson()!)!;
      return [kind, json];
    } finally {
      statement.reset();
    }
  };
}

Deno.test("bindValue() and columnJson() keep kind and value at every edge", () => {
  using temporary = new TemporaryConnection();
  const bind = binder(temporary);
  const cases: [value: BindValue, kind: string, json: string][] = [
    [null, "null", "null"],
    [true, "integer", "1"],
    [false, "integer", "0"],
    [0, "integer", "0"],
    [-0, "integer", "0"],
    [2 ** 31 - 1, "integer", "2147483647"],
    [2 ** 31, "integer", "2147483648"],
    [-(2 ** 31), "integer", "-2147483648"],
    [-(2 ** 31) - 1, "integer", "-2147483649"],
    [Number.MAX_SAFE_INTEGER, "integer", "9007199254740991"],
    [2n ** 63n - 1n, "integer", "9223372036854775807"],
    [-(2n ** 63n), "integer", "-9223372036854775808"],
    [0.5, "real", "0.5"],
    [new Real(1), "real", "1.0"],
    [new Real(-0), "real", "-0.0"],
    [new Real(Infinity), "real", '{"$real":"Infinity"}'],
    [new Real(1e300), "real", "1e+300"],
    ["", "text", '""'],
    ["a\0b", "text", '"a\\u0000b"'],
    ["\ufeffx", "text", '"\ufeffx"'],
    ["😀", "text", '"😀"'],
    [new Uint8Array(), "blob", '{"$blob":""}'],
    [new Uint8Array([0, 255]), "blob", '{"$blob":"AP8="}'],
  ];
  for (const [value, kind, json] of cases) {
    assert.deepEqual(bind(value), [kind, json], String(value));
  }
});

Deno.test("bindValue() and columnJson() work on both sides of the scratch buffer's size", () => {
  using temporary = new TemporaryConnection();
  const bind = binder(temporary);
  for (const length of [21_844, 21_845, 21_846, 65_535, 65_536, 65_537, 200_000]) {
    for (const unit of ["x", "é", "€"]) {
      const text = unit.repeat(length);
      assert.deepEqual(bind(text), ["text", JSON.stringify(text)], `${length} × ${unit}`);
    }
    const bytes = new Uint8Array(length).fill(7);
    assert.deepEqual(bind(bytes), ["blob", `{"$blob":"${Buffer.from(bytes).toString("base64")}"}`]);
  }
});

Deno.test("columnJson() gives TEXT that is not valid UTF-8 as its bytes", () => {
  using temporary = new TemporaryConnection();
  const { connection } = temporary;
  assert.deepEqual(connection.get("select cast(x'61ff' as text)"), [{ $text: "Yf8=" }]);
  assert.deepEqual(connection.get("select cast(x'eda080' as text)"), [{ $text: "7aCA" }]);
  assert.deepEqual(connection.get("select cast(x'c3a9' as text)"), ["é"]);
});

Deno.test("bindValue() and columnJson() carry any value there and back", () => {
  using temporary = new TemporaryConnection();
  const bind = binder(temporary);
  const integer = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
  fc.assert(fc.property(integer, (value) => {
    assert.deepEqual(bind(value), ["integer", String(value)]);
  }));
  fc.assert(fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (value) => {
    const [kind, json] = bind(new Real(value));
    assert.equal(kind, "real");
    assert.ok(Object.is(JSON.parse(json), value), `${value} → ${json}`);
    assert.match(json, /[.e]/);
  }));
  fc.assert(fc.property(fc.string({ unit: "binary" }), (value) => {
    assert.deepEqual(bind(value), ["text", JSON.stringify(value)]);
  }));
  fc.assert(fc.property(fc.uint8Array(), (value) => {
    const [, json] = bind(new Uint8Array(value));
    assert.deepEqual(Buffer.from(JSON.parse(json).$blob, "base64"), Buffer.from(value));
  }));
});

Deno.test("A long value that there is no memory for is no answer: the next step fails", () => {
  using temporary = new TemporaryConnection();
  const { connection } = temporary;
  const statement = connection.prepare("select cast(zeroblob(1000000) as text)").statement!;
  const blocks = new Blocks();
  assert.ok(statement.step());
  const bytesMax = sqlite().sqlite3_hard_heap_limit64!(1n);
  try {
    statement.addRow(blocks);
  } finally {
    sqlite().sqlite3_hard_heap_limit64!(bytesMax);
  }
  assert.throws(() => statement.step(), { codeName: "SQLITE_NOMEM" });
  blocks.release();
  statement.finalize();
});
