import assert from "node:assert/strict";
import fc from "fast-check";
import { type ErrorCode, SkylineError } from "../../client/errors.ts";
import { decodeJson, examineJson, parseExact } from "../../client/json.ts";
import { WIRE_LIMITS } from "../../client/limits.ts";
import { Real, realText } from "../../client/values.ts";

const encoder = new TextEncoder();

function decode(text: string): unknown {
  return decodeJson(encoder.encode(text)).value;
}

function isError(code: ErrorCode): (error: unknown) => boolean {
  return (error) => error instanceof SkylineError && error.code === code;
}

Deno.test("decodeJson() gives what JSON.parse gives for numbers that lose nothing", () => {
  const value = fc.jsonValue({ noUnicodeString: false });
  fc.assert(fc.property(value, (value) => {
    const text = JSON.stringify(value);
    if (examineJson(encoder.encode(text)).hasOddNumbers) return;
    assert.deepEqual(decode(text), JSON.parse(text));
  }));
});

Deno.test("parseExact() gives what JSON.parse gives but for the numbers", () => {
  const value = fc.jsonValue({ noUnicodeString: false });
  const plain = (node: unknown): unknown => {
    if (node instanceof Real) return node.value;
    if (typeof node === "bigint") return Number(node);
    if (Array.isArray(node)) return node.map(plain);
    if (typeof node !== "object" || node === null) return node;
    return Object.fromEntries(Object.entries(node).map(([name, child]) => [name, plain(child)]));
  };
  fc.assert(fc.property(value, fc.constantFrom(undefined, 1, "\t"), (value, space) => {
    const text = JSON.stringify(value, null, space);
    assert.deepEqual(plain(parseExact(text)), JSON.parse(text));
  }));
});

Deno.test("decodeJson() keeps every integer of 64 bits", () => {
  const integer = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
  fc.assert(fc.property(integer, (integer) => {
    const [value] = decode(`[${integer}]`) as [number | bigint];
    assert.equal(BigInt(value), integer);
    const safe = BigInt(Number(integer)) === integer && Number.isSafeInteger(Number(integer));
    assert.equal(typeof value, safe ? "number" : "bigint");
  }));
});

Deno.test("decodeJson() tells every REAL from an INTEGER, however many digits it is written with", () => {
  const real = fc.double({ noNaN: true, noDefaultInfinity: true });
  fc.assert(fc.property(real, fc.integer({ min: 0, max: 60 }), (real, digits) => {
    for (const text of [realText(real), expanded(real, digits)]) {
      const [value] = decode(`[${text}]`) as [number | Real];
      const found = value instanceof Real ? value.value : value;
      assert.ok(Object.is(found, Number(text)), text);
      assert.equal(value instanceof Real, Number.isInteger(found), text);
    }
  }));
});

/** A decimal fraction near to an integer, where rounding takes it to that integer or not. */
function expanded(real: number, digits: number): string {
  const integer = BigInt(Math.trunc(real % 1e17)).toString();
  const fraction = (real < 1 ? "9" : "0").repeat(digits) + "5";
  return `${integer}.${fraction}`;
}

Deno.test("decodeJson() takes a REAL for one when it is rounded to an integer", () => {
  for (
    const text of [
      "0.99999999999999999999",
      "450359962737049.99",
      "562949953421312.95",
      "123456789.99999999999",
      "1.0",
      "-0.0",
      "1e2",
      "1E+2",
      "12.50e1",
      "100000000000000000000.0",
    ]
  ) {
    for (const frame of [text, `[${text}]`, `{"a": ${text} }`, `[1,\n${text}]`]) {
      const value = decode(frame);
      const found = value instanceof Real ? value : Object.values(value as object).at(-1);
      assert.deepEqual(found, new Real(Number(text)), frame);
    }
  }
});

Deno.test("decodeJson() gives an integer beyond int64 as a bigint beyond int64", () => {
  for (const text of ["9223372036854775808", "-9223372036854775809", "1".repeat(1_000_000)]) {
    const [value] = decode(`[${text}]`) as [bigint];
    assert.equal(typeof value, "bigint");
    assert.equal(BigInt.asIntN(64, value) === value, false);
  }
  for (const text of ["1" + "0".repeat(24), "-" + "9".repeat(25), "1" + "7".repeat(308)]) {
    assert.equal(Number((decode(`[${text}]`) as [bigint])[0]), Number(text));
  }
});

Deno.test("decodeJson() keeps strings of megabytes beside a number that asks for exactness", () => {
  for (const string of ["x".repeat(9_000_000), '"'.repeat(4_000_000), "\\".repeat(4_000_000)]) {
    const text = JSON.stringify({ string, number: 0 }).replace(":0}", ":9007199254740993}");
    assert.deepEqual(decode(text), { string, number: 9007199254740993n });
  }
});

Deno.test("decodeJson() keeps a byte order mark and NUL in a string", () => {
  assert.deepEqual(decode('["\ufeffa\\u0000"]'), ["\ufeffa\0"]);
  assert.throws(() => decode("\ufeff[]"), isError("INVALID_JSON"));
});

Deno.test("decodeJson() makes a member of the name __proto__, exactly parsed or not", () => {
  for (const number of ["1", "1.0"]) {
    const value = decode(`{"__proto__":{"a":${number}}}`) as object;
    assert.deepEqual(Object.keys(value), ["__proto__"]);
    assert.equal(Object.getPrototypeOf(value), Object.prototype);
  }
});

Deno.test("decodeJson() refuses what is not UTF-8 or not JSON", () => {
  assert.throws(() => decodeJson(Uint8Array.of(0x22, 0xff, 0x22)), isError("INVALID_JSON"));
  assert.throws(
    () => decodeJson(Uint8Array.of(0x22, 0xed, 0xa0, 0x80, 0x22)),
    isError("INVALID_JSON"),
  );
  for (
    const text of [
      "",
      "{",
      "[1,]",
      "{a:1}",
      "NaN",
      "01",
      '"\n"',
      "[1.0,]",
      "[1e999",
      "[12345678901234567890",
    ]
  ) {
    assert.throws(() => decode(text), isError("INVALID_JSON"), text);
  }
});

Deno.test("decodeJson() takes 64 levels of nesting and refuses one more", () => {
  const nested = (levels: number) => "[".repeat(levels) + "1.0" + "]".repeat(levels);
  decode(nested(WIRE_LIMITS.nestingMax));
  assert.throws(() => decode(nested(WIRE_LIMITS.nestingMax + 1)), isError("NESTED_TOO_DEEP"));
  decode(JSON.stringify(["[".repeat(100) + '"{\\' + "{".repeat(100)]));
  assert.throws(() => decode("[".repeat(1_000_000)), isError("NESTED_TOO_DEEP"));
});
