import assert from "node:assert/strict";
import { SkylineError } from "../../client/errors.ts";
import { ExactlyOnce } from "../../daemon/database/exactly_once.ts";
import { createOwnTables, inspectOwnTables } from "../../daemon/database/own_tables.ts";
import { Replay, type Write, type WriteDone } from "../../daemon/database/write.ts";
import { LIMITS } from "../../daemon/process/limits.ts";
import { Real } from "../../client/values.ts";
import { TemporaryConnection } from "../sqlite/temporary_connection.ts";

const HOUR_MS = 3_600_000;

/** What is remembered in a database of its own. */
class Memory implements Disposable {
  readonly temporary = new TemporaryConnection();
  once: ExactlyOnce;

  constructor() {
    createOwnTables(this.temporary.connection, inspectOwnTables(this.temporary.connection));
    this.once = new ExactlyOnce(this.temporary.connection);
  }

  /** As after an end of the process: only what the file has is known. */
  reopen(): void {
    this.once.finalize();
    this.once = new ExactlyOnce(this.temporary.connection);
  }

  commit(work: () => void): void {
    this.temporary.connection.exec("BEGIN IMMEDIATE");
    this.once.discard();
    work();
    this.once.save();
    this.temporary.connection.exec("COMMIT");
    this.once.committed();
  }

  /** Answers a request of a session as done, with this revision. */
  done(write: Write, rev: number, results?: string): void {
    this.commit(() => this.once.note(write, doneAt(rev, results)));
  }

  rows(): unknown {
    return this.temporary.connection.get(
      "select count(*) from _skylinedb_clients where client <> ''",
    )![0];
  }

  [Symbol.dispose](): void {
    this.once.finalize();
    this.temporary[Symbol.dispose]();
  }
}

function doneAt(rev: number, results?: string): WriteDone {
  return results === undefined ? { rev, rowsAffected: 1 } : { rev, rowsAffected: 1, results };
}

function write(fields: Partial<Write> = {}): Write {
  return { statements: [], atomic: true, results: false, deadline: Infinity, units: 1, ...fields };
}

function numbered(seq: number, acked = 0, client = "c"): Write {
  return write({ session: { client, seq, acked } });
}

function shown(recalled: Replay | SkylineError | null): unknown {
  if (recalled === null) return "new";
  if (recalled instanceof SkylineError) return recalled.code;
  const { outcome } = recalled;
  return outcome instanceof SkylineError ? `again ${outcome.code}` : `again ${outcome.rev}`;
}

function uuidOf(time: number): string {
  const hex = time.toString(16).padStart(12, "0");
  return `${hex.slice(0, 8)}-${hex.slice(8)}-7000-8000-000000000000`;
}

Deno.test("ExactlyOnce.recall() gives the answer of what was done, and lets only the next through", () => {
  using it = new Memory();
  const recall = (seq: number, acked = 0) => shown(it.once.recall(numbered(seq, acked)));
  assert.equal(recall(1), "new");
  it.done(numbered(1), 11);
  it.done(numbered(2), 12);
  for (const _ of ["as it is", "after an end"]) {
    assert.deepEqual([1, 2, 3, 4].map((seq) => recall(seq)), [
      "again 11",
      "again 12",
      "new",
      "SEQUENCE_GAP",
    ]);
    it.reopen();
  }
});

Deno.test("ExactlyOnce.recall() passes over numbers that are acknowledged though they were not done", () => {
  using it = new Memory();
  it.done(numbered(1), 11);
  assert.equal(shown(it.once.recall(numbered(4, 3))), "new");
  it.done(numbered(4, 3), 12);
  it.reopen();
  assert.deepEqual(
    [1, 2, 3, 4, 5].map((seq) => shown(it.once.recall(numbered(seq)))),
    ["SEQUENCE_GAP", "SEQUENCE_GAP", "SEQUENCE_GAP", "again 12", "new"],
  );
});

Deno.test("ExactlyOnce.note() drops answers that are acknowledged, and keeps the others", () => {
  using it = new Memory();
  it.commit(() => {
    for (let seq = 1; seq <= 5; seq++) it.once.note(numbered(seq), doneAt(10 + seq));
  });
  it.done(numbered(6, 3), 16);
  it.reopen();
  assert.deepEqual(
    [3, 4, 6, 7].map((seq) => shown(it.once.recall(numbered(seq)))),
    ["SEQUENCE_GAP", "again 14", "again 16", "new"],
  );
});

