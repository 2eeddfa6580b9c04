import assert from "node:assert/strict";
import fc from "fast-check";
import { SkylineError } from "../../client/errors.ts";
import { WIRE_LIMITS } from "../../client/limits.ts";
import { Real } from "../../client/values.ts";
import { LIMITS } from "../../daemon/process/limits.ts";
import { decodeRequest, readLongRequest, readRequest } from "../../daemon/server/request.ts";
import {
  type Reading,
  readLongRequestJson,
  readRequestJson,
} from "../../daemon/server/request_reader.ts";

/** What a request comes to, or the code of its error. */
function outcomeOf(value: unknown, text: string): unknown {
  try {
    return readRequest({ value, text }, 0);
  } catch (error) {
    assert.ok(error instanceof SkylineError, `${text}: ${error}`);
    return error.code;
  }
}

/** Parameters as they are bound; read exactly. */
function parametersOf(params: string): unknown {
  const text = `{"type":"Query","sql":"x","params":${params}}`;
  const request = outcomeOf(readRequestJson(text), text);
  return typeof request === "object" ? (request as { params: unknown }).params : request;
}

/** Statements that differ from one another, and odd ones, in all ways of writing them. */
const anyRequest = (() => {
  const value = fc.jsonValue({ noUnicodeString: false, maxDepth: 3 });
  const special = fc.constantFrom<unknown>(
    ...[{ $blob: "AAAA" }, { $blob: "A" }, { $blob: "", a: 1 }, { a: 1, $real: 2 }, { $real: 1 }],
    ...[{ $real: "Infinity" }, { $text: "" }, { $blob: [1] }, { "__proto__x": 1 }, "\ud800"],
    ...[["\ud83d\ude00"], ["\ude00\ud83d"], { a: "\ud83d" }, { "\ude00": 1 }, 2 ** 60, -0],
  );
  const parameters = fc.oneof(
    fc.array(fc.oneof(value, special), { maxLength: 4 }),
    fc.dictionary(fc.constantFrom("a", "b", "__proto__", "é"), fc.oneof(value, special)),
    value,
  );
  const sql = fc.constantFrom<unknown>("select ?", "select ?", 'a"b', "", null, 1, ["x"]);
  const expect = fc.constantFrom<unknown>({ rows: 1 }, { changes: "1" }, {}, [], null, 3);
  const statement = fc.record({ sql, params: parameters, expect, more: value }, {
    requiredKeys: ["sql"],
  });
  return fc.record({
    type: fc.constantFrom<unknown>("ExecBatch", "ExecBatch", "Query", "Ping", 1, ["Ping"], "x"),
    id: fc.oneof(fc.integer(), fc.string(), value),
    stmts: fc.oneof(fc.array(fc.oneof(statement, statement, value), { maxLength: 3 }), value),
    sql,
    params: parameters,
    timeout_ms: fc.oneof(fc.integer({ min: -1, max: 90_000_000 }), value),
    tx: fc.constantFrom<unknown>("atomic", "none", {}, undefined),
    more: value,
  }, { requiredKeys: ["type"] });
})();

Deno.test("readRequestJson() reads the requests that JSON.parse reads", () => {
  const space = fc.constantFrom(undefined, 1, "\t");
  fc.assert(
    fc.property(anyRequest, space, (value, space) => {
      // They differ for what is no small integer.
      const small = (_: string, value: unknown) =>
        typeof value === "number" ? Math.trunc(value % 1e9) : value;
      const text = JSON.stringify(value, small, space);
      const exactly = outcomeOf(readRequestJson(text), text);
      assert.deepEqual(outcomeOf(JSON.parse(text), text), exactly, text);
    }),
    { numRuns: 2_000 },
  );
});

/** What is read, and how often others could be served meanwhile. */
function inPieces<T>(reading: Reading<T>): { value: T; pauses: number } {
  for (let pauses = 0;; pauses++) {
    const { done, value } = reading.next();
    if (done) return { value, pauses };
  }
}

