import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { connect as connectSocket } from "node:net";
import fc from "fast-check";
import { encodeFrame, FrameDecoder } from "../../client/frame.ts";
import { connect, type Database, json, real, type SqlParameter } from "../../mod.ts";
import { type DaemonCase, daemonTest } from "./daemon_case.ts";

/** A connection that gives answers as the text they are, which JSON.parse would change. */
class TextClient implements Disposable {
  readonly #socket;
  readonly #waiting: ((text: string) => void)[] = [];

  constructor(endpoint: string) {
    const decoder = new FrameDecoder();
    this.#socket = connectSocket(endpoint);
    this.#socket.on("data", (chunk: Uint8Array) => {
      decoder.push(chunk);
      for (let body; (body = decoder.take()) !== null;) {
        this.#waiting.shift()!(new TextDecoder("utf-8", { ignoreBOM: true }).decode(body));
      }
    });
  }

  ask(text: string): Promise<string> {
    this.#socket.write(encodeFrame(text));
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}

/** Of one value: the JSON to send, what SQLite calls it, and the JSON that comes back. */
const EXACT: [sent: string, kind: string, literal: string, answered?: string][] = [
  ["null", "null", "NULL"],
  ["true", "integer", "1", "1"],
  ["false", "integer", "0", "0"],
  ["0", "integer", "0"],
  ["-0", "integer", "0", "0"],
  ["1", "integer", "1"],
  ["1.0", "real", "1.0"],
  ["1e0", "real", "1.0", "1.0"],
  ["-0.0", "real", ""],
  ["0.0", "real", "0.0"],
  ["0.1", "real", "0.1"],
  ["1.50", "real", "1.5", "1.5"],
  ["5e-324", "real", ""],
  ["1.7976931348623157e308", "real", "", "1.7976931348623157e+308"],
  ["1e-400", "real", "0.0", "0.0"],
  ["1e21", "real", "1.0e+21", "1e+21"],
  ["123456789012345680000.0", "real", ""],
  ["9007199254740991", "integer", "9007199254740991"],
  ["9007199254740992", "integer", "9007199254740992"],
  ["9007199254740993", "integer", "9007199254740993"],
  ["-9007199254740993", "integer", "-9007199254740993"],
  ["9223372036854775807", "integer", "9223372036854775807"],
  ["-9223372036854775808", "integer", "-9223372036854775808"],
  ["9007199254740993.0", "real", "9007199254740992.0", "9007199254740992.0"],
  ['{"$real":1}', "real", "1.0", "1.0"],
  ['{"$real":-0.0}', "real", "", "-0.0"],
  ['{"$real":0.5}', "real", "0.5", "0.5"],
  ['{"$real":"Infinity"}', "real", "9.0e+999", '{"$real":"Infinity"}'],
  ['{"$real":"-Infinity"}', "real", "-9.0e+999", '{"$real":"-Infinity"}'],
  ['""', "text", "''"],
  ['"é😀"', "text", "'é😀'"],
  ['"\ufeffx"', "text", "'\ufeffx'"],
  ['"\ufeff"', "text", "'\ufeff'"],
  ['"a\\u0000b"', "text", "", '"a\\u0000b"'],
  ['"\\u0000"', "text", "", '"\\u0000"'],
  ['"\\ud83d\\ude00"', "text", "'😀'", '"😀"'],
  ['"\\uffff\u2028"', "text", "'\uffff\u2028'", '"\uffff\u2028"'],
  ['{"$blob":""}', "blob", "X''"],
  ['{"$blob":"AA=="}', "blob", "X'00'"],
  ['{"$blob":"/+8A"}', "blob", "X'FFEF00'"],
  ["[]", "text", "'[]'", '"[]"'],
  ["{}", "text", "'{}'", '"{}"'],
  ["[1, 1.0,1e2 , 12345678901234567890]", "text", "", '"[1, 1.0,1e2 , 12345678901234567890]"'],
  [' {"b":1,\t"a" : [ ],"b":2} ', "text", "", '"{\\"b\\":1,\\t\\"a\\" : [ ],\\"b\\":2}"'],
  ['{"\\u0061":"\\/"}', "text", "", '"{\\"\\\\u0061\\":\\"\\\\/\\"}"'],
  ['[{"$blob":"AA=="}]', "text", "", '"[{\\"$blob\\":\\"AA==\\"}]"'],
  ['{"blob":{"$real":1}}', "text", "", '"{\\"blob\\":{\\"$real\\":1}}"'],
];

