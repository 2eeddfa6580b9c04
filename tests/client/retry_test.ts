/** Writes that take effect once, whatever becomes of their answers. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { connect, type ErrorCode } from "../../mod.ts";
import { FakeDaemon } from "./fake_daemon.ts";
import { FakeSessions, type Mishap } from "./fake_sessions.ts";
import { fails, NOT_NOW, numbersOf, retryTest, runAll, sleep, TIMEOUT } from "./retry_case.ts";

const [QUEUE_FULL] = NOT_NOW;
const LETTERS = [..."abcdefgh"];

retryTest(
  "writes carry one client's name and numbers from 1",
  {},
  async ({ db, fake, sessions }) => {
    await db.run("a");
    await runAll(db, ["b", "c"]);
    await db.exec("d");
    await db.values("e");
    await db.batch([{ sql: "f" }]);
    assert.deepEqual(numbersOf(fake), ["a 1/0", "b 2/1", "c 3/1", "d 4/3", "f 5/4"]);
    const clients = new Set(fake.requests.flatMap(({ client }) => client ?? []));
    assert.equal(clients.size, 1);
    const [client] = clients as Set<string>;
    assert.match(client, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    const madeAt = parseInt(client.slice(0, 8) + client.slice(9, 13), 16);
    assert.ok(Math.abs(madeAt - Date.now()) < 10_000);
    assert.deepEqual(sessions.executed, [..."abcdf"]);
  },
);

retryTest(
  "a call connects again when the connection has ended meanwhile",
  {},
  async ({ db, fake }) => {
    await db.run("a");
    for (const socket of fake.sockets) socket.destroy();
    await sleep(20);
    assert.deepEqual(await db.values("q"), [[1]]);
    assert.equal((await db.run("b")).replayed, false);
    assert.deepEqual(numbersOf(fake), ["a 1/0", "b 2/1"]);
  },
);

retryTest(
  "what is unanswered is sent again in order when the connection ends before it is executed",
  { c: ["cut before"], e: ["cut before", "cut before"] },
  async ({ db, fake, sessions }) => {
    const results = await runAll(db, LETTERS);
    assert.deepEqual(sessions.executed, LETTERS);
    assert.deepEqual(results.map(({ rev }) => rev), [1, 2, 3, 4, 5, 6, 7, 8]);
    // Answers that were on their way when the connection ended may be lost with it, so that more is sent again.
    assert.ok(numbersOf(fake).length > LETTERS.length + 2);
  },
);

retryTest(
  "a write takes effect once when the connection ends before its answer",
  { c: ["cut after"], g: ["cut after", "cut after", "cut after"] },
  async ({ db, sessions }) => {
    const results = await runAll(db, LETTERS);
    assert.deepEqual(sessions.executed, LETTERS);
    assert.deepEqual([results[2].replayed, results[6].replayed], [true, true]);
    assert.equal(results[7].replayed, false);
    assert.deepEqual(results.map(({ lastInsertRowid }) => lastInsertRowid), [
      ...[1, 2, 3, 4, 5, 6, 7, 8],
    ]);
  },
);

retryTest(
  "reads are sent again between the writes where they were called",
  { a: ["cut before"], b: ["cut after"], q: ["cut before"], r: ["cut after", QUEUE_FULL] },
  async ({ db }) => {
    const calls = [db.run("a"), db.values("p"), db.run("b"), db.values("q"), db.run("c")];
    const last = db.values("r");
    const [, p, , q] = await Promise.all(calls);
    const [[seen]] = p as unknown as number[][];
    assert.ok(seen === 1 || seen === 2, `${seen}`);
    assert.deepEqual(q, [[2]]);
    assert.deepEqual(await last, [[3]]);
  },
);

retryTest(
  "an error is told at once, and the writes behind it are sent again with a fresh acked",
  { c: [TIMEOUT] },
  async ({ db, fake, sessions }) => {
    const calls = LETTERS.map((sql) => db.run(sql));
    const [a, b, c, ...others] = calls;
    await assert.rejects(c, fails("TIMEOUT", "safe", /^It is TIMEOUT$/));
    await Promise.all([a, b, ...others]);
    assert.deepEqual(sessions.executed, LETTERS.filter((letter) => letter !== "c"));
    assert.deepEqual(numbersOf(fake), [
      ...LETTERS.map((letter, i) => `${letter} ${i + 1}/0`),
      ...["d 4/3", "e 5/3", "f 6/3", "g 7/3", "h 8/3"],
    ]);
  },
);

for (const code of ["DATABASE_BUSY", "DISK_FULL", "WAL_FULL", "DISK_FAILED", "KEYS_FULL"]) {
  retryTest(`${code} is an answer, not repeated`, { a: [{ code, retry: "safe" }] }, async (it) => {
    await it.db.run("first");
    await assert.rejects(it.db.run("a"), fails(code as ErrorCode, "safe"));
    assert.equal((await it.db.run("b")).rev, 2);
    assert.deepEqual(numbersOf(it.fake), ["first 1/0", "a 2/1", "b 3/2"]);
  });
}

retryTest("a failed write keeps its number, and fails once", {
  fail: ["cut after"],
}, async ({ db, fake }) => {
  const failed = db.run("fail");
  const next = db.run("b");
  await assert.rejects(failed, fails("SQL_ERROR", "no"));
  await next;
  assert.deepEqual(numbersOf(fake).slice(-2), ["fail 1/0", "b 2/0"]);
});

for (const mishap of NOT_NOW) {
  retryTest(
    `${mishap.code} is tried again with the same number, and what comes later waits behind it`,
    { b: [mishap, mishap, mishap] },
    async ({ db, fake, sessions }) => {
      const calls = runAll(db, ["a", "b", "c"]);
      await sleep(5);
      const later = db.run("d");
      await Promise.all([calls, later]);
      assert.deepEqual(sessions.executed, ["a", "b", "c", "d"]);
      const bs = numbersOf(fake).filter((text) => text.startsWith("b"));
      assert.deepEqual(bs, ["b 2/0", "b 2/1", "b 2/1", "b 2/1"]);
      assert.deepEqual(fake.sockets.size, 1);
    },
  );

  const told = mishap.code;
  retryTest(
    `${told} is reported when it lasts until the deadline`,
    () => mishap,
    async ({ db }) => {
      const startedAt = performance.now();
      await assert.rejects(db.run("a", [], { timeoutMs: 200 }), fails(told, mishap.retry));
      const passedMs = performance.now() - startedAt;
      assert.ok(passedMs >= 195 && passedMs < 5_000, String(passedMs));
    },
  );
}

retryTest(
  "nothing is sent again before all that is in flight is answered",
  { a: ["late"], b: [QUEUE_FULL] },
  async ({ db, fake }) => {
    await runAll(db, ["a", "b"]);
    assert.deepEqual(numbersOf(fake), ["a 1/0", "b 2/0", "b 2/1"]);
  },
);

retryTest(
  "an unknown outcome is found out by sending it again",
  { b: ["unknown after"] },
  async ({ db, sessions }) => {
    const results = await runAll(db, ["a", "b", "c"]);
    assert.deepEqual(results.map(({ replayed }) => replayed).slice(1), [true, false]);
    assert.deepEqual(sessions.executed, ["a", "b", "c"]);
  },
);

retryTest(
  "the writes go on under another name when the daemon has forgotten the client",
  { c: ["forget"] },
  async ({ db, fake, sessions }) => {
    await runAll(db, ["a", "b"]);
    await runAll(db, ["c", "d", "e"]);
    await db.run("f");
    assert.deepEqual(sessions.executed, ["a", "b", "c", "d", "e", "f"]);
    assert.equal(new Set(fake.requests.map(({ client }) => client)).size, 2);
    assert.deepEqual(numbersOf(fake).slice(-4), ["c 1/0", "d 2/0", "e 3/0", "f 4/3"]);
  },
);

retryTest(
  "only what was sent before is OUTCOME_UNKNOWN when the daemon has forgotten the client",
  { c: ["cut after", "forget"] },
  async ({ db, sessions }) => {
    await runAll(db, ["a", "b"]);
    const c = db.run("c");
    await sleep(5);
    const d = db.run("d");
    await assert.rejects(c, fails("OUTCOME_UNKNOWN", "unknown", /CLIENT_FORGOTTEN/));
    await d;
    assert.deepEqual(sessions.executed, ["a", "b", "c", "d"]);
  },
);

retryTest(
  "an error that tells nothing of an earlier sending leaves the outcome unknown",
  { a: ["cut after", TIMEOUT], b: [TIMEOUT] },
  async ({ db }) => {
    await assert.rejects(db.run("a"), fails("OUTCOME_UNKNOWN", "unknown", /It is TIMEOUT/));
    await assert.rejects(db.run("b"), fails("TIMEOUT", "safe"));
    await db.run("c");
  },
);

retryTest(
  "a call that is given up counts as answered, and its late answer is nobody's",
  { a: ["silence"] },
  async ({ db, fake, sessions }) => {
    const a = db.run("a", [], { timeoutMs: 30 });
    const b = db.run("b");
    await assert.rejects(a, fails("OUTCOME_UNKNOWN", "unknown", /did not answer within the time/));
    await b;
    assert.equal((await db.run("c")).rev, 3);
    assert.deepEqual(numbersOf(fake), ["a 1/0", "b 2/0", "c 3/2"]);
    const [{ id }] = fake.requests;
    for (const socket of fake.sockets) {
      const text = JSON.stringify({ id, status: "ok", rev: 99, results: [] });
      socket.write(Uint8Array.of(text.length, 0, 0, 0, ...new TextEncoder().encode(text)));
    }
    assert.equal((await db.run("d")).rev, 4);
    assert.deepEqual(sessions.executed, ["a", "b", "c", "d"]);
  },
);

retryTest(
  "a call that waits behind others is TIMEOUT, without effect, at its deadline",
  { a: [QUEUE_FULL, "silence"] },
  async ({ db, sessions }) => {
    const a = assert.rejects(db.run("a", [], { timeoutMs: 100 }), fails("QUEUE_FULL", "safe"));
    await sleep(3);
    await assert.rejects(db.run("b", [], { timeoutMs: 1 }), fails("TIMEOUT", "safe"));
    await db.run("c").catch(() => {});
    await a.catch(() => {});
    assert.ok(!sessions.executed.includes("b"));
  },
);

retryTest("10,000 writes at once are all executed in order, and few are unanswered", {
  5000: ["cut after"],
  7000: [TIMEOUT],
}, async ({ db, sessions }) => {
  const sqls = Array.from({ length: 10_000 }, (_, i) => `${i}`);
  const settled = await Promise.allSettled(
    sqls.map((sql) => db.run(sql, [], { timeoutMs: 9_000 })),
  );
  assert.deepEqual(settled.flatMap(({ status }, i) => status === "fulfilled" ? [] : i), [7000]);
  assert.deepEqual(sessions.executed, sqls.filter((sql) => sql !== "7000"));
  assert.ok(sessions.distance > 900 && sessions.distance <= 1_024, `${sessions.distance}`);
});

retryTest("a frame that is too large fails alone", {}, async ({ db, sessions }) => {
  const calls = [db.run("a"), db.run("b", ["x".repeat(10 * 1024 * 1024)]), db.run("c")];
  await assert.rejects(calls[1], fails("FRAME_TOO_LARGE", "no"));
  await Promise.all([calls[0], calls[2]]);
  assert.deepEqual(sessions.executed, ["a", "c"]);
});

retryTest(
  "a repeated answer without results is RESULT_FORGOTTEN, and enough for exec()",
  {},
  async () => {
    await using fake = await FakeDaemon.start((_, { answer }) =>
      answer({ rev: 7, rows_affected: 3, replayed: true })
    );
    await using db = await connect({ pipe: fake.endpoint });
    const forgotten = fails("RESULT_FORGOTTEN", "no", /revision 7/);
    await assert.rejects(db.run("a"), forgotten);
    await assert.rejects(db.batch([{ sql: "a" }]), forgotten);
    assert.deepEqual(await db.exec("a"), { changes: 3, rev: 7, replayed: true });
  },
);

retryTest("key is sent, and misuse of it is a TypeError", {}, async ({ db, fake }) => {
  await db.run("a", [], { key: "order-17" });
  await db.exec("b", { key: 'ü"' });
  await db.batch([{ sql: "c" }], { key: "x".repeat(64) });
  assert.deepEqual(fake.requests.map(({ key }) => key), ["order-17", 'ü"', "x".repeat(64)]);
  for (const key of ["", "x".repeat(65), 5, null]) {
    await assert.rejects(db.run("a", [], { key: key as string }), TypeError);
    await assert.rejects(db.exec("a", { key: key as string }), TypeError);
    await assert.rejects(db.batch([{ sql: "a" }], { key: key as string }), TypeError);
  }
  await assert.rejects(
    connect({ pipe: fake.endpoint }, { retry: 1 as unknown as boolean }),
    TypeError,
  );
  assert.equal(fake.requests.length, 3);
});

Deno.test({
  name: "each write takes effect once and in order, whatever goes wrong",
  fn: async () => {
    const mishap: fc.Arbitrary<Mishap | undefined> = fc.oneof(
      { weight: 3, arbitrary: fc.constant(undefined) },
      {
        weight: 4,
        arbitrary: fc.constantFrom<Mishap>(
          ...["cut before", "cut after", "unknown after"] as const,
          ...[...NOT_NOW, TIMEOUT],
        ),
      },
    );
    const property = fc.asyncProperty(
      fc.array(mishap, { minLength: 1, maxLength: 60 }),
      fc.integer({ min: 1, max: 40 }),
      async (mishaps, count) => {
        let at = 0;
        const sessions = new FakeSessions(() => mishaps[at++]);
        await using fake = await FakeDaemon.start(sessions.handler);
        await using db = await connect({ pipe: fake.endpoint });
        const sqls = Array.from({ length: count }, (_, i) => `${i}`);
        const settled = await Promise.allSettled(sqls.map((sql) => db.run(sql)));
        const may = new Set<string>();
        const must = sqls.filter((sql, i) => {
          const each = settled[i];
          if (each.status === "fulfilled") return true;
          if (each.reason.retry === "unknown") may.add(sql);
          else assert.equal(each.reason.code, "TIMEOUT");
          return false;
        });
        const certain = sessions.executed.filter((sql) => !may.has(sql));
        assert.deepEqual(certain, must);
        assert.equal(new Set(sessions.executed).size, sessions.executed.length, "none twice");
      },
    );
    await fc.assert(property, { numRuns: 60, interruptAfterTimeLimit: 30_000 });
  },
});
