import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import fc from "fast-check";
import type { Answer, WireClient } from "../wire_client.ts";
import { type DaemonCase, daemonTest } from "./daemon_case.ts";

const SCHEMA = [
  "create table t(id integer primary key, v integer not null check (v < 50), note)",
  "create table p(id integer primary key)",
  "create table c(id integer primary key, p references p deferrable initially deferred)",
  "create trigger refuse before delete on t when old.v = 7 begin select raise(rollback, 'seven'); end",
];
const STATE =
  "select (select json_group_array(json_array(id, v, note)) from (select * from t order by id)), " +
  "(select json_group_array(id) from (select * from p order by id)), " +
  "(select json_group_array(json_array(id, p)) from (select * from c order by id))";

const id = fc.integer({ min: 1, max: 12 });
const statement = fc.oneof(
  id.map((n) => `insert into t values (${n}, ${n}, 'i')`),
  id.map((n) => `insert or rollback into t values (${n}, ${n}, 'r')`),
  id.map((n) => `insert or replace into t values (${n}, 0, 'x')`),
  id.map((n) => `insert or ignore into t values (${n}, 1, 'g'), (${n + 1}, 60, 'g')`),
  id.map((n) => `update t set v = v + 1, note = note || '.' where id <= ${n}`),
  id.map((n) => `update or rollback t set v = v * 2 where id = ${n}`),
  id.map((n) => `delete from t where id = ${n}`),
  id.map((n) => `insert into p values (${n})`),
  id.map((n) => `insert into c(p) values (${n})`),
  id.map((n) => `delete from p where id = ${n}`),
  id.map((n) => `delete from c where p = ${n}`),
  // Too slow for the loop: it is undone there, and run again beside it.
  id.map((n) =>
    `update t set note = (with recursive n(i) as (select 1 union all select i + 1 from n limit 60000) ` +
    `select count(*) from n) where id = ${n}`
  ),
  fc.constantFrom("select 1", "commit", "insert into nowhere values (1)", "reindex"),
);
type Request = { stmts: string[]; tx?: string } | { query: true };

const request: fc.Arbitrary<Request> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ stmts: fc.array(statement, { minLength: 1, maxLength: 4 }) }),
  },
  // Of one statement: where a later one fails, no answer tells what was kept.
  { weight: 1, arbitrary: statement.map((sql) => ({ stmts: [sql], tx: "none" })) },
  { weight: 2, arbitrary: fc.constant({ query: true } as const) },
);

interface Done {
  readonly request: Request;
  readonly answer: Answer;
}

/** Sends all at once, and gives what came of each. */
async function send(client: WireClient, requests: readonly Request[]): Promise<Done[]> {
  requests.forEach((each, i) =>
    client.send(
      "query" in each
        ? { type: "Query", sql: STATE, id: i }
        : { type: "ExecBatch", stmts: each.stmts.map((sql) => ({ sql })), tx: each.tx, id: i },
    )
  );
  const done: Done[] = [];
  for (const _ of requests) {
    const answer = await client.next();
    assert.ok(answer, "every request is answered");
    done[answer.id] = { request: requests[answer.id], answer };
  }
  return done;
}

/** On each connection effects come in the order sent, and a query sees the writes before it and none after it. */
function checkOrder(done: readonly Done[]): void {
  let last = 0;
  for (const { request, answer } of done) {
    if (answer.status !== "ok") continue;
    if ("query" in request) assert.ok(answer.rev >= last, "a query sees what was sent before it");
    else assert.ok(answer.rev > last, "revisions rise in the order sent");
    last = answer.rev;
  }
}

/** Does again what succeeded, in the order of the revisions; every query must have seen just what was then. */
function checkState(model: DatabaseSync, done: readonly Done[], from: number): number {
  const state = () => Object.values(model.prepare(STATE).get()!);
  const writes = new Map<number, Done>();
  const queries: Done[] = [];
  for (const each of done) {
    if (each.answer.status !== "ok") continue;
    if ("query" in each.request) queries.push(each);
    else writes.set(each.answer.rev, each);
  }
  let rev = from;
  const check = () => {
    for (const { answer } of queries) {
      if (answer.rev === rev) assert.deepEqual(answer.rows[0], state());
    }
  };
  check();
  const top = Math.max(rev, ...writes.keys(), ...queries.map(({ answer }) => answer.rev));
  while (rev < top) {
    rev++;
    const write = writes.get(rev);
    assert.ok(write, `revision ${rev} is somebody's`);
    const { stmts } = write.request as { stmts: string[] };
    model.exec("begin");
    for (const sql of stmts) model.exec(sql);
    model.exec("commit");
    check();
  }
  return rev;
}

async function finalState(it: DaemonCase): Promise<unknown[]> {
  return (await it.rows(STATE))[0];
}

daemonTest(
  "Database does what the same requests do one after the other, whatever they are",
  async (it) => {
    await it.exec(...SCHEMA);
    using model = new DatabaseSync(":memory:");
    for (const sql of SCHEMA) model.exec(sql);
    const clients = await Promise.all([it.open(), it.open(), it.open(), it.open()]);
    let rev = 1;
    const batches = fc.array(fc.array(request, { maxLength: 25 }), { minLength: 4, maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(batches, async (each) => {
        const done = await Promise.all(clients.map((client, c) => send(client, each[c])));
        done.forEach(checkOrder);
        rev = checkState(model, done.flat(), rev);
        assert.equal((await it.status()).rev, rev);
        assert.deepEqual(await finalState(it), Object.values(model.prepare(STATE).get()!));
        assert.deepEqual(await it.rows("pragma foreign_key_check"), []);
      }),
      // Not shrunk: the database goes on from run to run.
      { numRuns: 120, endOnFailure: true },
    );
  },
  { timeoutMs: 60_000 },
);

daemonTest("Session survives whatever bytes it is sent", async (it) => {
  const frame = fc.uint8Array({ maxLength: 60 }).map((body) => {
    const bytes = new Uint8Array(4 + body.length);
    new DataView(bytes.buffer).setUint32(0, body.length, true);
    bytes.set(body, 4);
    return bytes;
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.oneof(frame, fc.uint8Array({ maxLength: 40 })), { maxLength: 6 }),
      async (parts) => {
        const client = await it.open();
        for (const part of parts) client.sendBytes(part);
        await client.next(2);
        await client[Symbol.asyncDispose]();
        assert.equal((await it.client.ask({ type: "Ping" })).status, "ok");
      },
    ),
    { numRuns: 150 },
  );
}, { timeoutMs: 90_000 });

daemonTest("Session answers a client that has ended its side", async (it) => {
  await it.exec("create table t(a)");
  for (const sql of ["insert into t values (1)", "select count(*) from t"]) {
    const text = JSON.stringify({ type: "ExecBatch", stmts: [{ sql }] });
    using socket = await Deno.connect({ transport: "unix", path: it.daemon.endpoint });
    const bytes = new TextEncoder().encode(text);
    await socket.write(new Uint8Array([bytes.length, 0, 0, 0, ...bytes]));
    await socket.closeWrite();
    const answer = new Uint8Array(1_000);
    const count = await socket.read(answer);
    assert.match(new TextDecoder().decode(answer.subarray(4, count ?? 0)), /^\{"status":"ok"/);
    assert.equal(await socket.read(answer), null, "and closes then");
  }
}, { ignore: Deno.build.os === "windows" });
