import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { DatabaseSync } from "node:sqlite";
import { encodeFrame } from "../../client/frame.ts";
import { uuidV7 } from "../../client/session.ts";
import { startDaemon } from "../daemon_fixture.ts";
import { type Answer, WireClient } from "../wire_client.ts";
import { LIMITS } from "../../daemon/process/limits.ts";
import { daemonTest, until } from "./daemon_case.ts";

const CREATE = "create table t(id integer primary key, n unique)";

function insert(seq: number, n: number, more: object = {}) {
  return {
    type: "ExecBatch",
    stmts: [{ sql: "insert into t(n) values (?)", params: [n] }],
    results: true,
    client: "c",
    seq,
    ...more,
  };
}

function keyed(key: string, n: number, more: object = {}) {
  const { seq: _, client: __, ...request } = insert(0, n, { key, ...more });
  return request;
}

/** Sends all at once, and gives the answers in the order of the requests. */
async function together(client: WireClient, requests: object[]): Promise<Answer[]> {
  client.sendBytes(
    Buffer.concat(requests.map((request) => encodeFrame(JSON.stringify(request)))),
  );
  const answers: Answer[] = [];
  for (const _ of requests) answers.push((await client.next())!);
  return answers;
}

/** The second answer is the first one again. */
function checkReplayed(first: Answer, second: Answer): void {
  assert.deepEqual(second, { ...first, replayed: true });
}

daemonTest("ExecBatch executes a numbered request once, however often it is sent", async (it) => {
  await it.exec(CREATE);
  const first = await it.client.ask(insert(1, 10));
  assert.equal(first.status, "ok");
  assert.equal(first.replayed, undefined);
  checkReplayed(first, await it.client.ask(insert(1, 10)));
  const other = await it.open();
  checkReplayed(first, await other.ask(insert(1, 10)));
  const [second, again] = await together(other, [insert(2, 20), insert(2, 20)]);
  checkReplayed(second, again);
  assert.deepEqual(await it.rows("select n from t"), [[10], [20]]);
  assert.equal((await it.status()).rev, second.rev, "a repetition has no revision of its own");
});

daemonTest(
  "ExecBatch repeats failures of numbered requests, and goes on after them",
  async (it) => {
    await it.exec(CREATE, "insert into t(n) values (7)");
    const failed = await it.client.ask(insert(1, 7));
    assert.equal(failed.sqlite_code, "SQLITE_CONSTRAINT_UNIQUE");
    await it.exec("delete from t");
    checkReplayed(failed, await it.client.ask(insert(1, 7)));
    const answers = await together(it.client, [insert(2, 1), insert(3, 1), insert(4, 2)]);
    assert.deepEqual(answers.map(({ status }) => status), ["ok", "error", "ok"]);
    const again = await together(it.client, [insert(2, 1), insert(3, 1), insert(4, 2)]);
    answers.forEach((answer, i) => checkReplayed(answer, again[i]));
    assert.deepEqual(await it.rows("select n from t"), [[1], [2]]);
  },
);

daemonTest("ExecBatch refuses numbers out of turn, and executes nothing", async (it) => {
  await it.exec(CREATE);
  assert.equal((await it.client.ask(insert(2, 1))).code, "CLIENT_FORGOTTEN");
  const answers = await together(it.client, [insert(1, 1), insert(3, 3), insert(2, 2)]);
  assert.deepEqual(answers.map(({ code }) => code), [undefined, "SEQUENCE_GAP", undefined]);
  assert.equal((await it.client.ask(insert(5, 5, { acked: 2 }))).code, "SEQUENCE_GAP");
  assert.equal((await it.client.ask(insert(5, 5, { acked: 4 }))).status, "ok");
  assert.equal((await it.client.ask(insert(2, 2))).code, "SEQUENCE_GAP", "acknowledged, and gone");
  assert.deepEqual(await it.rows("select n from t"), [[1], [2], [5]]);
});

daemonTest("ExecBatch takes the number of what was refused for a moment again", async (it) => {
  await it.exec(CREATE);
  const slow = insert(1, 1, {
    stmts: [{
      sql: "with recursive c(x) as (select 1 union all select x + 1 from c) select * from c",
    }],
    timeout_ms: 200,
  });
  const [late, behind] = await together(it.client, [slow, insert(2, 2)]);
  assert.equal(late.code, "TIMEOUT");
  assert.equal(
    behind.code,
    "SEQUENCE_GAP",
    "nothing of this client is stored yet, but it is known",
  );
  assert.equal((await it.client.ask(insert(1, 1))).status, "ok");
  const [lateAgain, gap] = await together(it.client, [{ ...slow, seq: 2 }, insert(3, 3)]);
  assert.deepEqual([lateAgain.code, gap.code], ["TIMEOUT", "SEQUENCE_GAP"]);
  assert.equal((await it.client.ask(insert(3, 3, { acked: 2 }))).status, "ok");
  assert.deepEqual(await it.rows("select n from t"), [[1], [3]]);
});

daemonTest(
  "ExecBatch says that a number is out of turn whose first one was up in the queue",
  async (it) => {
    await it.exec(CREATE);
    const client = uuidV7(Date.now());
    using foreign = new DatabaseSync(it.daemon.file);
    foreign.exec("begin immediate");
    const first = it.client.ask(insert(1, 1, { client, timeout_ms: 200 }));
    assert.equal((await first).code, "DATABASE_BUSY");
    foreign.exec("rollback");
    const { code, retry } = await it.client.ask(insert(2, 2, { client }));
    assert.deepEqual([code, retry], ["SEQUENCE_GAP", "safe"]);
    assert.equal((await it.client.ask(insert(1, 1, { client }))).status, "ok");
    assert.equal((await it.client.ask(insert(2, 2, { client }))).status, "ok");
  },
);

