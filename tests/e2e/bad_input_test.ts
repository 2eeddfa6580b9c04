import assert from "node:assert/strict";
import { encodeFrame } from "../../client/frame.ts";
import { type DaemonCase, daemonTest } from "./daemon_case.ts";

const encoder = new TextEncoder();

/** Sends one frame of these bytes, and checks that it gets this error and that the next request is served. */
async function refuses(
  { client }: DaemonCase,
  body: string | Uint8Array,
  expected: Record<string, unknown>,
): Promise<void> {
  client.sendBytes(typeof body === "string" ? encodeFrame(body) : frameOf(body));
  const answer = await client.next();
  const shown = typeof body === "string" ? body.slice(0, 200) : String(body.subarray(0, 40));
  assert.ok(answer !== null, `an answer to ${shown}`);
  for (const [name, value] of Object.entries<unknown>({ status: "error", ...expected })) {
    if (value instanceof RegExp) assert.match(answer[name], value, shown);
    else assert.deepEqual(answer[name], value, `${shown} → ${JSON.stringify(answer)}`);
  }
  assert.equal(typeof answer.message, "string");
  assert.ok(["safe", "unknown", "no"].includes(answer.retry), JSON.stringify(answer));
  const next = await client.ask({ type: "Ping" });
  assert.equal(next.status, "ok", "the next request is served");
}

function frameOf(body: Uint8Array): Uint8Array {
  const frame = new Uint8Array(4 + body.length);
  new DataView(frame.buffer).setUint32(0, body.length, true);
  frame.set(body, 4);
  return frame;
}

daemonTest("Session answers FRAME_EMPTY and goes on when a frame has length 0", async (it) => {
  await refuses(it, new Uint8Array(0), { code: "FRAME_EMPTY", retry: "no" });
});

daemonTest(
  "Session answers FRAME_TOO_LARGE and closes when a length is over 10 MiB",
  async (it) => {
    await Promise.all([0xffffffff, 0x80000000, 10 * 1024 * 1024 + 1].map(async (length) => {
      const client = await it.open();
      const prefix = new Uint8Array(4);
      new DataView(prefix.buffer).setUint32(0, length, true);
      client.sendBytes(prefix);
      assert.equal((await client.next())?.code, "FRAME_TOO_LARGE", `of ${length}`);
      assert.equal(await client.next(), null);
      assert.ok(client.closed, "and is closed");
    }));
  },
);

daemonTest("Session answers those before an oversized frame first", async (it) => {
  const { client } = it;
  client.send({ type: "ExecBatch", stmts: [{ sql: "create table t(a)" }] });
  client.sendBytes(new Uint8Array([0xff, 0xff, 0xff, 0xff, 1, 2, 3]));
  const first = await client.next();
  const second = await client.next();
  const codes = [first, second].map((answer) => answer?.code ?? answer?.status).sort();
  assert.deepEqual(codes, ["FRAME_TOO_LARGE", "ok"], JSON.stringify([first, second]));
  assert.equal(first?.status, "ok", "in the order of the requests");
});

daemonTest("Session serves a frame of exactly 10 MiB", async ({ client }) => {
  const size = 10 * 1024 * 1024;
  const start = `{"type":"Ping","x":"`;
  const text = start + "x".repeat(size - start.length - 2) + `"}`;
  assert.equal(text.length, size);
  client.sendText(text);
  assert.equal((await client.next())?.status, "ok");
});

