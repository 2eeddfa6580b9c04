import assert from "node:assert/strict";
import { WIRE_LIMITS } from "../../client/limits.ts";
import type { Answer } from "../wire_client.ts";
import { type DaemonCase, daemonTest } from "./daemon_case.ts";

const { errorTextMax } = WIRE_LIMITS;

/** A write to `refused` fails with `words`. */
function refuse(it: DaemonCase, words: string): Promise<Answer> {
  return it.exec(
    "create table refused(a)",
    "create table t(a)",
    `create trigger refuse before insert on refused begin select raise(abort, '${words}'); end`,
  );
}

function numbered(seq: number, sql: string) {
  return { type: "ExecBatch", stmts: [{ sql }], client: "c", seq, acked: 0, id: seq };
}

daemonTest("Sessions keep 2,048 long failures, and other clients' writes go on", async (it) => {
  // Each of these characters is six in JSON.
  await refuse(it, "\u0001".repeat(90_000));
  const other = await it.open();
  const failure = "insert into refused values (1)";
  let seq = 0;
  while (seq < WIRE_LIMITS.unackedMax) {
    for (let i = 0; i < 128; i++) it.client.send(numbered(++seq, failure));
    other.send({ type: "ExecBatch", stmts: [{ sql: "insert into t values (1)" }] });
    for (let i = 0; i < 128; i++) {
      const answer = (await it.client.next())!;
      assert.deepEqual([answer.code, answer.sqlite_code], [
        "SQL_ERROR",
        "SQLITE_CONSTRAINT_TRIGGER",
      ]);
      assert.ok(answer.message.length <= errorTextMax, `a message of ${answer.message.length}`);
    }
    const answer = await other.next();
    assert.equal(answer?.status, "ok", JSON.stringify(answer));
  }
  const again = await it.client.ask(numbered(1, failure));
  assert.deepEqual([again.code, again.replayed], ["SQL_ERROR", true]);
  const last = await it.client.ask(numbered(seq, failure));
  assert.deepEqual([last.code, last.replayed], ["SQL_ERROR", true]);
  assert.deepEqual(await it.rows("select count(*) from t"), [[WIRE_LIMITS.unackedMax / 128]]);
});

daemonTest("Every error's message is cut, and not within a character", async (it) => {
  for (const letter of ["x", "😀", "x😀", "\u0001", '"']) {
    const long = letter.repeat(20_000 / letter.length);
    const named = JSON.stringify(long).slice(1, -1).replaceAll('\\"', '""');
    const requests = [
      { type: "Query", sql: `select "${long.replaceAll('"', '""')}" from nowhere.t` },
      { type: "Query", sql: "select :a", params: { [long]: 1 } },
      { type: "Query", sql: "select 1", params: { [long]: { $text: "" } } },
      { type: "Query", sql: "select 1", db: long },
      { type: "ExecBatch", stmts: [{ sql: `insert into "${named}" values (1)` }] },
      { type: "ExecBatch", tx: "none", stmts: [{ sql: `drop table "${named}"` }] },
      { type: long },
    ];
    for (const request of requests) {
      const answer = await it.client.ask(request);
      assert.equal(answer.status, "error");
      const { message } = answer;
      assert.ok(message.length <= errorTextMax, `${request.type}: ${message.length} characters`);
      assert.doesNotMatch(message, /\ufffd/, "no character is halved");
    }
  }
});

daemonTest("An answer is at most a frame, whatever is around its rows", async (it) => {
  const id = "\u0001".repeat(WIRE_LIMITS.idLengthMax);
  const sql = "select hex(zeroblob(5242680)) as a";
  for (
    const request of [
      { type: "Query", sql },
      { type: "ExecBatch", results: true, stmts: [{ sql }] },
      { type: "ExecBatch", results: true, tx: "none", stmts: [{ sql }] },
    ]
  ) {
    const answer = await it.client.ask({ ...request, id });
    // With the statement's number: it was refused before anything was committed.
    assert.deepEqual([answer.id, answer.code, answer.statement], [id, "RESULT_TOO_LARGE", 0]);
    assert.equal((await it.client.ask({ type: "Ping" })).status, "ok");
  }
});
