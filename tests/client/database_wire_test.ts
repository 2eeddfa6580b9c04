/**
 * What `Database` sends and what it makes of answers, against a fake: the texts on the wire, late and missing answers.
 */
import assert from "node:assert/strict";
import { connect, type Database, json, real, SkylineError, type SqlParameters } from "../../mod.ts";
import { bounded } from "./bounded.ts";
import { FakeDaemon, type FakeHandler } from "./fake_daemon.ts";

const RESULT = { changes: 1, last_insert_rowid: 5 };

/** Queries return what the SQL says as JSON, `{columns, rows}`; SQL that starts with `w` writes. */
const ANSWER: FakeHandler = (request, { text, answer, send }) => {
  if (request.type === "ExecBatch") {
    const stmts = request.stmts as { sql: string }[];
    const results = stmts.map(({ sql }) =>
      sql.startsWith("w{") ? { ...RESULT, ...JSON.parse(sql.slice(1)) } : RESULT
    );
    return answer({ rev: 9, rows_affected: stmts.length, results });
  }
  if (request.type !== "Query") return answer({});
  const sql = request.sql as string;
  if (sql.startsWith("w")) {
    return answer({ status: "error", code: "NOT_READ_ONLY", message: "It writes", retry: "no" });
  }
  if (sql === "echo") {
    const params = text.slice(text.indexOf('"params":') + 9, text.lastIndexOf(',"timeout_ms"'));
    return send(`{"id":${request.id},"status":"ok","rev":1,"columns":["a"],"rows":[${params}]}`);
  }
  send(`{"id":${request.id},"status":"ok","rev":1,${sql.slice(1)}`);
};

function test(
  name: string,
  body: (db: Database, fake: FakeDaemon) => Promise<void>,
  handler = ANSWER,
): void {
  Deno.test(
    name,
    bounded(async () => {
      await using fake = await FakeDaemon.start(handler);
      await using db = await connect({ pipe: fake.endpoint }, { timeoutMs: 5_000 });
      await body(db, fake);
    }),
  );
}

/** The requests without what is theirs alone; `timeout_ms`, what is left of the time, to the second. */
function sent(fake: FakeDaemon): Record<string, unknown>[] {
  return fake.requests.map(({ id: _, client: __, seq: ___, acked: ____, ...fields }) => {
    const timeoutMs = Math.round(fields.timeout_ms as number / 1_000) * 1_000;
    return { ...fields, timeout_ms: timeoutMs };
  });
}

test("run() sends one statement and gives its result", async (db, fake) => {
  assert.deepEqual(await db.run("insert", [1, "a"]), {
    changes: 1,
    lastInsertRowid: 5,
    rev: 9,
    replayed: false,
  });
  await db.run("insert", { id: 1 }, { timeoutMs: 3_000 });
  await db.run("insert", undefined, { timeoutMs: 0 });
  assert.deepEqual(sent(fake), [
    {
      type: "ExecBatch",
      stmts: [{ sql: "insert", params: [1, "a"] }],
      results: true,
      timeout_ms: 5_000,
    },
    {
      type: "ExecBatch",
      stmts: [{ sql: "insert", params: { id: 1 } }],
      results: true,
      timeout_ms: 3_000,
    },
    { type: "ExecBatch", stmts: [{ sql: "insert" }], results: true, timeout_ms: 86_400_000 },
  ]);
});

test("exec() sends a script and gives the sum of its changes", async (db, fake) => {
  assert.deepEqual(await db.exec("a; b"), { changes: 1, rev: 9, replayed: false });
  assert.deepEqual(sent(fake), [
    { type: "ExecBatch", stmts: [{ sql: "a; b" }], timeout_ms: 5_000 },
  ]);
});

test("values() keeps every kind of parameter on its way there and back", async (db) => {
  const params = [
    null,
    1,
    -0,
    1.5,
    2n ** 63n - 1n,
    "é\0",
    new Uint8Array([0, 255]),
    real(2),
    true,
    json([1]),
  ];
  const [row] = await db.values("echo", params);
  assert.deepStrictEqual(row, [
    null,
    1,
    -0,
    1.5,
    2n ** 63n - 1n,
    "é\0",
    new Uint8Array([0, 255]),
    2,
    1,
    "[1]",
  ]);
});

