/**
 * How long a daemon takes from being started to being of use, each time on a file that does not exist.
 *
 * @module
 */
import { join } from "node:path";
import { Connection } from "../client/connection.ts";
import { type Program, startDaemon } from "./daemon_under_test.ts";
import { Latencies } from "./latencies.ts";

/** What a start leads to, in this order. `version`, beside it: the program prints its version and ends. */
export const COLD_STAGES = ["version", "listening", "ping", "write"] as const;

/** From the start of the process to each of the stages. */
export type ColdStarts = Readonly<Record<typeof COLD_STAGES[number], Latencies>>;

const FIRST_WRITE = [
  "create table t(id integer primary key, v text)",
  "insert into t(v) values ('first')",
].map((sql) => ({ sql }));

/** Starts daemons one after another, `starts` times, on new files in `folder`. */
export async function coldStarts(
  program: Program,
  folder: string,
  starts: number,
): Promise<ColdStarts> {
  const stages = {
    version: new Latencies(),
    listening: new Latencies(),
    ping: new Latencies(),
    write: new Latencies(),
  };
  // One more, for what is slow only once: files that nobody has read yet, and this program's own code.
  await start(program, join(folder, "cold-0.db"));
  for (let i = 1; i <= starts; i++) {
    const { listening, ping, write } = await start(program, join(folder, `cold-${i}.db`));
    stages.listening.record(listening);
    stages.ping.record(ping);
    stages.write.record(write);
    stages.version.record(await printVersion(program));
  }
  return stages;
}

async function start(program: Program, file: string) {
  const since = performance.now();
  await using daemon = await startDaemon(program, file, "full");
  const listening = performance.now() - since;
  const connection = await Connection.open(daemon.endpoint);
  await connection.request({ type: "Ping" });
  const ping = performance.now() - since;
  await connection.request({ type: "ExecBatch", stmts: FIRST_WRITE });
  const write = performance.now() - since;
  await connection.close();
  return { listening, ping, write };
}

async function printVersion({ command: [program, ...args] }: Program): Promise<number> {
  const since = performance.now();
  const { success } = await new Deno.Command(program, { args: [...args, "--version"] }).output();
  if (!success) throw new Error(`${program} --version failed`);
  return performance.now() - since;
}
