import assert from "node:assert/strict";
import fc from "fast-check";
import { decodeJson } from "../../client/json.ts";
import {
  blobText,
  bytesOfBase64,
  type Integers,
  json,
  parameterText,
  rawTextText,
  real,
  realText,
  type SqlParameter,
  type SqlValue,
  valueOfJson,
} from "../../client/values.ts";

/** The value after it went to the daemon as a parameter and came back in a row. */
function sent(value: SqlParameter, integers: Integers = "auto"): SqlValue {
  return read(parameterText(value), integers);
}

function read(text: string, integers: Integers = "auto"): SqlValue {
  const { value } = decodeJson(new TextEncoder().encode(`[${text}]`));
  return valueOfJson((value as unknown[])[0], integers);
}

Deno.test("parameterText() and valueOfJson() keep every value", () => {
  const value = fc.oneof(
    fc.constant(null),
    fc.string({ unit: "binary" }),
    fc.double({ noNaN: true }),
    fc.integer(),
    fc.uint8Array(),
    fc.bigInt({ min: 2n ** 53n, max: 2n ** 63n - 1n }),
    fc.bigInt({ min: -(2n ** 63n), max: -(2n ** 53n) }),
  );
  fc.assert(fc.property(value, (value) => assert.deepStrictEqual(sent(value), value)));
});

Deno.test("valueOfJson() gives every INTEGER as bigint, and no REAL, when told so", () => {
  fc.assert(fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), (integer) => {
    assert.equal(sent(integer, "bigint"), integer);
  }));
  fc.assert(fc.property(fc.double({ noNaN: true }), (number) => {
    assert.equal(sent(real(number), "bigint"), number);
  }));
});

Deno.test("parameterText() writes each kind so that SQLite's type is kept", () => {
  const cases: [SqlParameter, string][] = [
    [null, "null"],
    [true, "1"],
    [false, "0"],
    [1, "1"],
    [-0, "-0.0"],
    [1.5, "1.5"],
    [2 ** 53, "9007199254740992.0"],
    [1e21, "1e+21"],
    [real(1), "1.0"],
    [real(Infinity), '{"$real":"Infinity"}'],
    [-Infinity, '{"$real":"-Infinity"}'],
    [2n ** 63n - 1n, "9223372036854775807"],
    [-(2n ** 63n), "-9223372036854775808"],
    ['a"\0', '"a\\"\\u0000"'],
    [json({ a: [1] }), '"{\\"a\\":[1]}"'],
    [new Uint8Array(0), '{"$blob":""}'],
    [Uint8Array.of(255), '{"$blob":"/w=="}'],
    [Uint8Array.of(1, 2, 3).subarray(1, 2), '{"$blob":"Ag=="}'],
  ];
  for (const [value, text] of cases) assert.equal(parameterText(value), text);
});

Deno.test("parameterText() refuses what SQLite has no value for", () => {
  for (const value of [2n ** 63n, -(2n ** 63n) - 1n, NaN]) {
    assert.throws(() => parameterText(value), RangeError);
  }
  assert.throws(() => real(NaN), RangeError);
  const values = [
    undefined,
    {},
    [1],
    new Date(),
    Symbol(),
    () => 1,
    "\ud800",
    new SharedArrayBuffer(1),
  ];
  for (const value of values) {
    assert.throws(() => parameterText(value as SqlParameter), TypeError);
  }
  for (const value of [undefined, () => 1]) assert.throws(() => json(value), TypeError);
});

Deno.test("realText() is read back as the same REAL", () => {
  fc.assert(fc.property(fc.double({ noNaN: true }), (number) => {
    assert.ok(Object.is(read(realText(number)), number));
    assert.equal(/^-?\d+$/.test(realText(number)), false);
  }));
});

Deno.test("valueOfJson() gives the bytes of a TEXT that is not UTF-8", () => {
  assert.deepEqual(read(rawTextText(Uint8Array.of(0xff))), Uint8Array.of(0xff));
});

Deno.test("bytesOfBase64() gives memory of its own", () => {
  const small = bytesOfBase64("AQID")!;
  assert.deepEqual([small.byteLength, small.buffer.byteLength], [3, 3]);
  assert.deepEqual(
    read(blobText(new Uint8Array(100_000).fill(7))),
    new Uint8Array(100_000).fill(7),
  );
});

Deno.test("bytesOfBase64() refuses what is not padded base64", () => {
  for (const text of ["a", "ab", "abc", "====", "a===", "ab=c", "ab c", "ab-_", "é===", 1, null]) {
    assert.equal(bytesOfBase64(text), null, String(text));
  }
});
