import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { type DaemonFixture, startDaemon } from "../daemon_fixture.ts";
import { WireClient } from "../wire_client.ts";
import { exec, rows, until, within } from "./daemon_case.ts";

const CLIENTS = 6;
const IN_FLIGHT = 8;
/** Within it there is load, however busy the machine. */
const LOAD_MS_MAX = 20_000;

/** What one client was told. */
interface Ledger {
  sent: number;
  /** Numbers of the writes that were acknowledged, each with its revision. */
  acknowledged: Map<number, number>;
}

/** Writes until the daemon is gone. Each request is two rows that belong together. */
async function writeUntilGone(endpoint: string, round: number, c: number, ledger: Ledger) {
  await using client = await WireClient.open(endpoint);
  const send = () => {
    const id = ledger.sent++;
    const row = { sql: "insert into ledger values (?, ?, ?)", params: [round, c, id] };
    client.send({ type: "ExecBatch", stmts: [row, row], id });
  };
  for (let i = 0; i < IN_FLIGHT; i++) send();
  for (let answer; (answer = await client.next()) !== null;) {
    assert.equal(answer.status, "ok", JSON.stringify(answer));
    ledger.acknowledged.set(answer.id, answer.rev);
    send();
  }
}

/** Kills the daemon while all write, once each was acknowledged so many writes. */
async function killUnderLoad(daemon: DaemonFixture, round: number, acknowledged: number) {
  const ledgers = Array.from(
    { length: CLIENTS },
    (): Ledger => ({ sent: 0, acknowledged: new Map() }),
  );
  const writing = Promise.all(
    ledgers.map((ledger, c) => writeUntilGone(daemon.endpoint, round, c, ledger)),
  );
  try {
    const hasLoad = () => ledgers.every((each) => each.acknowledged.size >= acknowledged);
    await until(hasLoad, LOAD_MS_MAX);
  } finally {
    await daemon.kill();
    await writing;
  }
  return ledgers;
}

for (const durability of ["full", "normal"]) {
  Deno.test(`every acknowledged write is there after SIGKILL with durability ${durability}`, () =>
    within(100_000, async () => {
      await using home = await startDaemon({ args: ["--durability", durability] });
      await using first = await WireClient.open(home.endpoint);
      await exec(first, "create table ledger(round, client, i)");
      let revision = 1;
      for (let round = 0; round < 5; round++) {
        await using next = round === 0
          ? null
          : await startDaemon({ files: [home.file], args: ["--durability", durability] });
        const daemon = next ?? home;
        const ledgers = await killUnderLoad(daemon, round, 10 + 100 * round);
        // Once as any reader finds the file after the crash, and once through the next daemon.
        using direct = new DatabaseSync(home.file);
        for (const [c, { sent, acknowledged }] of ledgers.entries()) {
          const found = new Map(
            direct.prepare(
              "select i, count(*) as n from ledger where round = ? and client = ? group by i",
            )
              .all(round, c).map(({ i, n }) => [i as number, n as number]),
          );
          for (const [i, n] of found) assert.equal(n, 2, `${i} is there whole`);
          for (const i of acknowledged.keys()) {
            assert.ok(
              found.has(i),
              `round ${round}, client ${c}: ${i} was acknowledged and is lost`,
            );
          }
          // In order: nothing is there without all that the same client sent before it.
          assert.deepEqual(
            [...found.keys()].sort((a, b) => a - b),
            [...found.keys()].keys().toArray(),
          );
          assert.ok(found.size <= sent);
          const revisions = [...acknowledged.values()];
          assert.ok(revisions.every((rev) => rev > revision), "revisions went on from the last");
        }
        const top = direct.prepare(
          "select seq as revision from _skylinedb_clients where client = ''",
        ).get()!
          .revision as number;
        const stored = direct.prepare("select count(*) / 2 as n from ledger").get()!.n as number;
        assert.equal(top, stored + 1, "one revision for each write that is there");
        revision = top;
        assert.deepEqual({ ...direct.prepare("pragma integrity_check").get() }, {
          integrity_check: "ok",
        });
      }
      await using last = await startDaemon({ files: [home.file] });
      await using client = await WireClient.open(last.endpoint);
      assert.equal((await client.ask({ type: "Ping", db: "app.db" })).rev, revision);
      const [[count]] = await rows(client, "select count(*) from ledger");
      assert.equal((count as number) / 2 + 1, revision);
    }));
}

Deno.test("every write that was acknowledged while the log was checkpointed is there after SIGKILL", () =>
  within(100_000, async () => {
    await using home = await startDaemon();
    for (let round = 0; round < 3; round++) {
      await using next = round === 0 ? null : await startDaemon({ files: [home.file] });
      const daemon = next ?? home;
      await using client = await WireClient.open(daemon.endpoint);
      await exec(client, "create table if not exists large(id integer primary key, a)");
      let acknowledged = 0;
      const [[before]] = await rows(client, "select count(*) from large") as number[][];
      const writing = (async () => {
        for (;;) {
          client.send({
            type: "ExecBatch",
            stmts: [{ sql: "insert into large(a) values (randomblob(30000))" }],
          });
          if (await client.next() === null) return;
          acknowledged++;
        }
      })();
      // Of 30 KB each: the log is checkpointed several times.
      await until(() => acknowledged > 200 + 60 * round, LOAD_MS_MAX);
      await daemon.kill();
      await writing;
      using direct = new DatabaseSync(home.file);
      const stored = direct.prepare("select count(*) as n from large").get()!.n as number;
      const lost = before + acknowledged - stored;
      assert.ok(lost === 0 || lost === -1, `${lost} are lost`);
      assert.deepEqual({ ...direct.prepare("pragma integrity_check").get() }, {
        integrity_check: "ok",
      });
    }
  }));