daemonTest("ExecBatch keeps what ran alone in its session too", async (it) => {
  await it.exec(CREATE);
  const script = "insert into t(n) values (?)";
  const long = insert(1, 0, {
    stmts: Array.from({ length: 600 }, (_, n) => ({ sql: script, params: [n] })),
    results: false,
  });
  const first = await it.client.ask(long);
  assert.equal(first.status, "ok");
  checkReplayed(first, await it.client.ask(long));
  const failing = { ...long, seq: 2 };
  const failed = await it.client.ask(failing);
  assert.equal(failed.code, "SQL_ERROR");
  await it.exec("delete from t");
  checkReplayed(failed, await it.client.ask(failing));
  const vacuum = { ...long, seq: 3, stmts: [{ sql: "vacuum" }] };
  const done = await it.client.ask(vacuum);
  assert.equal(done.status, "ok");
  checkReplayed(done, await it.client.ask(vacuum));
  assert.equal((await it.client.ask(insert(4, 4))).status, "ok");
  const { client: _, seq: __, ...unnumbered } = long;
  await it.exec("delete from t");
  const once = await it.client.ask({ ...unnumbered, key: "k" });
  assert.equal(once.status, "ok");
  checkReplayed(once, await it.client.ask({ ...unnumbered, key: "k" }));
});

daemonTest("ExecBatch executes a request with a key once, whoever sends it", async (it) => {
  await it.exec(CREATE);
  const other = await it.open();
  const first = await it.client.ask(keyed("order-1", 1));
  checkReplayed(first, await other.ask(keyed("order-1", 1)));
  assert.equal((await other.ask(keyed("order-1", 2))).code, "KEY_REUSED");
  const [second, again] = await together(other, [keyed("order-2", 2), keyed("order-2", 2)]);
  checkReplayed(second, again);
  const [failed, retried] = await together(other, [keyed("order-3", 2), keyed("order-3", 3)]);
  assert.equal(failed.code, "SQL_ERROR");
  assert.equal(retried.status, "ok", "the first failed and left the key free");
  const ifRev = await other.ask(keyed("order-1", 1, { if_rev: 1 }));
  checkReplayed(first, ifRev);
  assert.deepEqual(await it.rows("select n from t"), [[1], [2], [3]]);
});

daemonTest("ExecBatch keeps a key's answer in the session of whoever repeats it", async (it) => {
  await it.exec(CREATE);
  const first = await it.client.ask(keyed("k", 1));
  const { key } = { key: "k" };
  const second = await it.client.ask(insert(1, 1, { key }));
  checkReplayed(first, second);
  checkReplayed(first, await it.client.ask(insert(1, 1, { key })));
  assert.equal((await it.client.ask(insert(2, 2))).status, "ok");
});

daemonTest("Bye ends a session", async (it) => {
  await it.exec(CREATE);
  await it.client.ask(insert(1, 1));
  assert.deepEqual(await it.client.ask({ type: "Bye", client: "c", id: 1 }), {
    id: 1,
    status: "ok",
  });
  assert.equal((await it.client.ask(insert(2, 2))).code, "CLIENT_FORGOTTEN");
  assert.equal((await it.client.ask(insert(1, 3))).status, "ok");
  assert.equal((await it.client.ask({ type: "Bye", db: "nowhere", client: "c" })).status, "error");
});

for (const end of ["SIGKILL", "a shutdown"]) {
  Deno.test(`ExecBatch knows after ${end} what it executed before`, async () => {
    await using first = await startDaemon();
    await using client = await WireClient.open(first.endpoint);
    await client.ask({ type: "ExecBatch", stmts: [{ sql: CREATE }] });
    const requests = [1, 2, 3].map((seq) => insert(seq, seq === 3 ? 1 : seq));
    const answers = await together(client, [...requests, keyed("k", 9)]);
    if (end === "SIGKILL") await first.kill();
    else await client.ask({ type: "Shutdown" });
    await first.child.status;
    await using second = await startDaemon({ files: [first.file] });
    await using other = await WireClient.open(second.endpoint);
    const again = await together(other, [...requests, keyed("k", 9), insert(4, 4)]);
    answers.forEach((answer, i) => checkReplayed(answer, again[i]));
    assert.equal(again.at(-1)!.status, "ok");
    const { rows } = await other.ask({ type: "Query", sql: "select n from t" });
    assert.deepEqual(rows, [[1], [2], [9], [4]]);
  });
}

daemonTest(
  "ExecBatch leaves unread what is more than the daemon takes, and goes on",
  async (it) => {
    await it.exec(CREATE);
    const clients = await Promise.all(Array.from({ length: 12 }, () => it.open()));
    using direct = new DatabaseSync(it.daemon.file);
    direct.exec("begin immediate"); // nothing leaves the queue
    const frames = Buffer.concat(
      Array.from({ length: 1_000 }, (_, id) =>
        encodeFrame(
          JSON.stringify({ type: "ExecBatch", stmts: [{ sql: "delete from t where 0" }], id }),
        )),
    );
    for (const client of clients) client.sendBytes(frames);
    await until(async () => (await it.status()).queued >= LIMITS.waitingMax.requests);
    direct.exec("rollback");
    await Promise.all(clients.map(async (client) => {
      for (let i = 0; i < 1_000; i++) assert.equal((await client.next(20_000))!.status, "ok");
    }));
    assert.equal((await it.client.ask(insert(1, 1))).status, "ok");
  },
);