test("all(), get() and values() give rows as objects, the first, and arrays", async (db) => {
  const sql = '{"columns":["a","b","a"],"rows":[[1,2,3],[4,9007199254740993,6.0]]}';
  assert.deepStrictEqual(await db.all(sql), [{ a: 3, b: 2 }, { a: 6, b: 9007199254740993n }]);
  assert.deepStrictEqual(await db.get(sql), { a: 3, b: 2 });
  assert.deepStrictEqual(await db.values(sql), [[1, 2, 3], [4, 9007199254740993n, 6]]);
  const none = '{"columns":["a"],"rows":[]}';
  assert.deepEqual(await db.all(none), []);
  assert.equal(await db.get(none), undefined);
});

test("all() makes a plain member when a column is named __proto__", async (db) => {
  const [row] = await db.all('{"columns":["__proto__","a"],"rows":[[{"$blob":"AQ=="},1]]}');
  assert.deepEqual(Object.entries(row), [["__proto__", Uint8Array.of(1)], ["a", 1]]);
  assert.equal(Object.getPrototypeOf(row), Object.prototype);
});

Deno.test(
  'integers "bigint" gives every INTEGER as bigint, and REAL as number',
  bounded(async () => {
    await using fake = await FakeDaemon.start(ANSWER);
    await using db = await connect({ pipe: fake.endpoint }, { integers: "bigint" });
    const sql = '{"columns":["a","b","c"],"rows":[[1,1.0,1.5]]}';
    assert.deepStrictEqual(await db.values(sql), [[1n, 1, 1.5]]);
    assert.deepStrictEqual(await db.run("x"), {
      changes: 1,
      lastInsertRowid: 5n,
      rev: 9,
      replayed: false,
    });
  }),
);

test(
  "all() is sent again as a write when it is not read-only, and at once the next time",
  async (db, fake) => {
    const sql = 'w{"columns":["a"],"rows":[[1]]}';
    assert.deepEqual(await db.all(sql, [7]), [{ a: 1 }]);
    assert.deepEqual(await db.values(sql, [8]), [[1]]);
    assert.deepEqual(await db.all("w"), []);
    assert.deepEqual(fake.requests.map(({ type }) => type), [
      "Query",
      "ExecBatch",
      "ExecBatch",
      "Query",
      "ExecBatch",
    ]);
    const { stmts } = fake.requests[2];
    assert.deepEqual(stmts, [{ sql, params: [8] }]);
  },
);

test("all() forgets the oldest writing SQL when there are very many", async (db, fake) => {
  await Promise.all(Array.from({ length: 1_001 }, (_, i) => db.all(`w${i}`)));
  const before = fake.requests.length;
  await db.all("w1000");
  await db.all("w0");
  assert.deepEqual(
    fake.requests.slice(before).map(({ type }) => type),
    ["ExecBatch", "Query", "ExecBatch"],
  );
});

test(
  "batch() sends all statements with what is expected, and gives a result for each",
  async (db, fake) => {
    const result = await db.batch([
      { sql: "a", params: [1], expect: { changes: 1 } },
      db.sql`b ${2n ** 60n}`,
      { sql: 'w{"columns":["x"],"rows":[[1],[2]]}', expect: { rows: 2 } },
    ], { ifRev: 8, timeoutMs: 3_000 });
    const same = { changes: 1, lastInsertRowid: 5 };
    assert.deepEqual(result, {
      rev: 9,
      replayed: false,
      results: [same, same, { ...same, rows: [{ x: 1 }, { x: 2 }] }],
    });
    const { stmts, if_rev, timeout_ms } = fake.requests[0];
    assert.deepEqual([if_rev, timeout_ms], [8, 3_000]);
    assert.deepEqual((stmts as unknown[])[0], { sql: "a", params: [1], expect: { changes: 1 } });
    assert.deepEqual((stmts as { expect: unknown }[])[2].expect, { rows: 2 });
  },
);