daemonTest("ExecBatch and Query carry every value exactly both ways", async (it) => {
  using client = new TextClient(it.daemon.endpoint);
  await it.exec("create table t(a)");
  for (const [sent, kind, literal, answered = sent] of EXACT) {
    const stored = await client.ask(
      `{"type":"ExecBatch","results":true,"stmts":[{"sql":"delete from t"},` +
        `{"sql":"insert into t values (?) returning typeof(a), quote(a), a","params":[${sent}]}]}`,
    );
    const [, row] = /"rows":\[\[(.*)\]\]\}\]\}$/s.exec(stored) ?? [];
    assert.ok(row !== undefined, `${sent} → ${stored}`);
    assert.ok(row.startsWith(`"${kind}",`), `${sent} → ${row}`);
    if (literal !== "") {
      assert.ok(row.includes(`,${JSON.stringify(literal)},`), `${sent} → ${row}, not ${literal}`);
    }
    assert.ok(row.endsWith(`,${answered}`), `${sent} → ${row}, not ${answered}`);
    const read = await client.ask(
      `{"type":"Query","sql":"select a, a is ? from t","params":[${sent}]}`,
    );
    assert.ok(read.endsWith(`"rows":[[${answered},1]]}`), `${sent} → ${read}`);
    const named = await client.ask(
      `{"type":"Query","sql":"select :v","params":{"v":${sent}}}`,
    );
    assert.ok(named.endsWith(`"rows":[[${answered}]]}`), `${sent} → ${named}`);
  }
});

daemonTest("Query gives TEXT that is not valid UTF-8 as $text", async (it) => {
  const cases: [hex: string, valid: string | null][] = [
    ["FF", null],
    ["61C3", null],
    ["EDA080", null], // half a surrogate pair
    ["C0AF", null],
    ["F4908080", null], // beyond Unicode
    ["610062", "a\0b"],
    ["EFBBBF61", "\ufeffa"],
    ["C3A9", "é"],
    ["", ""],
  ];
  for (const [hex, valid] of cases) {
    const [[value]] = await it.rows(`select cast(x'${hex}' as text)`);
    const expected = valid ?? { $text: Buffer.from(hex, "hex").toString("base64") };
    assert.deepEqual(value, expected, hex);
  }
  const long = "ff".repeat(100_000);
  const [[value]] = await it.rows(
    `select cast(replace(hex(zeroblob(1)), '00', x'${long.slice(0, 60_000)}') as text)`,
  );
  assert.ok((value as { $text: string }).$text.length >= 40_000);
});

daemonTest("Query gives values that SQLite computes", async (it) => {
  using client = new TextClient(it.daemon.endpoint);
  const cases: [sql: string, answered: string][] = [
    ["9e999", '{"$real":"Infinity"}'],
    ["-9e999", '{"$real":"-Infinity"}'],
    ["9e999 - 9e999", "null"],
    ["1/3.0", "0.3333333333333333"],
    ["-0.0", "-0.0"],
    ["max(9223372036854775807, 1)", "9223372036854775807"],
    ["9223372036854775807 + 1", "9223372036854776000.0"],
    ["zeroblob(0)", '{"$blob":""}'],
    ["cast(1 as real)", "1.0"],
    ["1e20", "100000000000000000000.0"],
    ["char(34, 92, 10, 8232)", '"\\"\\\\\\n\u2028"'],
    ["true", "1"],
  ];
  for (const [sql, answered] of cases) {
    const text = await client.ask(JSON.stringify({ type: "Query", sql: `select ${sql}` }));
    assert.ok(text.endsWith(`"rows":[[${answered}]]}`), `${sql} → ${text}`);
  }
});

/** The client's way there and back, for one connection. */
async function roundTrip(db: Database, value: SqlParameter): Promise<unknown[]> {
  const [row] = await db.values(
    "insert into t values (?) returning a, typeof(a)",
    [value],
  );
  return row;
}

async function withClient(
  it: DaemonCase,
  integers: "auto" | "bigint",
  check: (db: Database) => Promise<void>,
): Promise<void> {
  await it.exec("create table if not exists t(a)");
  await using db = await connect(it.daemon.file, { integers });
  await check(db);
}

const RUNS = { numRuns: 300 };
/** Each of its units is a character: no half of a surrogate pair. */
const text = fc.string({ unit: "binary", maxLength: 60 });

