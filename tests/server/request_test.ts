import assert from "node:assert/strict";
import fc from "fast-check";
import { SkylineError } from "../../client/errors.ts";
import { decodeJson } from "../../client/json.ts";
import { Real } from "../../client/values.ts";
import { LIMITS } from "../../daemon/process/limits.ts";
import { readId, readRequest } from "../../daemon/server/request.ts";

const encoder = new TextEncoder();

function read(text: string) {
  return readRequest(decodeJson(encoder.encode(text)), 1_000);
}

Deno.test("readRequest() fills in what may be left out", () => {
  const text = `{"type":"ExecBatch","stmts":[{"sql":"select 1"}]}`;
  const request = read(text);
  assert.deepEqual(request, {
    type: "ExecBatch",
    db: undefined,
    write: {
      statements: [{ sql: "select 1", params: [], expect: undefined }],
      atomic: true,
      results: false,
      ifRev: undefined,
      deadline: 1_000 + LIMITS.requestTimeoutMs,
      session: undefined,
      key: undefined,
      units: text.length,
    },
  });
  assert.deepEqual(read(`{"type":"Ping","db":null}`), { type: "Ping", db: undefined });
});

Deno.test("readRequest() reads every field", () => {
  const text = `{"type":"ExecBatch","db":"a.db","tx":"atomic","results":true,"if_rev":7,` +
    `"timeout_ms":50,"client":"c","seq":9,"acked":8,"key":"order-1",` +
    `"stmts":[{"sql":"x","params":{"a":1.0,"b":[1, 2]},"expect":{"changes":0,"rows":2}}]}`;
  const request = read(text);
  assert.deepEqual(request, {
    type: "ExecBatch",
    db: "a.db",
    write: {
      statements: [{
        sql: "x",
        params: { a: new Real(1), b: "[1, 2]" },
        expect: { changes: 0, rows: 2 },
      }],
      atomic: true,
      results: true,
      ifRev: 7,
      deadline: 1_050,
      session: { client: "c", seq: 9, acked: 8 },
      key: "order-1",
      units: text.length,
    },
  });
});

Deno.test("readRequest() throws when a session or a key cannot be meant", () => {
  const write = `"type":"ExecBatch","stmts":[{"sql":"x"}]`;
  for (
    const fields of [
      `"client":"c"`,
      `"seq":1`,
      `"client":"c","seq":0`,
      `"client":"","seq":1`,
      `"client":7,"seq":1`,
      `"client":"${"c".repeat(65)}","seq":1`,
      `"client":"\\ud800","seq":1`,
      `"client":"c","seq":1.5`,
      `"client":"c","seq":5,"acked":5`,
      `"client":"c","seq":5,"acked":-1`,
      `"client":"c","seq":3000,"acked":951`,
      `"client":"c","seq":1,"tx":"none"`,
      `"key":"k","tx":"none"`,
      `"key":""`,
      `"key":["k"]`,
      `"key":"${"k".repeat(65)}"`,
    ]
  ) {
    assert.throws(() => read(`{${write},${fields}}`), { code: "INVALID_REQUEST" }, fields);
  }
  assert.ok(read(`{${write},"client":"c","seq":3000,"acked":952,"key":"k"}`));
  assert.throws(() => read(`{"type":"Bye"}`), { code: "INVALID_REQUEST" });
});

Deno.test("readRequest() takes whole numbers in whatever way they are written", () => {
  const request = read(`{"type":"Query","sql":"x","timeout_ms":1e3}`);
  assert.equal(request.type === "Query" && request.deadline, 2_000);
});

Deno.test("readId() gives the id before anything else is looked at", () => {
  const idOf = (text: string) => readId(decodeJson(encoder.encode(text)));
  assert.equal(idOf(`{"id":"x","type":7,"stmts":"nonsense"}`), "x");
  assert.equal(idOf(`{"id":9007199254740991}`), Number.MAX_SAFE_INTEGER);
  assert.equal(idOf(`{"id":null}`), undefined);
  for (const text of [`[]`, `"x"`, `null`, `{"id":1.5}`, `{"id":9007199254740993}`, `{"id":{}}`]) {
    assert.throws(() => idOf(text), { code: "INVALID_REQUEST" }, text);
  }
});

Deno.test("readRequest() throws nothing but a SkylineError, whatever JSON it is given", () => {
  const field = fc.oneof(
    fc.constantFrom("Ping", "ExecBatch", "Query", "Status", "atomic", "none", "", "select ?"),
    fc.jsonValue({ maxDepth: 3 }),
  );
  const statement = fc.record({ sql: field, params: field, expect: field }, { requiredKeys: [] });
  const request = fc.record({
    type: field,
    id: field,
    db: field,
    stmts: fc.oneof(field, fc.array(fc.oneof(statement, field), { maxLength: 3 })),
    tx: field,
    sql: field,
    params: field,
    results: field,
    if_rev: field,
    timeout_ms: field,
  }, { requiredKeys: ["type"] });
  fc.assert(
    fc.property(request, (value) => {
      const text = JSON.stringify(value);
      try {
        readId(decodeJson(encoder.encode(text)));
        read(text);
      } catch (error) {
        assert.ok(error instanceof SkylineError, `${text}: ${error}`);
      }
    }),
    { numRuns: 2_000 },
  );
});
