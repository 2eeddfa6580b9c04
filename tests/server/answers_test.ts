import assert from "node:assert/strict";
import { SkylineError } from "../../client/errors.ts";
import { FrameDecoder } from "../../client/frame.ts";
import { Blocks } from "../../daemon/process/blocks.ts";
import { LIMITS } from "../../daemon/process/limits.ts";
import { textOf } from "../process/blocks_text.ts";
import { WIRE_LIMITS } from "../../client/limits.ts";
import {
  errorAnswer,
  fieldsAnswer,
  fitting,
  framesOf,
  queryAnswer,
  writeAnswer,
} from "../../daemon/server/answers.ts";

Deno.test("answers are JSON with their id first, where there is one", () => {
  const done = { rev: 7, rowsAffected: 2 };
  assert.equal(writeAnswer(undefined, done), `{"status":"ok","rev":7,"rows_affected":2}`);
  assert.equal(
    writeAnswer('a"b', { ...done, results: "[]" }),
    `{"id":"a\\"b","status":"ok","rev":7,"rows_affected":2,"results":[]}`,
  );
  assert.equal(
    queryAnswer(0, { rev: 1, columns: '["a"]', rows: "[[9007199254740993]]" }),
    `{"id":0,"status":"ok","rev":1,"columns":["a"],"rows":[[9007199254740993]]}`,
  );
  assert.equal(fieldsAnswer(undefined), `{"status":"ok"}`);
  assert.equal(fieldsAnswer(1, { x: 1, y: undefined }), `{"id":1,"status":"ok","x":1}`);
});

Deno.test("errorAnswer() leaves out what is not known, and is well-formed whatever the message", () => {
  const answer = errorAnswer(
    1,
    new SkylineError("SQL_ERROR", "half \ud800 a pair", { statement: 0 }),
  );
  assert.deepEqual(JSON.parse(answer), {
    id: 1,
    status: "error",
    message: "half \ufffd a pair",
    code: "SQL_ERROR",
    statement: 0,
    retry: "no",
  });
});

Deno.test("fitting() passes on what is at most a frame, and puts an error in the place of more", () => {
  for (const letter of ["x", "é", "\u20ac"]) {
    const bytes = new TextEncoder().encode(letter).length;
    const most = letter.repeat(WIRE_LIMITS.frameBytesMax / bytes);
    const blocks = fitting(1, most) as Blocks;
    assert.ok(blocks.bytes <= WIRE_LIMITS.frameBytesMax);
    assert.equal(textOf(blocks), most);
    const { id, code } = JSON.parse(fitting(1, most + letter) as string);
    assert.deepEqual([id, code], [1, "RESULT_TOO_LARGE"]);
  }
  const short = "x".repeat(LIMITS.shortUnitsMax);
  assert.equal(fitting(1, short), short, "a short one stays a string");
  assert.equal(Blocks.held, 0);
});

Deno.test("queryAnswer() is the same text whether its rows are in blocks", () => {
  const rows = `[[${"1".repeat(300_000)}]]`;
  const inBlocks = new Blocks();
  inBlocks.add(rows);
  const answer = queryAnswer("é", { rev: 1, columns: '["a"]', rows: inBlocks }) as Blocks;
  assert.equal(textOf(answer), queryAnswer("é", { rev: 1, columns: '["a"]', rows }));
});

Deno.test("framesOf() puts texts into frames that can be read back", () => {
  const texts = ["{}", `{"a":"é😀\ufeff"}`, "x".repeat(70_000), ""];
  const decoder = new FrameDecoder();
  decoder.push(framesOf(texts));
  const text = new TextDecoder("utf-8", { ignoreBOM: true });
  for (const each of texts) assert.equal(text.decode(decoder.take()!), each);
  assert.equal(decoder.take(), null);
});