daemonTest("Database carries any integer, real, text and blob there and back", async (it) => {
  await withClient(it, "bigint", async (db) => {
    const integer = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
    await fc.assert(
      fc.asyncProperty(integer, async (value) => {
        assert.deepEqual(await roundTrip(db, value), [value, "integer"]);
      }),
      { ...RUNS, examples: [[2n ** 63n - 1n], [-(2n ** 63n)], [2n ** 53n + 1n], [0n], [-1n]] },
    );
  });
  await withClient(it, "auto", async (db) => {
    await fc.assert(
      fc.asyncProperty(fc.double({ noNaN: true }), async (value) => {
        const [back, kind] = await roundTrip(db, real(value));
        assert.ok(Object.is(back, value), `${value} came back as ${back}`);
        assert.equal(kind, "real");
      }),
      {
        ...RUNS,
        examples: [[-0], [0], [1], [5e-324], [Infinity], [-Infinity], [2 ** 53], [1e300]],
      },
    );
    await fc.assert(
      fc.asyncProperty(fc.double({ noNaN: true }), async (value) => {
        const [back] = await roundTrip(db, value);
        assert.equal(back, value);
      }),
      RUNS,
    );
    await fc.assert(
      fc.asyncProperty(text, async (value) => {
        assert.deepEqual(await roundTrip(db, value), [value, "text"]);
      }),
      { ...RUNS, examples: [[""], ["\0"], ["\ufeff"], ['"\\'], ["\u2028\ud83d\ude00"]] },
    );
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (value) => {
        const [back, kind] = await roundTrip(db, value);
        assert.deepEqual([Buffer.from(back as Uint8Array), kind], [Buffer.from(value), "blob"]);
      }),
      { ...RUNS, examples: [[new Uint8Array()], [new Uint8Array([0])]] },
    );
  });
}, { timeoutMs: 60_000 });

daemonTest("Database stores JSON as the text that was sent", async (it) => {
  await withClient(it, "auto", async (db) => {
    await fc.assert(
      fc.asyncProperty(fc.jsonValue({ maxDepth: 4 }), async (value) => {
        const source = JSON.stringify(value);
        assert.deepEqual(await roundTrip(db, json(value)), [source, "text"]);
      }),
      RUNS,
    );
  });
}, { timeoutMs: 90_000 });

daemonTest("Session binds an array or object as its source, whatever spaces it has", async (it) => {
  using client = new TextClient(it.daemon.endpoint);
  const space = fc.constantFrom("", " ", "\t", " \n ");
  const scalar = fc.oneof(
    fc.constantFrom("1", "1.0", "-0", "1e5", "12345678901234567890", "null", "true", '"\\u0041"'),
    fc.string({ maxLength: 10 }).map((each) => JSON.stringify(each)),
  );
  const source = fc.letrec<{ value: string; array: string; object: string }>((tie) => ({
    value: fc.oneof({ maxDepth: 3 }, scalar, tie("array"), tie("object")),
    array: fc.array(fc.tuple(space, tie("value"), space), { maxLength: 4 })
      .map((parts) => `[${parts.map((part) => part.join("")).join(",")}]`),
    object: fc.array(
      fc.tuple(
        space,
        fc.constantFrom('"a"', '"__proto__"', '"\\u0062"'),
        space,
        space,
        tie("value"),
      ),
      { maxLength: 3 },
    ).map((parts) =>
      `{${parts.map(([a, name, b, c, value]) => `${a}${name}${b}:${c}${value}`).join(",")}}`
    ),
  }));
  await fc.assert(
    fc.asyncProperty(fc.oneof(source.array, source.object), async (sent) => {
      const answer = await client.ask(`{"type":"Query","sql":"select ?","params":[${sent}]}`);
      assert.ok(answer.endsWith(`"rows":[[${JSON.stringify(sent)}]]}`), `${sent} → ${answer}`);
    }),
    RUNS,
  );
}, { timeoutMs: 90_000 });

daemonTest("Database carries long texts and blobs", async (it) => {
  await withClient(it, "auto", async (db) => {
    for (const length of [21_845, 21_846, 65_535, 65_536, 65_537, 1_000_000, 3_000_000]) {
      const long = "é".repeat(length / 2) + "x".repeat(length % 2);
      assert.equal((await roundTrip(db, long))[0], long);
      const bytes = new Uint8Array(length).map((_, i) => i * 7);
      const [back] = await roundTrip(db, bytes);
      assert.ok(Buffer.from(back as Uint8Array).equals(bytes));
    }
  });
});