Deno.test("ExactlyOnce.note() keeps failures that stay, and none that may pass", () => {
  using it = new Memory();
  it.commit(() => {
    it.once.note(numbered(1), new SkylineError("SQL_ERROR", "no", { statement: 0, hint: "h" }));
  });
  assert.equal(it.once.hasChanges, false);
  it.reopen();
  const { outcome } = it.once.recall(numbered(1)) as Replay;
  assert.ok(outcome instanceof SkylineError);
  assert.deepEqual([outcome.code, outcome.message, outcome.statement, outcome.hint], [
    "SQL_ERROR",
    "no",
    0,
    "h",
  ]);
  it.once.note(numbered(2), new SkylineError("TIMEOUT", "late"));
  assert.equal(it.once.hasChanges, false);
  assert.equal(shown(it.once.recall(numbered(2))), "new");
});

Deno.test("ExactlyOnce.discard() forgets what an undone transaction noted", () => {
  using it = new Memory();
  it.done(numbered(1), 11);
  it.once.note(numbered(2), doneAt(12));
  assert.equal(shown(it.once.recall(numbered(2))), "again 12", "within the transaction");
  it.once.discard();
  assert.equal(shown(it.once.recall(numbered(2))), "new");
  assert.equal(shown(it.once.recall(numbered(1))), "again 11");
});

Deno.test("ExactlyOnce keeps answers exactly, large ones without their results", () => {
  using it = new Memory();
  const exact = `[{"changes":1,"last_insert_rowid":9223372036854775807,"rows":[[1.0,"a\\nb"]]}]`;
  it.done(numbered(1), 11, exact);
  it.done(numbered(2), 12, `["${"x".repeat(LIMITS.keptUnits.results)}"]`);
  it.reopen();
  const first = it.once.recall(numbered(1)) as Replay;
  assert.deepEqual(first.outcome, { rev: 11, rowsAffected: 1, results: exact });
  const second = it.once.recall(numbered(2)) as Replay;
  assert.deepEqual(second.outcome, { rev: 12, rowsAffected: 1 });
});

Deno.test("ExactlyOnce.recall() says that a client is forgotten when it may have been", () => {
  using it = new Memory();
  const now = Date.now();
  const recall = (client: string, seq: number) =>
    shown(it.once.recall(numbered(seq, seq - 1, client)));
  assert.equal(recall("x", 2), "CLIENT_FORGOTTEN");
  assert.equal(recall(uuidOf(now), 1), "new");
  assert.equal(recall(uuidOf(now - 23 * HOUR_MS), 1), "new");
  assert.equal(recall(uuidOf(now - 25 * HOUR_MS), 1), "CLIENT_FORGOTTEN");
  // It was not answered anything: its first request has not been done.
  const acknowledgesNothing = (client: string) => shown(it.once.recall(numbered(2, 0, client)));
  assert.equal(acknowledgesNothing(uuidOf(now - HOUR_MS)), "SEQUENCE_GAP");
  assert.equal(acknowledgesNothing(uuidOf(now - 25 * HOUR_MS)), "CLIENT_FORGOTTEN");
  assert.equal(acknowledgesNothing("x"), "CLIENT_FORGOTTEN", "which may be older");
  const old = uuidOf(now - 48 * HOUR_MS);
  it.done(numbered(1, 0, old), 11);
  assert.equal(recall(old, 2), "new", "an old one that is remembered");
});

Deno.test("ExactlyOnce.releaseMemory() forgets only what stands in the file", () => {
  using it = new Memory();
  it.done(numbered(1), 11);
  const client = uuidOf(Date.now());
  assert.equal(shown(it.once.recall(numbered(1, 0, client))), "new");
  it.once.releaseMemory();
  assert.equal(shown(it.once.recall(numbered(1))), "again 11");
  // Its first request may have failed and not been kept: then what follows is out of turn, not forgotten.
  assert.equal(shown(it.once.recall(numbered(2, 0, client))), "SEQUENCE_GAP");
});

