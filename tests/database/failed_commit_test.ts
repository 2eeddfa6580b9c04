import assert from "node:assert/strict";
import { SkylineError } from "../../client/errors.ts";
import type { Write, WriteOutcome } from "../../daemon/database/write.ts";
import { SqliteError } from "../../daemon/sqlite/errors.ts";
import { Commits, shown } from "./commits.ts";

/** What COMMITs that fail may turn out to be, with the code of a write that is whole, and of one after others. */
const VERDICTS = [
  { verdict: "done", happened: true, code: 10, opens: true, outcome: 1, after: 1 },
  {
    verdict: "not done",
    happened: false,
    code: 10,
    opens: true,
    outcome: "DISK_FAILED safe",
    after: "DISK_FAILED no",
  },
  {
    verdict: "full",
    happened: false,
    code: 13,
    opens: true,
    outcome: "DISK_FULL safe",
    after: "DISK_FULL no",
  },
  {
    verdict: "busy",
    happened: false,
    code: 5,
    opens: true,
    outcome: "DATABASE_BUSY safe",
    after: "DATABASE_BUSY no",
  },
  {
    verdict: "unknown",
    happened: true,
    code: 10,
    opens: false,
    outcome: "OUTCOME_UNKNOWN unknown",
    after: "OUTCOME_UNKNOWN unknown",
  },
] as const;

const INSERT_1 = { sql: "insert into t values (1)", params: [] };
const INSERT_2 = { sql: "insert into t values (2)", params: [] };

for (const { verdict, happened, code, opens, outcome, after } of VERDICTS) {
  const cases = {
    "a group": { statements: [INSERT_1], nth: 1, expected: outcome },
    "a lone write": { statements: [INSERT_1], nth: 1, expected: outcome },
    "VACUUM": { statements: [{ sql: "vacuum", params: [] }], nth: 1, expected: outcome },
    'the first statement of tx:"none"': {
      statements: [INSERT_1, INSERT_2],
      atomic: false,
      nth: 1,
      expected: outcome,
    },
    'a later statement of tx:"none"': {
      statements: [INSERT_1, INSERT_2],
      atomic: false,
      nth: 2,
      expected: after,
    },
  };
  for (const [what, { nth, expected, ...fields }] of Object.entries(cases)) {
    Deno.test(`Commit answers ${what} whose COMMIT failed: ${verdict}`, async () => {
      using it: Commits = new Commits((): Promise<void> =>
        opens ? readAgain(it) : Promise.reject(new Error("no"))
      );
      failNthCommit(it, nth, happened, code);
      const shownFully = (each: WriteOutcome | undefined) =>
        each instanceof SkylineError ? `${each.code} ${each.retry}` : shown(each);
      if (what === "a group") {
        assert.deepEqual((await it.group(fields)).outcomes.map(shownFully), [expected]);
        return;
      }
      const outcomes = await it.lone(fields);
      assert.deepEqual(outcomes.map(shownFully), [expected]);
      if (what === "VACUUM") return;
      const before = nth - 1;
      const rows = happened ? (expected === 1 ? fields.statements.length : nth) : before;
      assert.equal(it.count(), rows, "as it was told");
    });
  }
}

Deno.test('LoneCommit checks "expect" of each statement under tx:"none", and says that those before stay', async () => {
  using it = new Commits();
  const [outcome] = await it.lone({
    atomic: false,
    statements: [INSERT_1, { ...INSERT_2, expect: { changes: 2 } }, INSERT_2],
  });
  assert.ok(outcome instanceof SkylineError);
  assert.deepEqual([outcome.code, outcome.statement, outcome.retry], [
    "EXPECTATION_FAILED",
    1,
    "no",
  ]);
  assert.equal(it.count(), 1);
});

Deno.test("Commit acknowledges nothing where another hand has written the daemon's own row", async () => {
  const session = { client: "c", seq: 1, acked: 0 };
  const cases: [what: string, Partial<Write>][] = [
    ["a group", { statements: [INSERT_1] }],
    ["a failure that is to be kept", { statements: [{ sql: "nonsense", params: [] }], session }],
  ];
  for (const [what, fields] of cases) {
    for (const isLone of [false, true]) {
      using it: Commits = new Commits((): Promise<void> => readAgain(it));
      it.temporary.another().exec("update _skylinedb_clients set seq = 7 where client = ''");
      const [outcome] = isLone ? await it.lone(fields) : (await it.group(fields)).outcomes;
      assert.ok(outcome instanceof SkylineError, what);
      assert.deepEqual([outcome.code, outcome.retry], ["FILE_REPLACED", "safe"], what);
      assert.equal(it.count(), 0);
      const again = await it.lone({ statements: [INSERT_1] });
      assert.deepEqual(again.map(shown), [8], "it goes on from there");
    }
  }
});

/** Reads what a database that is opened again reads. */
function readAgain({ writer, temporary }: Commits): Promise<void> {
  const own = "select seq, answers from _skylinedb_clients where client = ''";
  const [revision, mark] = temporary.connection.get(own) as [number, string];
  writer.revision = revision;
  Object.assign(writer, { mark });
  writer.once.discard();
  return Promise.resolve();
}

/** Makes the Nth COMMIT fail, after or before it has happened. */
function failNthCommit({ writer }: Commits, nth: number, happened: boolean, code: number): void {
  const { transaction } = writer;
  const commit = transaction.commit.bind(transaction);
  const commitOffLoop = transaction.commitOffLoop.bind(transaction);
  let count = 0;
  const isFailing = () => ++count === nth;
  transaction.commit = () => {
    const fails = isFailing();
    if (!fails || happened) commit();
    if (fails) throw new SqliteError(code, "made to fail");
  };
  transaction.commitOffLoop = async () => {
    const fails = isFailing();
    if (!fails || happened) await commitOffLoop();
    if (fails) throw new SqliteError(code, "made to fail");
  };
}
