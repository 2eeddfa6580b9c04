import assert from "node:assert/strict";
import { daemonTest, exec, rows } from "./daemon_case.ts";

/** Some 20 ms of work. */
const SLOW = `insert into t select 'slow', ?, (
  with recursive n(i) as (select 1 union all select i + 1 from n where i < 200000) select count(*) from n)`;

daemonTest("ExecBatch of one connection is not held up by slow ones of another", async (it) => {
  await it.exec("create table t(who, n, x)");
  const slow = await it.open();
  const other = await it.open();
  const count = 12;
  for (let n = 0; n < count; n++) {
    const sql = n % 2 === 0 ? SLOW : "insert into t values ('slow', ?, null)";
    slow.send({ type: "ExecBatch", stmts: [{ sql, params: [n] }] });
  }
  let isDone = false;
  const writing = (async () => {
    while (!isDone) await exec(other, "insert into t values ('other', 0, null)");
  })();
  const revisions: number[] = [];
  for (let n = 0; n < count; n++) {
    const answer = await slow.next();
    assert.equal(answer?.status, "ok");
    revisions.push(answer!.rev);
  }
  isDone = true;
  await writing;
  const own = await rows(slow, "select n from t where who = 'slow' order by rowid");
  assert.deepEqual(own.flat(), Array.from({ length: count }, (_, n) => n), "in the order sent");
  // From the second slow one on: the first is not known as slow yet.
  for (let n = 4; n < count; n += 2) {
    const between = revisions[n] - revisions[n - 1] - 1;
    assert.ok(between >= 5, `${between} writes of the other between two slow ones: ${revisions}`);
  }
});