test("sql makes a statement that is executed once, and only when asked to", async (db, fake) => {
  const statement = db.sql`w${"a"} and ${1}`;
  assert.deepEqual([statement.sql, statement.params], ["w? and ?", ["a", 1]]);
  await new Promise((resolve) => setTimeout(resolve, 10));
  assert.equal(fake.requests.length, 0);
  assert.deepEqual(await Promise.all([statement, statement]), [[], []]);
  assert.deepEqual(await statement, []);
  assert.deepEqual(fake.requests.map(({ type }) => type), ["Query", "ExecBatch"]);
  assert.deepEqual(await db.sql`x`.run(), {
    changes: 1,
    lastInsertRowid: 5,
    rev: 9,
    replayed: false,
  });
});

test("sql rejects like any call when it fails", async (db) => {
  await assert.rejects(async () => await db.sql`x ${NaN}`, RangeError);
  assert.throws(() => db.sql("x" as unknown as TemplateStringsArray), TypeError);
  assert.throws(() => db.sql(["x"] as unknown as TemplateStringsArray), TypeError);
});

test("misuse is a TypeError or RangeError and sends nothing", async (db, fake) => {
  const wrong = [5, null, "a", new Uint8Array(1), real(1), new Date(), [undefined], { a: {} }];
  for (const params of wrong) {
    await assert.rejects(
      db.run("x", params as unknown as SqlParameters),
      TypeError,
      String(params),
    );
  }
  await assert.rejects(db.run(5 as unknown as string), TypeError);
  await assert.rejects(db.batch([]), TypeError);
  await assert.rejects(db.batch([{ sql: "x", expect: {} }]), TypeError);
  await assert.rejects(db.batch([{ sql: "x", expect: { rows: -1 } }]), RangeError);
  await assert.rejects(db.batch([{ sql: "x" }], { ifRev: 1.5 }), RangeError);
  for (const timeoutMs of [-1, 0.5, NaN, 86_400_001]) {
    await assert.rejects(db.run("x", [], { timeoutMs }), RangeError);
    await assert.rejects(connect({ pipe: fake.endpoint }, { timeoutMs }), RangeError);
  }
  await assert.rejects(connect({ pipe: "a b" }), RangeError);
  for (const file of ["", 5, null, {}, new URL("http://x/")]) {
    await assert.rejects(connect(file as string), TypeError);
  }
  assert.equal(fake.requests.length, 0);
});

test("an error's stack leads to the caller", async (db) => {
  const caller = async () => await db.run("x");
  await assert.rejects(caller(), (error) => {
    assert.ok(error instanceof SkylineError);
    assert.match(error.stack!, /^SkylineError: No(.|\n)*at (async )?caller/);
    return true;
  });
}, (_, { answer }) => answer({ status: "error", code: "SQL_ERROR", message: "No", retry: "no" }));

test("run() gives up a little later than the daemon, unknown", async (db) => {
  const startedAt = performance.now();
  await assert.rejects(db.run("x", [], { timeoutMs: 20 }), { code: "OUTCOME_UNKNOWN" });
  const passedMs = performance.now() - startedAt;
  assert.ok(passedMs >= 1_000 && passedMs < 3_000, String(passedMs));
}, () => {});

Deno.test(
  "connect() fails with what the daemon says instead of serving",
  bounded(async () => {
    const error =
      '{"status":"error","code":"TOO_MANY_CONNECTIONS","message":"Full","retry":"safe"}';
    await using fake = await FakeDaemon.start(() => {}, (socket) => {
      socket.end(Uint8Array.of(error.length, 0, 0, 0, ...new TextEncoder().encode(error)));
    });
    await assert.rejects(connect({ pipe: fake.endpoint }), { code: "TOO_MANY_CONNECTIONS" });
  }),
);

Deno.test(
  "shutdown() resolves when nobody listens any more",
  bounded(async () => {
    let ending = false;
    const fake = await FakeDaemon.start((_, { answer }) => {
      answer({});
      setTimeout(async () => {
        ending = true;
        await fake[Symbol.asyncDispose]();
      }, 100);
    });
    const db = await connect({ pipe: fake.endpoint });
    await db.shutdown();
    assert.equal(ending, true);
    await assert.rejects(db.run("x"), { code: "CLOSED", retry: "safe" });
  }),
);

test("shutdown() is TIMEOUT when the daemon goes on listening", async (db) => {
  await assert.rejects(db.shutdown({ timeoutMs: 80 }), { code: "TIMEOUT" });
});