Deno.test("ExactlyOnce.leave() removes a session with the next commit", () => {
  using it = new Memory();
  it.done(numbered(1), 11);
  it.done(numbered(1, 0, "d"), 12);
  it.once.leave("c");
  assert.equal(shown(it.once.recall(numbered(2, 1))), "CLIENT_FORGOTTEN");
  it.commit(() => it.once.note(numbered(1), doneAt(13)));
  it.reopen();
  assert.equal(shown(it.once.recall(numbered(1))), "again 13", "it came back under the same name");
  it.once.leave("c");
  it.commit(() => {});
  assert.equal(it.rows(), 1);
});

Deno.test("ExactlyOnce.save() removes rows that were not used for 24 hours", () => {
  using it = new Memory();
  const clock = Date.now;
  try {
    for (let i = 0; i < 250; i++) it.done(numbered(1, 0, `old-${i}`), i);
    it.commit(() => it.once.storeKey(write({ key: "old" }), doneAt(1)));
    Date.now = () => clock() + 25 * HOUR_MS;
    // Before and after the old ones, more than are looked at together.
    for (let i = 0; i < 150; i++) it.done(numbered(1, 0, `a-young-${i}`), i);
    it.done(numbered(1, 0, "young"), 300);
    const performanceNow = performance.now;
    const started = performance.now();
    try {
      for (let i = 1; i <= 5; i++) {
        performance.now = () => started + i * 2 * LIMITS.sweepMs;
        it.commit(() => {});
      }
    } finally {
      performance.now = performanceNow;
    }
    assert.equal(it.rows(), 151);
    assert.deepEqual(
      it.temporary.connection.get("select count(*) from _skylinedb_keys where id > 0"),
      [0],
    );
    const bytes = "select at from _skylinedb_clients where client = ''";
    assert.deepEqual(it.temporary.connection.get(bytes), [0]);
    assert.equal(shown(it.once.recall(numbered(2, 1, "young"))), "new");
  } finally {
    Date.now = clock;
  }
});

Deno.test("ExactlyOnce.recallKey() knows a request by its content, not by how it was written", () => {
  using it = new Memory();
  const request = (fields: Partial<Write> = {}) => write({ key: "k", ...fields });
  const inserts = (params: Write["statements"][0]["params"], sql = "insert") =>
    request({ statements: [{ sql, params }] });
  const kinds: Write[] = [
    inserts([1]),
    inserts([new Real(1)]),
    inserts(["1"]),
    inserts([1n << 62n]),
    inserts([0.5]),
    inserts([null]),
    inserts([new Uint8Array([1])]),
    inserts([]),
    inserts({ a: 1 }),
    inserts({ a: 1, b: 2 }),
    inserts([1], "update"),
    request({ ...inserts([1]), results: true }),
    request({ statements: [{ sql: "insert", params: [1], expect: { rows: 1 } }] }),
    request({ statements: [{ sql: "insert", params: [1], expect: { changes: 1 } }] }),
    request({ statements: [{ sql: "insert", params: [1] }, { sql: "insert", params: [1] }] }),
  ];
  kinds.forEach((kind, i) => {
    it.commit(() => it.once.storeKey({ ...kind, key: `k${i}` }, doneAt(i)));
  });
  it.reopen();
  kinds.forEach((kind, i) => {
    kinds.forEach((_, k) => {
      const recalled = shown(it.once.recallKey({ ...kind, key: `k${k}` }));
      assert.equal(recalled, i === k ? `again ${i}` : "KEY_REUSED", `${i} as ${k}`);
    });
  });
  const otherwise = { ...kinds[9], statements: [{ sql: "insert", params: { b: 2, a: 1 } }] };
  const later = { ...otherwise, key: "k9", deadline: 7, units: 99, ifRev: 3 };
  assert.equal(shown(it.once.recallKey(later)), "again 9");
  assert.equal(shown(it.once.recallKey({ ...inserts([true]), key: "k0" })), "again 0");
  assert.equal(shown(it.once.recallKey(request({ key: "unused" }))), "new");
});

Deno.test("ExactlyOnce.recallKey() refuses new keys when they hold too much", () => {
  using it = new Memory();
  it.commit(() => it.once.storeKey(write({ key: "k" }), doneAt(1)));
  const limits: { keysBytesMax: number } = LIMITS;
  const { keysBytesMax } = limits;
  limits.keysBytesMax = 100;
  try {
    it.reopen();
    assert.equal(shown(it.once.recallKey(write({ key: "k" }))), "again 1");
    assert.equal(shown(it.once.recallKey(write({ key: "other" }))), "KEYS_FULL");
  } finally {
    limits.keysBytesMax = keysBytesMax;
  }
});

