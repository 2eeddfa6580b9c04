import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { DatabaseSync } from "node:sqlite";
import { encodeFrame } from "../../client/frame.ts";
import type { Answer, WireClient } from "../wire_client.ts";
import { type DaemonCase, daemonTest, exec, sleep, until } from "./daemon_case.ts";

/** Sends all at once, so that they share a group, and gives the answers in the order of the requests. */
async function together(
  client: WireClient,
  requests: (string | string[])[],
  options: object = {},
): Promise<Answer[]> {
  client.sendBytes(Buffer.concat(requests.map((sql, id) =>
    encodeFrame(JSON.stringify({
      type: "ExecBatch",
      stmts: [sql].flat().map((each) => ({ sql: each })),
      id,
      ...options,
    }))
  )));
  const answers: Answer[] = [];
  for (const _ of requests) {
    const answer = await client.next();
    assert.ok(answer, `${answers.length} of ${requests.length} answers came`);
    answers.push(answer);
  }
  return answers.sort((a, b) => a.id - b.id);
}

const insert = (n: number | string) => `insert into t(n) values (${n})`;

/** What a member that fails in the middle of a group must do: nothing, and nothing to the others. */
async function checkFailsAlone(
  it: DaemonCase,
  bad: string | string[],
  expected: Record<string, unknown>,
): Promise<void> {
  await it.exec("delete from t");
  const { rev, groups } = await it.status();
  const answers = await together(it.client, [
    ...[1, 2, 3].map(insert),
    bad,
    ...[4, 5, 6].map(insert),
  ]);
  const what = `${bad} → ${JSON.stringify(answers)}`;
  const [failed] = answers.splice(3, 1);
  for (const [name, value] of Object.entries({ status: "error", ...expected })) {
    assert.equal(failed[name], value, what);
  }
  assert.deepEqual(
    answers.map((answer) => answer.rev),
    [1, 2, 3, 4, 5, 6].map((i) => rev + i),
    what,
  );
  assert.deepEqual((await it.rows("select n from t order by rowid")).flat(), [1, 2, 3, 4, 5, 6]);
  // What was acknowledged is what others see: nothing is in a transaction that was left open.
  using direct = new DatabaseSync(it.daemon.file, { readOnly: true });
  assert.deepEqual({ ...direct.prepare("select count(*) as n from t").get() }, { n: 6 }, what);
  assert.equal((await it.status()).rev, rev + 6);
  assert.ok((await it.status()).groups <= groups + 4, "they shared commits");
}

const SCHEMA = [
  "create table t(id integer primary key, n unique check (n < 1000))",
  "create table parent(id integer primary key)",
  "create table child(id integer primary key, p references parent deferrable initially deferred)",
  "create table strict_child(p references parent)",
  "create table judge(a)",
  "create trigger j1 before insert on judge when new.a = 'rollback' begin select raise(rollback, 'no'); end",
  "create trigger j2 before insert on judge when new.a = 'abort' begin select raise(abort, 'no'); end",
  "create trigger j3 after insert on judge when new.a = 'fail' begin select raise(fail, 'no'); end",
  "create table roll(a unique on conflict rollback)",
  "insert into roll values (1)",
];

daemonTest("GroupCommit fails a member alone when it ends the whole transaction", async (it) => {
  await it.exec(...SCHEMA);
  const unique = { code: "SQL_ERROR", sqlite_code: "SQLITE_CONSTRAINT_UNIQUE" };
  await checkFailsAlone(it, "insert or rollback into t(n) values (50), (1)", unique);
  await checkFailsAlone(it, [insert(60), "insert or rollback into t(n) values (1)"], {
    ...unique,
    statement: 1,
  });
  await checkFailsAlone(it, "insert or rollback into t(n) values (2000)", {
    sqlite_code: "SQLITE_CONSTRAINT_CHECK",
  });
  await checkFailsAlone(it, [insert(70), "insert into roll values (1)"], unique);
  await checkFailsAlone(it, [insert(80), "insert into judge values ('rollback')", insert(81)], {
    code: "SQL_ERROR",
    sqlite_code: "SQLITE_CONSTRAINT_TRIGGER",
    statement: 1,
  });
  assert.deepEqual(await it.rows("select count(*) from judge"), [[0]]);
});