daemonTest("Session refuses what is not well-formed UTF-8 or JSON", async (it) => {
  const invalid = { code: "INVALID_JSON" };
  await refuses(it, new Uint8Array([0x22, 0xff, 0x22]), invalid);
  await refuses(it, new Uint8Array([0x22, 0xc3, 0x22]), invalid);
  // Half a surrogate pair written as if it were a character of UTF-8.
  await refuses(it, new Uint8Array([0x22, 0xed, 0xa0, 0x80, 0x22]), invalid);
  // Longer than necessary: a slash in two bytes.
  await refuses(it, new Uint8Array([0x22, 0xc0, 0xaf, 0x22]), invalid);
  for (
    const text of ["{", "nonsense", '{"type":}', '{"type":"Ping"} {}', '{"type":"Ping",}', "\0"]
  ) {
    await refuses(it, text, invalid);
  }
  await refuses(it, '\ufeff{"type":"Ping"}', invalid);
  await refuses(it, '{"type":"ExecBatch","stmts":[{"sql":"select ?","params":[01]}]}', invalid);
  await refuses(it, '{"type":"ExecBatch","stmts":[{"sql":"select ?","params":[1e]}]}', invalid);
  await refuses(it, '{"type":"ExecBatch","stmts":[{"sql":"select ?","params":[NaN]}]}', invalid);
});

daemonTest("Session refuses a lone surrogate wherever text is", async (it) => {
  const half = "\\ud800";
  const statement = (sql: string, params: string) =>
    `{"type":"ExecBatch","stmts":[{"sql":"${sql}","params":${params}}]}`;
  await refuses(it, statement("select ?", `["${half}"]`), { code: "INVALID_VALUE" });
  await refuses(it, statement("select ?", `[{"a":"${half}"}]`), { code: "INVALID_VALUE" });
  await refuses(it, statement("select ?", `[["\\udc00x"]]`), { code: "INVALID_VALUE" });
  await refuses(it, statement("select ?", `[{"${half}":1}]`), { code: "INVALID_VALUE" });
  await refuses(it, statement(`select '${half}'`, "[]"), { code: "INVALID_REQUEST" });
  await refuses(it, `{"type":"Ping","id":"${half}"}`, { code: "INVALID_REQUEST" });
  await refuses(it, `{"type":"Ping","db":"${half}"}`, { code: "UNKNOWN_DATABASE" });
  await refuses(it, `{"type":"${half}"}`, { code: "UNKNOWN_REQUEST" });
  await refuses(it, statement("select :a", `{"${half}":1}`), { status: "error" });
});

daemonTest(
  "Session refuses JSON a million deep at once, also when it is not closed",
  async (it) => {
    const depth = 1_000_000;
    const deep = { code: "NESTED_TOO_DEEP" };
    const started = performance.now();
    await refuses(it, "[".repeat(depth), deep);
    await refuses(it, '{"a":'.repeat(depth) + "1" + "}".repeat(depth), deep);
    await refuses(it, `{"type":"Ping","x":${"[".repeat(depth)}${"]".repeat(depth)}}`, deep);
    assert.ok(performance.now() - started < 1_000, "without parsing it");
  },
);

daemonTest("Session takes nesting of 64 and refuses 65", async (it) => {
  const nested = (depth: number) =>
    `{"type":"Ping","x":${"[".repeat(depth - 1)}${"]".repeat(depth - 1)}}`;
  it.client.sendText(nested(64));
  assert.equal((await it.client.next())?.status, "ok");
  await refuses(it, nested(65), { code: "NESTED_TOO_DEEP" });
  // Brackets inside of a text are none.
  it.client.sendText(`{"type":"Ping","x":"${'[{\\"'.repeat(100)}"}`);
  assert.equal((await it.client.next())?.status, "ok");
});

daemonTest("Session answers UNKNOWN_REQUEST for a type that it does not know", async (it) => {
  await refuses(it, `{"type":"Nonsense","id":7}`, { code: "UNKNOWN_REQUEST", id: 7 });
  await refuses(it, `{"type":"ping"}`, { code: "UNKNOWN_REQUEST" });
  await refuses(it, `{"type":""}`, { code: "UNKNOWN_REQUEST" });
  await refuses(it, `{"type":"constructor"}`, { code: "UNKNOWN_REQUEST" });
  await refuses(it, `{"type":"${"x".repeat(100_000)}"}`, { code: "UNKNOWN_REQUEST" });
});

daemonTest("Session ignores fields that it does not know", async ({ client }) => {
  client.sendText(`{"type":"Ping","nonsense":{"a":[1]},"__proto__":{"type":"Shutdown"},"0":null}`);
  assert.equal((await client.next())?.status, "ok");
});