Deno.test("readLongRequestJson() reads in pieces of any length what readRequestJson() reads at once", () => {
  const space = fc.constantFrom(undefined, 1);
  const pieceUnits = fc.integer({ min: 0, max: 40 });
  fc.assert(
    fc.property(anyRequest, space, pieceUnits, (value, space, pieceUnits) => {
      const text = JSON.stringify(value, undefined, space);
      const { value: read } = inPieces(readLongRequestJson(text, pieceUnits));
      assert.deepEqual(read, readRequestJson(text));
    }),
  );
});

/** Nearly a megabyte of one part. */
const much = (part: string) => Array(Math.floor(900_000 / (part.length + 1))).fill(part).join(",");

Deno.test("readLongRequest() lets others go on within whatever is long", () => {
  const statement = (more: string) => `{"type":"ExecBatch","id":7,"stmts":[{"sql":"x",${more}}]}`;
  const texts = [
    ...["[]", "{}", '{"$blob":""}', '{"a":[1.0]}', '"a"', "1e1"].flatMap((part) => [
      statement(`"params":[[${much(part)}]]`),
      statement(`"params":[${much(part)}]`),
      `{"type":"Ping","id":7,"unknown":[${much(part)}]}`,
      `{"type":"Ping","id":7,${much(`"unknown":${part}`)}}`,
    ]),
    ...['"$blob":0', '"$blob":[[]]', '"a":{}'].flatMap((part) => [
      statement(`"params":[{${much(part)}}]`),
      statement(`"params":{${much(part)}}`),
      statement(`"expect":{${much(part)}}`),
    ]),
    ...['{"sql":""}', "null", '{"sql":"x","params":[1.0,{"$blob":""}]}', "[]"].map((part) =>
      `{"type":"ExecBatch","id":7,"stmts":[${much(part)}]}`
    ),
  ];
  for (const text of texts) {
    let id: unknown;
    const body = new TextEncoder().encode(text.replace("{", `{"a":1e1,`));
    // Numbers that may be inexact have all of them read by the daemon's own reader.
    const reading = readLongRequest(body.slice(), 0, (read) => id = read);
    let outcome: unknown, pauses = 0;
    try {
      for (let next = reading.next(); !next.done; next = reading.next()) pauses++;
      outcome = "read";
    } catch (error) {
      outcome = (error as SkylineError).code;
    }
    const shown = text.slice(0, 90);
    assert.equal(id, 7, `the id is known whatever follows: ${shown}`);
    // A piece each of the first look and of reading.
    assert.ok(pauses >= 2 * Math.floor(text.length / LIMITS.longRequest.pieceUnits), shown);
    const atOnce = outcomeOf(readRequestJson(text), text);
    assert.equal(outcome, typeof atOnce === "string" ? atOnce : "read", shown);
  }
});

Deno.test("readRequestJson() refuses what JSON.parse refuses, and nothing else", () => {
  const pieces = [
    ...['"', "\\", "{", "}", "[", "]", ",", ":", "1", "0", "-", ".", "e", "E+", " ", "\n", "\t"],
    ...["\r", "\v", "\u00a0", "\0", "null", "tru", "true", "false", '"a"', '"\\u00e9"', "\\u12"],
    ...['"\\x"', "\u2028", '"\\ud800"', '"stmts":[', '"params":', '"$blob":', "NaN", "é", "\x7f"],
  ];
  const change = fc.tuple(fc.nat(400), fc.nat(6), fc.constantFrom("", ...pieces));
  const check = (text: string) => {
    let isJson = true;
    try {
      JSON.parse(text);
    } catch {
      isJson = false;
    }
    if (isJson) return void readRequestJson(text);
    assert.throws(() => readRequestJson(text), { code: "INVALID_JSON" }, text);
  };
  fc.assert(
    fc.property(anyRequest, fc.array(change, { maxLength: 3 }), (value, changes) => {
      let text = JSON.stringify(value);
      for (const [at, cut, piece] of changes) {
        text = text.slice(0, at) + piece + text.slice(at + cut);
      }
      check(text);
    }),
    { numRuns: 4_000 },
  );
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...pieces), { maxLength: 6 }), (some) => {
      check(some.join(""));
      check(`{"params":[${some.join("")}]}`);
      check(`{"x":[${some.join("")}]}`);
    }),
    { numRuns: 4_000 },
  );
});