daemonTest("GroupCommit fails a member alone when a constraint stops it", async (it) => {
  await it.exec(...SCHEMA);
  await checkFailsAlone(it, [insert(50), insert(1)], { sqlite_code: "SQLITE_CONSTRAINT_UNIQUE" });
  await checkFailsAlone(it, [insert(50), "insert or fail into t(n) values (51), (1), (52)"], {
    sqlite_code: "SQLITE_CONSTRAINT_UNIQUE",
  });
  await checkFailsAlone(it, [insert(50), "insert into judge values ('abort')"], { statement: 1 });
  await checkFailsAlone(it, [insert(50), "insert into judge values ('fail')"], { statement: 1 });
  await checkFailsAlone(it, [insert(50), "insert into strict_child values (9)"], {
    sqlite_code: "SQLITE_CONSTRAINT_FOREIGNKEY",
  });
  await checkFailsAlone(it, [insert(50), "insert into nowhere values (1)"], { statement: 1 });
  await checkFailsAlone(it, [insert(50), "nonsense"], { statement: 1 });
  await checkFailsAlone(it, [insert(50), "create table u(a)", "create table u(a)"], {
    statement: 2,
  });
  await checkFailsAlone(it, [insert(50), "drop table parent", "select abs(-9223372036854775808)"], {
    statement: 2,
  });
  assert.deepEqual(await it.rows("select count(*) from judge"), [[0]]);
});

daemonTest(
  "GroupCommit fails a member alone when a deferred foreign key is violated",
  async (it) => {
    await it.exec(...SCHEMA);
    const violated = { code: "SQL_ERROR", sqlite_code: "SQLITE_CONSTRAINT_FOREIGNKEY" };
    await checkFailsAlone(it, [insert(50), "insert into child(p) values (9)"], violated);
    assert.deepEqual(await it.rows("select count(*) from child"), [[0]]);
    // One that is met in the end is none, and one member's promise is not another's.
    const answers = await together(it.client, [
      ["insert into child(p) values (7)", "insert into parent values (7)"],
      "insert into child(p) values (8)",
      "insert into parent values (8)",
      "insert into child(p) values (8)",
      ["delete from parent where id = 7", insert(90)],
      ["delete from parent where id = 7", "delete from child where p = 7"],
    ]);
    assert.deepEqual(
      answers.map(({ status }) => status),
      ["ok", "error", "ok", "ok", "error", "ok"],
      JSON.stringify(answers),
    );
    // Also where no other fails, and after all that has.
    for (const id of [18, 19]) {
      const [child, parent] = await together(it.client, [
        `insert into child(p) values (${id})`,
        `insert into parent values (${id})`,
      ]);
      assert.deepEqual([child.status, parent.status], ["error", "ok"], `${id}`);
    }
    assert.deepEqual(await it.rows("pragma foreign_key_check"), []);
    assert.deepEqual(await it.rows("select p from child"), [[8]]);
    assert.deepEqual(await it.rows("select n from t where n >= 50"), []);
  },
);

daemonTest("GroupCommit checks deferred foreign keys of what runs alone as well", async (it) => {
  await it.exec(...SCHEMA);
  const none = await it.client.ask({
    type: "ExecBatch",
    tx: "none",
    stmts: [{ sql: insert(1) }, { sql: "insert into child(p) values (9)" }, { sql: insert(2) }],
  });
  assert.equal(none.sqlite_code, "SQLITE_CONSTRAINT_FOREIGNKEY", JSON.stringify(none));
  assert.equal(none.statement, 1, JSON.stringify(none));
  const slow = await it.client.ask({
    type: "ExecBatch",
    stmts: [{
      sql: "insert into child(p) with recursive n(i) as " +
        "(select 1 union all select i + 1 from n limit 300000) select 9 from n",
    }],
  });
  assert.equal(slow.sqlite_code, "SQLITE_CONSTRAINT_FOREIGNKEY", JSON.stringify(slow));
  assert.deepEqual(await it.rows("select n from t"), [[1]]);
  assert.deepEqual(await it.rows("select count(*) from child"), [[0]]);
  assert.equal((await it.exec(insert(3))).rev, 3);
});

