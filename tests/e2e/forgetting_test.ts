/** Sessions and keys are forgotten after a day, though nobody writes. */
import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { type DaemonCase, daemonTest, sleep, until } from "./daemon_case.ts";

const INSERT = { type: "ExecBatch", stmts: [{ sql: "insert into t values (1)" }] };
const A_DAY_AGO = `update _skylinedb_clients set at = at - 90000 where client <> '';
  update _skylinedb_keys set at = at - 90000 where id > 0`;

/** Another program, with the file open for one script. */
function elsewhere(file: string, sql: string): void {
  const other = new DatabaseSync(file);
  other.exec(sql);
  other.close();
}

const BYTES = `select coalesce(sum(40 + length(key) + length(fingerprint) + length(answer)), 0)
  from _skylinedb_keys where id > 0`;

/** How many sessions and keys the file remembers, and by how much its count of their bytes is wrong. */
function remembered(file: string): unknown[] {
  const other = new DatabaseSync(file, { readOnly: true });
  try {
    other.exec("pragma busy_timeout = 5000");
    return Object.values(
      other.prepare(`select (select count(*) from _skylinedb_clients where client <> ''),
        (select count(*) from _skylinedb_keys where id > 0),
        (select at from _skylinedb_clients where client = '') - (${BYTES})`).get()!,
    );
  } finally {
    other.close();
  }
}

/** SQL that makes so many sessions and keys, a day old, before those that are there. */
function backlog(count: number): string {
  const numbers =
    `with recursive n(i) as (select 1 union all select i + 1 from n where i < ${count})`;
  const at = Math.floor(Date.now() / 1000) - 90_000;
  return `begin;
    update _skylinedb_keys set id = id + ${count} where id > 0;
    ${numbers} insert into _skylinedb_clients select 'c' || i, 1, '1 1', ${at} from n;
    ${numbers} insert into _skylinedb_keys select i, 'k' || i, hex(zeroblob(32)), '1 1', ${at} from n;
    update _skylinedb_clients set at = (${BYTES}) where client = '';
    commit`;
}

async function known(it: DaemonCase): Promise<void> {
  await it.exec("create table t(a)");
  await it.client.ask({ ...INSERT, client: "c", seq: 1 });
  await it.client.ask({ ...INSERT, key: "k" });
  assert.deepEqual(remembered(it.daemon.file).slice(0, 2), [1, 1]);
}

daemonTest("what is a day old goes though nobody writes, and no client sees it", async (it) => {
  await known(it);
  await it.daemon.kill();
  elsewhere(it.daemon.file, A_DAY_AGO);
  await it.daemon.restart();
  await until(() => remembered(it.daemon.file).every((count) => count === 0));
  await using client = await it.open(it.daemon.endpoint);
  const { databases: [{ rev, writes, groups, failures }] } = await client.ask({ type: "Status" });
  assert.deepEqual({ rev, writes, groups, failures }, {
    rev: 3,
    writes: 0,
    groups: 0,
    failures: 0,
  });
  const { rev: next } = await client.ask({ ...INSERT, if_rev: 3 });
  assert.equal(next, 4);
});

daemonTest("a long backlog goes though nobody writes, and writes go on meanwhile", async (it) => {
  await known(it);
  await it.daemon.kill();
  elsewhere(it.daemon.file, backlog(10_000));
  await it.daemon.restart();
  await using client = await it.open(it.daemon.endpoint);
  let rev = 3;
  await until(async () => {
    assert.equal((await client.ask(INSERT)).rev, ++rev);
    await sleep(20);
    const [sessions, keys] = remembered(it.daemon.file);
    return sessions === 1 && keys === 1;
  });
  assert.deepEqual(remembered(it.daemon.file), [1, 1, 0]);
});

daemonTest("a file that is closed is not opened to forget, and is closed in time", async (it) => {
  await known(it);
  await until(async () => !(await it.status()).open);
  elsewhere(it.daemon.file, A_DAY_AGO);
  await sleep(1_500);
  assert.deepEqual(remembered(it.daemon.file).slice(0, 2), [1, 1]);
  await until(async () => {
    await it.rows("select 1");
    return remembered(it.daemon.file).every((count) => count === 0);
  });
  await until(async () => !(await it.status()).open);
}, { args: ["--close-idle", "300ms"] });

daemonTest("a daemon ends when idle, whatever is left to forget", async (it) => {
  await known(it);
  await it.daemon.kill();
  elsewhere(it.daemon.file, backlog(100_000));
  await it.daemon.restart({ args: ["--exit-when-idle", "1200ms"] });
  assert.equal((await it.daemon.child.status).code, 0);
  const [sessions] = remembered(it.daemon.file);
  assert.ok(Number(sessions) > 1, "it ended before it was done");
});