Deno.test("readRequestJson() binds what is nested as its source, and values exactly", () => {
  const nested = '{ "b" : "}\\"", "c":[1.0, 9007199254740993, 1e999 ] }';
  assert.deepEqual(parametersOf(`[${nested}, [ ], [1,{"$blob":""}], 1.0, 9007199254740993]`), [
    nested,
    "[ ]",
    '[1,{"$blob":""}]',
    new Real(1),
    9007199254740993n,
  ]);
  assert.deepEqual(parametersOf('{"a":{"\\u0024blob":"AAAA"},"\\u0062":{"$real":1}}'), {
    a: new Uint8Array(3),
    b: new Real(1),
  });
  assert.deepEqual(parametersOf('[{"$blob":7,"$blob":"AAAA"}]'), [new Uint8Array(3)]);
  assert.deepEqual(parametersOf('[["\\ud83d\\ude00"]]'), ['["\\ud83d\\ude00"]']);
  for (
    const halved of [
      "\\ud83d",
      "\\ude00",
      "\\ud83d\\ud83d\\ude00",
      "\\ud83dx\\ude00",
      "\\ude00\\ud83d",
    ]
  ) {
    assert.equal(parametersOf(`[["${halved}"]]`), "INVALID_VALUE", halved);
    assert.equal(parametersOf(`[{"${halved}":1}]`), "INVALID_VALUE", halved);
  }
  for (const odd of ['{"$blob":"","__proto__":1}', '{"__proto__":1,"$real":1}', '{"$real":[1]}']) {
    assert.equal(parametersOf(`[${odd}]`), "INVALID_VALUE", odd);
  }
});

Deno.test("readRequest() takes an integer of any length as $real, up to the largest REAL", () => {
  const real = (digits: string) => parametersOf(`[{"$real":${digits}}]`);
  for (const digits of ["1" + "0".repeat(24), "-" + "9".repeat(25), "1" + "0".repeat(308)]) {
    assert.deepEqual(real(digits), [new Real(Number(digits))], digits);
  }
  for (const zeros of [309, 400, 1_000_000]) {
    assert.equal(real("1" + "0".repeat(zeros)), "INVALID_VALUE", `${zeros} zeros`);
    assert.equal(real("-1" + "0".repeat(zeros)), "INVALID_VALUE", `${zeros} zeros`);
  }
});

Deno.test("decodeRequest() counts no further than statements and parameters may be", () => {
  const { statementsMax, parametersMax } = WIRE_LIMITS;
  const read = (text: string) => {
    const decoded = decodeRequest(new TextEncoder().encode(text));
    return readRequest(decoded, 0);
  };
  for (const number of ["1", "1.0"]) {
    const statements = (count: number) =>
      `{"type":"ExecBatch","stmts":[${
        Array(count).fill(`{"sql":"x","params":[${number}]}`).join()
      }]}`;
    const request = read(statements(statementsMax));
    assert.equal(request.type === "ExecBatch" && request.write.statements.length, statementsMax);
    assert.throws(() => read(statements(statementsMax + 1)), { code: "INVALID_REQUEST" });
    const query = (params: string) => `{"type":"Query","sql":"x","params":${params}}`;
    const array = (count: number) => query(`[${Array(count).fill(number)}]`);
    const named = (count: number) =>
      query(`{${Array.from({ length: count }, (_, i) => `"p${i}":${number}`)}}`);
    for (const write of [array, named]) {
      const { params } = read(write(parametersMax)) as { params: object };
      assert.equal(Object.keys(params).length, parametersMax);
      assert.throws(() => read(write(parametersMax + 1)), { code: "INVALID_REQUEST" });
      assert.throws(() => read(write(150_000)), { code: "INVALID_REQUEST" });
    }
  }
});
