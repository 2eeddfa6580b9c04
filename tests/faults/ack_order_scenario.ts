import { startDaemon } from "../daemon_fixture.ts";
import { exec } from "../e2e/daemon_case.ts";
import { WireClient } from "../wire_client.ts";
import { counted, outcome, type Scenario } from "./scenario.ts";
import { Trace, whyNoTrace } from "./strace.ts";
import { unsyncedAnswers } from "./sync_order.ts";

const ANSWERS = { short: 1_000, faults: 4_000, soak: 20_000 };
const ANSWER_MS_MAX = 20_000;

/** Looks at the daemon's system calls: no answer leaves before the fsync that covers what it acknowledges. */
export const scenario: Scenario = {
  name: "ack order",
  what: "each answer leaves after the fsync that covers its frames in the log",
  skip: whyNoTrace,
  async run(it) {
    const failures: string[] = [];
    const tried: string[] = [];
    for (const [clients, inFlight] of [[1, 1], [8, 8]] as const) {
      const { answers, syncs, failed } = await trace(clients, inFlight, ANSWERS[it.size]);
      tried.push(
        `${clients} × ${inFlight} in flight: ${counted(answers)} answers, ${counted(syncs)} fsyncs`,
      );
      failures.push(...failed.map((failure) => `${clients} × ${inFlight} in flight: ${failure}`));
      it.log(tried.at(-1)!);
    }
    return outcome(tried.join("; "), failures);
  },
};

async function trace(clients: number, inFlight: number, answers: number) {
  await using daemon = await startDaemon();
  await using first = await WireClient.open(daemon.endpoint);
  await exec(first, "create table t(a)");
  await using trace = await Trace.attach(daemon.pid, [
    ...["-tt", "-y", "-s", "16384"],
    ...["-e", "trace=fdatasync,fsync,sendto,write,writev,pwrite64"],
  ]);
  let nextId = 1;
  await Promise.all(Array.from({ length: clients }, async () => {
    await using client = await WireClient.open(daemon.endpoint);
    let waiting = 0;
    const send = () => {
      if (nextId > answers) return;
      const id = nextId++;
      waiting++;
      const stmts = [{ sql: "insert into t values (?)", params: [`ack-${id};`] }];
      client.send({ type: "ExecBatch", id, stmts });
    };
    for (let i = 0; i < inFlight; i++) send();
    while (waiting > 0) {
      const answer = await client.next(ANSWER_MS_MAX);
      if (answer?.status !== "ok") throw new Error(`Not acknowledged: ${JSON.stringify(answer)}`);
      waiting--;
      send();
    }
  }));
  const { acknowledged, syncs, early } = unsyncedAnswers(await trace.end(), `${daemon.file}-wal`);
  const failed = early.slice(0, 5);
  if (early.length > failed.length) failed.push(`… and ${early.length - failed.length} more`);
  if (acknowledged !== answers) {
    failed.push(`the trace shows ${acknowledged} answers of ${answers}`);
  }
  return { answers: acknowledged, syncs, failed };
}