daemonTest("GroupCommit keeps all others right when every third member fails", async (it) => {
  await it.exec(...SCHEMA);
  const kinds = [
    "insert or rollback into t(n) values (2000)",
    "insert into child(p) values (9)",
    "insert into judge values ('rollback')",
    "insert into nowhere values (1)",
    "select raise(abort, 'x')",
    "commit",
  ];
  const clients = await Promise.all(Array.from({ length: 4 }, () => it.open()));
  await it.exec("create table mine(client, i)");
  const done = await Promise.all(clients.map(async (client, c) => {
    const requests = Array.from(
      { length: 150 },
      (_, i) =>
        i % 3 === 1
          ? [`insert into mine values (${c}, -1)`, kinds[(i / 3 | 0) % kinds.length]]
          : `insert into mine values (${c}, ${i})`,
    );
    const answers = await together(client, requests);
    answers.forEach((answer, i) =>
      assert.equal(
        answer.status,
        i % 3 === 1 ? "error" : "ok",
        JSON.stringify([requests[i], answer]),
      )
    );
    return answers.filter(({ status }) => status === "ok").map(({ rev }) => rev as number);
  }));
  const revisions = done.flat().sort((a, b) => a - b);
  assert.deepEqual(revisions, Array.from({ length: 400 }, (_, i) => i + 3));
  assert.deepEqual(
    await it.rows("select count(*), sum(i < 0), count(distinct client || ' ' || i) from mine"),
    [[400, 0, 400]],
  );
});

daemonTest("GroupCommit shares commits when 64 clients write", async (it) => {
  await it.exec("create table t(client, i)");
  const before = await it.status();
  const clients = await Promise.all(Array.from({ length: 64 }, () => it.open()));
  await Promise.all(clients.map(async (client, c) => {
    for (let i = 0; i < 30; i++) await exec(client, [`insert into t values (?, ?)`, c, i]);
  }));
  const after = await it.status();
  const writes = after.writes - before.writes;
  const groups = after.groups - before.groups;
  assert.equal(writes, 64 * 30);
  assert.ok(groups < writes / 4, `${groups} groups of ${writes} writes`);
  assert.deepEqual(await it.rows("select count(distinct client || ' ' || i) from t"), [[1920]]);
  assert.equal(after.rev, before.rev + 1920);
});