daemonTest("Session answers INVALID_REQUEST for a wrong type in any field", async (it) => {
  const values = ["null", "true", "1", "1.5", "-1", '"x"', "[]", "[1]", "{}", '{"a":1}', "1e300"];
  const statement = '"stmts":[{"sql":"create table if not exists t(a)"}]';
  const fields: [name: string, request: (value: string) => string, taken: RegExp][] = [
    ["request", (value) => value, /^$/],
    ["type", (value) => `{"type":${value}}`, /^"x"$/],
    ["id", (value) => `{"type":"Ping","id":${value}}`, /^(null|1|-1|"x")$/],
    ["db", (value) => `{"type":"Ping","db":${value}}`, /^(null|"x")$/],
    ["stmts", (value) => `{"type":"ExecBatch","stmts":${value}}`, /^$/],
    ["stmts[0]", (value) => `{"type":"ExecBatch","stmts":[${value}]}`, /^$/],
    ["stmts[0].sql", (value) => `{"type":"ExecBatch","stmts":[{"sql":${value}}]}`, /^"x"$/],
    [
      "stmts[0].params",
      (value) => `{"type":"ExecBatch","stmts":[{"sql":"select 1","params":${value}}]}`,
      /^(null|[[{].*)$/,
    ],
    [
      "stmts[0].expect",
      (value) => `{"type":"ExecBatch","stmts":[{"sql":"select 1","expect":${value}}]}`,
      /^null$/,
    ],
    [
      "stmts[0].expect.changes",
      (value) => `{"type":"ExecBatch","stmts":[{"sql":"select 1","expect":{"changes":${value}}}]}`,
      /^1$/,
    ],
    [
      "stmts[0].expect.rows",
      (value) => `{"type":"ExecBatch","stmts":[{"sql":"select 1","expect":{"rows":${value}}}]}`,
      /^1$/,
    ],
    ["tx", (value) => `{"type":"ExecBatch",${statement},"tx":${value}}`, /^null$/],
    ["results", (value) => `{"type":"ExecBatch",${statement},"results":${value}}`, /^(null|true)$/],
    ["if_rev", (value) => `{"type":"ExecBatch",${statement},"if_rev":${value}}`, /^(null|1)$/],
    ["timeout_ms", (value) => `{"type":"ExecBatch",${statement},"timeout_ms":${value}}`, /^null$/],
    ["sql", (value) => `{"type":"Query","sql":${value}}`, /^"x"$/],
    ["params", (value) => `{"type":"Query","sql":"select 1","params":${value}}`, /^(null|[[{].*)$/],
    ["timeout_ms", (value) => `{"type":"Query","sql":"select 1","timeout_ms":${value}}`, /^null$/],
  ];
  for (const [name, request, taken] of fields) {
    for (const value of values) {
      // A timeout of 1 ms is a right one, and may pass.
      if (taken.test(value) || name === "timeout_ms" && value === "1") continue;
      await refuses(it, request(value), { code: "INVALID_REQUEST" });
    }
  }
  assert.deepEqual(
    await it.rows("select count(*) from sqlite_schema where name = 't'"),
    [[0]],
    "no refused request had an effect",
  );
});

daemonTest("Session refuses numbers that are over their bounds", async (it) => {
  const exec = (field: string) => `{"type":"ExecBatch","stmts":[{"sql":"select 1"}],${field}}`;
  for (const value of ["0", "86400001", "9007199254740992", "1e999", "1.5", "-0.5"]) {
    await refuses(it, exec(`"timeout_ms":${value}`), { code: "INVALID_REQUEST" });
  }
  for (const value of ["9007199254740993", "-9007199254740993", "1.5", "1e400"]) {
    await refuses(it, exec(`"if_rev":${value}`), { code: "INVALID_REQUEST" });
    await refuses(it, `{"type":"Ping","id":${value}}`, { code: "INVALID_REQUEST" });
  }
  await refuses(it, `{"type":"Ping","id":"${"x".repeat(65)}"}`, { code: "INVALID_REQUEST" });
});

daemonTest("Session takes 999 parameters and refuses 1,000", async (it) => {
  const params = (count: number) => JSON.stringify(new Array(count).fill(1));
  const marks = (count: number) => new Array(count).fill("?").join();
  const request = (count: number) =>
    `{"type":"Query","sql":"select ${marks(count)}","params":${params(count)}}`;
  it.client.sendText(request(999));
  const answer = await it.client.next();
  assert.equal(answer?.rows?.[0].length, 999, JSON.stringify(answer).slice(0, 300));
  await refuses(it, request(1_000), { code: "INVALID_REQUEST", message: /over 999 parameters/ });
  const named = Object.fromEntries(Array.from({ length: 1_000 }, (_, i) => [`p${i}`, 1]));
  await refuses(it, JSON.stringify({ type: "Query", sql: "select 1", params: named }), {
    code: "INVALID_REQUEST",
  });
});

daemonTest("Session takes 100,000 bytes of SQL and refuses 100,001", async (it) => {
  const sql = (bytes: number) => "select 1 --".padEnd(bytes, "x");
  assert.deepEqual(await it.rows(sql(100_000)), [[1]]);
  const tooLong = { code: "INVALID_REQUEST", message: /100000 bytes/ };
  await refuses(it, JSON.stringify({ type: "Query", sql: sql(100_001) }), tooLong);
  await refuses(
    it,
    JSON.stringify({ type: "ExecBatch", stmts: [{ sql: sql(100_001) }] }),
    tooLong,
  );
  // Bytes, not characters.
  const wide = "select '" + "ä".repeat(50_000) + "'";
  assert.ok(wide.length < 100_000 && encoder.encode(wide).length > 100_000);
  await refuses(it, JSON.stringify({ type: "Query", sql: wide }), tooLong);
});

daemonTest("Session refuses an empty batch and more than 100,000 statements", async (it) => {
  await refuses(it, `{"type":"ExecBatch","stmts":[]}`, { code: "INVALID_REQUEST" });
  const many = `{"type":"ExecBatch","stmts":[${'{"sql":""},'.repeat(100_000)}{"sql":""}]}`;
  await refuses(it, many, { code: "INVALID_REQUEST", message: /100000 statements/ });
});

daemonTest("Session takes exactly 100,000 statements, and a timeout of a day", async (it) => {
  await it.exec("create table t(a)");
  const insert = '{"sql":"insert into t values (1)"}';
  const stmts = (count: number) => `"stmts":[${Array(count).fill(insert)}]`;
  for (const tx of ["atomic", "none"]) {
    // Each statement of the other kind is a commit of its own: there the bound is looked at, and then the first one fails.
    const first = tx === "none" ? '{"sql":"nonsense"},' : "";
    const text = `{"type":"ExecBatch","tx":"${tx}",${stmts(100_000 - (first ? 1 : 0))}}`
      .replace("[", `[${first}`);
    it.client.sendText(text);
    const answer = await it.client.next();
    if (first) assert.equal(answer?.code, "SQL_ERROR", JSON.stringify(answer));
    else assert.equal(answer?.rows_affected, 100_000, JSON.stringify(answer));
    const over = text.replace("[", `[${insert},`);
    await refuses(it, over, { code: "INVALID_REQUEST", message: /100000 statements/ });
  }
  assert.deepEqual(await it.rows("select count(*) from t"), [[100_000]]);
  const day = '"timeout_ms":86400000';
  for (
    const text of [
      `{"type":"ExecBatch",${stmts(1)},${day}}`,
      `{"type":"Query","sql":"select 1",${day}}`,
    ]
  ) {
    it.client.sendText(text);
    assert.equal((await it.client.next())?.status, "ok");
    await refuses(it, text.replace("86400000", "86400001"), { code: "INVALID_REQUEST" });
  }
});

daemonTest("ExecBatch refuses a wrong count or name of parameters", async (it) => {
  await it.exec("create table t(a, b)");
  const mismatch = {
    code: "PARAMETER_MISMATCH",
    statement: 1,
    retry: "no",
    message: /^Statement 1: /,
  };
  const request = (sql: string, params: unknown) =>
    JSON.stringify({
      type: "ExecBatch",
      stmts: [{ sql: "insert into t values (0, 0)" }, { sql, params }],
    });
  for (const params of [[], [1], [1, 2, 3], {}, undefined]) {
    await refuses(it, request("insert into t values (?, ?)", params), mismatch);
  }
  for (const params of [{ a: 1 }, { a: 1, b: 2, c: 3 }, { a: 1, B: 2 }, { ":a": 1, ":b": 2 }]) {
    await refuses(it, request("insert into t values (:a, :b)", params), mismatch);
  }
  await refuses(it, request("insert into t values (?, ?)", { a: 1, b: 1 }), mismatch);
  await refuses(it, request("insert into t values (1, 1); select ?", [1]), mismatch);
  await refuses(
    it,
    JSON.stringify({ type: "Query", sql: "select ?", params: [] }),
    { code: "PARAMETER_MISMATCH" },
  );
  assert.deepEqual(await it.rows("select count(*) from t"), [[0]], "nothing was executed");
});

daemonTest("ExecBatch refuses values that SQLite has no exact one for", async (it) => {
  await it.exec("create table t(a)");
  const refused = [
    "9223372036854775808", // 2^63: the existing daemon stored −2^63
    "18446744073709551615", // 2^64 − 1: it stored −1
    "-9223372036854775809",
    "1" + "0".repeat(400),
    "1e400",
    "-1e400",
    '{"$real":"NaN"}',
    '{"$real":"1"}',
    '{"$real":null}',
    '{"$real":1e400}',
    '{"$real":1,"x":2}',
    '{"$blob":"a"}',
    '{"$blob":"===="}',
    '{"$blob":"YQ=="," ":1}',
    '{"$blob":"YQ=","x":1}',
    '{"$blob":"Y Q="}',
    '{"$blob":1}',
    '{"$blob":null}',
    '{"$blob":[1]}',
    '{"$text":"YQ=="}',
  ];
  for (const value of refused) {
    const text =
      `{"type":"ExecBatch","stmts":[{"sql":"insert into t values(?)","params":[${value}]}]}`;
    await refuses(it, text, {
      code: "INVALID_VALUE",
      message: /^stmts\[0\]\.params: Parameter 0 /,
    });
  }
  assert.deepEqual(await it.rows("select count(*) from t"), [[0]]);
});

daemonTest("Session answers FRAME_TIMEOUT when the rest of a frame does not come", async (it) => {
  const half = await it.open();
  half.sendBytes(encodeFrame(`{"type":"Ping"}`).subarray(0, 9));
  const silent = await it.open(); // which has sent nothing, and may stay
  const started = performance.now();
  const answer = await half.next(14_000);
  const tookMs = performance.now() - started;
  assert.equal(answer?.code, "FRAME_TIMEOUT");
  assert.ok(tookMs > 9_000 && tookMs < 13_000, `after 10 s, not ${tookMs} ms`);
  assert.equal(await half.next(), null);
  assert.ok(half.closed);
  assert.equal((await silent.ask({ type: "Ping" })).status, "ok");
});

daemonTest("Session serves a frame that comes byte by byte", async ({ client }) => {
  const frame = encodeFrame(`{"type":"Ping","id":"ä"}`);
  for (const byte of frame) {
    client.sendBytes(new Uint8Array([byte]));
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  assert.equal((await client.next())?.id, "ä");
});

daemonTest(
  "Session lets a client read why it is refused although it is still sending",
  async (it) => {
    const oversized = new Uint8Array(3 * 1024 * 1024);
    oversized.fill(0xff, 0, 4);
    for (let i = 0; i < 20; i++) {
      const client = await it.open();
      client.sendBytes(oversized);
      assert.equal((await client.next())?.code, "FRAME_TOO_LARGE");
    }
  },
);
