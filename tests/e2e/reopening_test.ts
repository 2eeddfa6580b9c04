/** A database that has to be opened again while queries run. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { startDaemon } from "../daemon_fixture.ts";
import { DiskJournal, whyNoJournal } from "../faults/disk_journal.ts";
import { WireClient } from "../wire_client.ts";
import { daemonTest, exec, rows, until, within } from "./daemon_case.ts";

/** Numbers up to a bound. */
const count = (to: number) =>
  `with recursive i(n) as (select 1 union all select n + 1 from i limit ${to}) select count(*) from i`;

const reason = whyNoJournal();
if (reason !== undefined) console.log(`Skipping a test of failing syncs: ${reason}`);

Deno.test({
  name: "a query that runs is ended where the database has to be opened again, and can be repeated",
  ignore: reason !== undefined,
  fn: () =>
    within(60_000, async () => {
      using journal = DiskJournal.open();
      const files = [join(journal.folder, "app.db")];
      await using daemon = await startDaemon({ files, env: journal.env });
      await using writer = await WireClient.open(daemon.endpoint);
      await using reader = await WireClient.open(daemon.endpoint);
      await exec(writer, "create table t(a)");
      // Without an end it would be answered TIMEOUT, and the write would wait for it.
      await reader.begin({ type: "Query", sql: count(1e12), timeout_ms: 20_000 });
      journal.failSyncs(0, 1);
      const insert = [{ sql: "insert into t values (1)" }];
      const written = await writer.ask({ type: "ExecBatch", stmts: insert }, 30_000);
      const ended = await reader.next(30_000);
      assert.deepEqual([ended?.code, ended?.retry], ["DATABASE_BUSY", "safe"]);
      assert.ok(written.status === "ok" || written.code === "DISK_FAILED", JSON.stringify(written));
      const there = written.status === "ok" ? 1 : 0;
      assert.deepEqual(await rows(reader, "select count(*) from t"), [[there]]);
      // Long enough to be done beside the loop: what ended the other ends no more.
      assert.deepEqual(await rows(reader, count(2e6)), [[2e6]]);
      await exec(writer, "insert into t values (2)");
    }),
});

daemonTest(
  "a log that was left is begun anew at the start, unless another program reads from it",
  async (it) => {
    const { daemon } = it;
    const walBytes = () => Deno.lstatSync(`${daemon.file}-wal`).size;
    const begins = () => Deno.readFileSync(`${daemon.file}-wal`).subarray(16, 24).join();
    const insert = async (n: number) => {
      await using client = await WireClient.open(daemon.endpoint);
      return (await exec(client, ["insert into t values (?)", n])).rev;
    };
    await it.exec("create table t(a)");
    const rev = await insert(1);
    await daemon.kill();
    const left = begins();
    await daemon.restart();
    assert.notEqual(begins(), left, "the log has another salt");
    assert.ok(walBytes() > 0);
    assert.equal(await insert(2), rev + 1, "and no revision was given");
    await daemon.kill();
    const kept = begins();
    const other = new DatabaseSync(daemon.file, { readOnly: true });
    other.exec("begin");
    other.prepare("select count(*) from t").get();
    await daemon.restart();
    await until(() => daemon.log().includes("The log was left as it is"));
    assert.equal(begins(), kept);
    assert.equal(await insert(3), rev + 2);
    other.close();
  },
);
