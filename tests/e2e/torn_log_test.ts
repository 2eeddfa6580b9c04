/** What is left of a log whose end did not reach the disk whole. */
import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { startDaemon } from "../daemon_fixture.ts";
import { WireClient } from "../wire_client.ts";
import { exec, rows, within } from "./daemon_case.ts";

const WRITES = 30;
const COPIES = 12;

/** A way to damage a log from a byte on. */
type Damage = (log: Uint8Array, at: number) => Uint8Array;

const DAMAGES: Readonly<Record<string, Damage>> = {
  "ends early": (log, at) => log.slice(0, at),
  "ends in bytes that were never written": (log, at) => log.slice().fill(0xa5, at),
  "has a wrong bit": (log, at) => log.with(at, log[at] ^ 0x10),
};

/** Each is two rows, so that half of one would show. */
function insert(seq: number): object {
  const row = { sql: "insert into t values (?, randomblob(700))", params: [seq] };
  return { type: "ExecBatch", client: "torn", seq, acked: 0, stmts: [row, row] };
}

/** The bytes of a killed daemon's database and log, and where in the log each write ends. */
async function killedWithLog(): Promise<{ database: Uint8Array; log: Uint8Array; ends: number[] }> {
  await using daemon = await startDaemon();
  await using client = await WireClient.open(daemon.endpoint);
  await exec(client, "create table t(seq, filler)");
  const end = () => Deno.lstatSync(`${daemon.file}-wal`).size;
  const ends = [end()];
  for (let seq = 1; seq <= WRITES; seq++) {
    assert.equal((await client.ask(insert(seq))).status, "ok");
    ends.push(end());
  }
  await daemon.kill();
  const [database, log] = ["", "-wal"].map((suffix) => Deno.readFileSync(daemon.file + suffix));
  assert.equal(log.length, ends.at(-1));
  return { database, log, ends };
}

for (const [how, damage] of Object.entries(DAMAGES)) {
  Deno.test(`start keeps every write before the place where the log ${how}, and none in part`, () =>
    within(90_000, async () => {
      const { database, log, ends } = await killedWithLog();
      const names = Array.from({ length: COPIES }, (_, i) => `copy${i}.db`);
      await using daemon = await startDaemon({ files: names });
      await daemon.kill();
      const places = daemon.files.map((file) => {
        const at = ends[0] + Math.floor(Math.random() * (log.length - ends[0]));
        Deno.writeFileSync(file, database);
        Deno.writeFileSync(`${file}-wal`, damage(log, at));
        Deno.removeSync(`${file}-shm`);
        return at;
      });
      await daemon.restart();
      for (const [i, at] of places.entries()) {
        const kept = ends.findLastIndex((end) => end <= at);
        await using client = await WireClient.open(daemon.endpoints[i]);
        const counts = (seqMax: number) =>
          Array.from({ length: seqMax }, (_, seq) => [seq + 1, 2] as const);
        const select = "select seq, count(*) from t group by seq order by seq";
        assert.deepEqual(await rows(client, select), counts(kept), `damaged at ${at}`);
        // What was kept is known to have been done, and what was lost is done when it is sent again.
        for (let seq = 1; seq <= WRITES; seq++) {
          const { status, replayed } = await client.ask(insert(seq));
          assert.deepEqual([status, replayed ?? false], ["ok", seq <= kept]);
        }
        assert.deepEqual(await rows(client, select), counts(WRITES));
      }
      await daemon.kill();
      for (const file of daemon.files) {
        using direct = new DatabaseSync(file);
        const { integrity_check } = direct.prepare("pragma integrity_check").get()!;
        assert.equal(integrity_check, "ok");
      }
    }));
}
