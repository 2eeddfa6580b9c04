import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { encodeFrame } from "../../client/frame.ts";
import { daemonTest, until } from "./daemon_case.ts";

/** A request that takes long to read, in several pieces. */
function longInsert(id: number | undefined, value: number): string {
  const records = Array(150_000).fill('{"a":[1.0]}').join(",");
  const insert = `{"sql":"insert into t values (?, length(?))","params":[${value},[${records}]]}`;
  return `{"type":"ExecBatch",${id === undefined ? "" : `"id":${id},`}"stmts":[${insert}]}`;
}

function together(texts: readonly string[]): Uint8Array {
  return Buffer.concat(texts.map(encodeFrame));
}

const ping = (id?: number) => JSON.stringify({ type: "Ping", id });

daemonTest("A long request keeps its place among those of its connection", async (it) => {
  await it.exec("create table t(a, b)");
  const insert = (a: number) =>
    JSON.stringify({ type: "ExecBatch", stmts: [{ sql: `insert into t values (${a}, 0)` }] });
  const query = JSON.stringify({ type: "Query", sql: "select group_concat(a) from t" });
  it.client.sendBytes(together([
    ...[insert(1), longInsert(undefined, 2), insert(3), ping(), longInsert(undefined, 4)],
    ...[insert(5), query],
  ]));
  const answers = [];
  for (let i = 0; i < 7; i++) answers.push(await it.client.next());
  assert.deepEqual(answers.map((answer) => answer?.rows ?? answer?.status), [
    ...["ok", "ok", "ok", "ok", "ok", "ok"],
    [["1,2,3,4,5"]],
  ]);
  assert.ok(answers[3]?.protocol !== undefined, "the Ping's answer is the fourth");
});

daemonTest(
  "A connection is served while another one's long request is read, and after an error in it",
  async (it) => {
    await it.exec("create table t(a, b)");
    const other = await it.open();
    // The last byte is what is wrong.
    const wrong = longInsert(7, 1).slice(0, -1) + "]";
    it.client.sendBytes(together([wrong, ping(8)]));
    assert.equal((await other.ask({ type: "Ping" })).status, "ok");
    const refused = await it.client.next();
    assert.deepEqual([refused?.id, refused?.code], [undefined, "INVALID_JSON"]);
    assert.equal((await it.client.next())?.id, 8);
  },
);

daemonTest(
  "A long request that arrived whole is executed though its connection ends",
  async (it) => {
    await it.exec("create table t(a, b)");
    for (const client of await Promise.all(Array.from({ length: 4 }, () => it.open()))) {
      await client.sent(JSON.parse(longInsert(1, 1)));
      await client[Symbol.asyncDispose]();
    }
    await until(async () => (await it.rows("select count(*) from t"))[0][0] === 4);
  },
);

daemonTest("Long requests of several connections are read one after the other", async (it) => {
  await it.exec("create table t(a, b)");
  const clients = await Promise.all(Array.from({ length: 5 }, () => it.open()));
  for (const [a, client] of clients.entries()) client.sendBytes(together([longInsert(1, a)]));
  for (const client of clients) assert.equal((await client.next())?.status, "ok");
  assert.deepEqual(await it.rows("select sum(a), count(distinct b) from t"), [[10, 1]]);
});