/** How many times a process calls fsync and fdatasync while `work` runs; `null` where strace cannot attach. */
async function countSyncs(pid: number, work: () => Promise<void>): Promise<number | null> {
  const output = await Deno.makeTempFile({ prefix: "skylinedb-strace-" });
  try {
    const strace = new Deno.Command("strace", {
      args: ["-f", "-e", "trace=fsync,fdatasync", "-o", output, "-p", String(pid)],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    await sleep(300);
    await work();
    await sleep(50);
    try {
      strace.kill("SIGINT");
    } catch {
      return null;
    }
    if ((await strace.status).code === 1) return null;
    return (await Deno.readTextFile(output)).match(/\b(fsync|fdatasync)\(/g)?.length ?? 0;
  } finally {
    await Deno.remove(output);
  }
}

const hasStrace = Deno.build.os === "linux" &&
  await new Deno.Command("strace", { args: ["-V"], stdout: "null", stderr: "null" }).output()
    .then(() => true, () => false);
if (!hasStrace) console.log("Skipping the count of fsync calls: there is no strace");

for (const durability of ["full", "normal"]) {
  daemonTest(`GroupCommit syncs once a group with durability ${durability}`, async (it) => {
    await it.exec("create table t(a)");
    await exec(it.client, "insert into t values (0)");
    let groups = (await it.status()).groups;
    const syncs = await countSyncs(it.daemon.pid, async () => {
      for (let i = 0; i < 20; i++) await it.exec("insert into t values (1)");
      await together(it.client, Array.from({ length: 200 }, () => "insert into t values (2)"));
    });
    groups = (await it.status()).groups - groups;
    assert.ok(groups >= 20 && groups < 120, `${groups} groups of 220 writes`);
    if (syncs === null) return console.log("  strace may not attach to the daemon here");
    assert.equal(syncs, durability === "full" ? groups : 0);
    assert.equal((await it.status()).durability, durability);
  }, { args: durability === "full" ? [] : ["--durability", durability], ignore: !hasStrace });
}

daemonTest("Checkpoints keep the log small under sustained load", async (it) => {
  await it.exec("create table t(id integer primary key, a)");
  const { file } = it.daemon;
  let largest = 0;
  let writing = true;
  const watch = (async () => {
    while (writing) {
      largest = Math.max(largest, Deno.lstatSync(`${file}-wal`).size);
      await sleep(2);
    }
  })();
  const clients = await Promise.all(Array.from({ length: 8 }, () => it.open()));
  const payload = "x".repeat(1_000);
  await Promise.all(clients.map(async (client) => {
    for (let round = 0; round < 100; round++) {
      await together(
        client,
        Array.from({ length: 32 }, () => `insert into t(a) values ('${payload}')`),
      );
    }
  }));
  writing = false;
  await watch;
  const { size } = Deno.lstatSync(file);
  assert.ok(size > 20_000_000, `${size} bytes were written and are in the file`);
  assert.ok(largest < 12_000_000, `the log grew to ${largest} bytes`);
  assert.ok((await it.status()).wal_frames_left < 4_000);
}, { timeoutMs: 90_000 });

daemonTest("Checkpoints catch up after a reader of another process held them back", async (it) => {
  await it.exec("create table t(id integer primary key, a)", "insert into t values (1, 1)");
  const write = async (times: number) => {
    for (let i = 0; i < times; i++) {
      await it.exec("insert into t(a) select randomblob(100000)");
    }
  };
  const reader = new DatabaseSync(it.daemon.file, { readOnly: true });
  try {
    reader.exec("begin; select * from t");
    await write(150);
    assert.ok((await it.status()).wal_frames_left > 1_000);
    assert.deepEqual({ ...reader.prepare("select count(*) as n from t").get() }, { n: 1 });
  } finally {
    reader.close();
  }
  await write(60);
  await until(async () => (await it.status()).wal_frames_left < 1_000);
  assert.deepEqual(await it.rows("select count(*) from t"), [[211]]);
});

daemonTest("Database enforces foreign keys unless told otherwise", async (it) => {
  await it.exec("create table p(id integer primary key)", "create table c(p references p)");
  assert.equal((await it.exec("insert into c values (1)")).status, "ok");
  assert.deepEqual(await it.rows("pragma foreign_keys"), [[0]]);
}, { args: ["--foreign-keys", "off"] });

daemonTest("GroupCommit undoes a large request without harm to the others", async (it) => {
  await it.exec(
    "create table t(id integer primary key, n unique)",
    "insert into t(n) with recursive n(i) as (select 1 union all select i + 1 from n limit 50000) " +
      "select i from n",
  );
  const [first, failed, last] = await together(it.client, [
    "update t set n = n + 1000000",
    ["update t set n = n + 1000000", "update t set n = 7"],
    "insert into t(n) values (1)",
  ]);
  assert.deepEqual(
    [first.status, failed.sqlite_code, last.status],
    ["ok", "SQLITE_CONSTRAINT_UNIQUE", "ok"],
    JSON.stringify([first, failed, last]),
  );
  assert.deepEqual(
    await it.rows("select count(*), min(n), max(n) from t"),
    [[50_001, 1, 1_050_000]],
  );
});