/** The bytes of keys that the database's row says, and those that its rows hold. */
function bytesOf({ temporary }: Memory): unknown[] {
  return temporary.connection.get(
    `select at, (select coalesce(sum(40 + length(cast(key as blob)) + length(cast(fingerprint as blob))
      + length(cast(answer as blob))), 0) from _skylinedb_keys where id > 0)
      from _skylinedb_clients where client = ''`,
  )!;
}

/** Has it look for old rows: at its next commit. */
function sweep(it: Memory): void {
  const performanceNow = performance.now;
  const then = performance.now() + 2 * LIMITS.sweepMs;
  // It stands still, so that no bound of time ends the sweep early, however busy the machine.
  performance.now = () => then;
  try {
    it.commit(() => {});
  } finally {
    performance.now = performanceNow;
  }
  it.reopen();
}

Deno.test("bytes of keys are those of the file, after an undo and after a sweep as well", () => {
  using it = new Memory();
  const clock = Date.now;
  const store = (key: string) =>
    it.once.storeKey(write({ key }), doneAt(1, '["\u{1f600}\u00e9\0"]'));
  it.commit(() => store("\u{1f600}"));
  it.temporary.connection.exec("BEGIN IMMEDIATE");
  it.once.discard();
  store("undone");
  it.temporary.connection.exec("ROLLBACK");
  it.commit(() => store("\u00e9"));
  let [counted, held] = bytesOf(it);
  assert.ok(Number(held) > 0);
  assert.equal(counted, held);
  try {
    Date.now = () => clock() + 25 * HOUR_MS;
    sweep(it);
  } finally {
    Date.now = clock;
  }
  [counted, held] = bytesOf(it);
  assert.deepEqual([counted, held], [0, 0]);
});

Deno.test("bytes of keys are counted anew in a file whose count is of an older daemon", () => {
  using it = new Memory();
  it.commit(() => it.once.storeKey(write({ key: "k" }), doneAt(1)));
  it.temporary.connection.exec(
    "delete from _skylinedb_keys where id = 0; update _skylinedb_clients set at = 7 where client = ''",
  );
  it.reopen();
  it.commit(() => {});
  const [counted, held] = bytesOf(it);
  assert.equal(counted, held);
});

Deno.test("rows of a clock that was ahead live a day from when they are found", () => {
  using it = new Memory();
  const clock = Date.now;
  try {
    Date.now = () => clock() + 10_000 * HOUR_MS;
    it.commit(() => it.once.storeKey(write({ key: "ahead" }), doneAt(1)));
    it.done(numbered(1, 0, "ahead"), 1);
    Date.now = clock;
    sweep(it);
    assert.equal(shown(it.once.recallKey(write({ key: "ahead" }))), "again 1");
    Date.now = () => clock() + 25 * HOUR_MS;
    sweep(it);
    assert.equal(it.rows(), 0);
    assert.equal(shown(it.once.recallKey(write({ key: "ahead" }))), "new");
  } finally {
    Date.now = clock;
  }
});

Deno.test("a sweep keeps up with keys and sessions that come at any rate", () => {
  using it = new Memory();
  const clock = Date.now;
  const performanceNow = performance.now;
  const started = performance.now();
  performance.now = () => started;
  const add = (round: number) =>
    it.commit(() => {
      for (let i = 0; i < 1_000; i++) {
        it.once.storeKey(write({ key: `${round}-${i}` }), doneAt(1));
        it.once.note(numbered(1, 0, `${round}-${i}`), doneAt(1));
      }
    });
  const keys = () =>
    it.temporary.connection.get("select count(*) from _skylinedb_keys where id > 0");
  try {
    add(0);
    add(1);
    Date.now = () => clock() + 25 * HOUR_MS;
    for (let round = 2; round < 4; round++) add(round);
    assert.deepEqual(keys(), [2_000]);
    assert.ok(Number(it.rows()) <= 3_000);
  } finally {
    performance.now = performanceNow;
    Date.now = clock;
  }
});
