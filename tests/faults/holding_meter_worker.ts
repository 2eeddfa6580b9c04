/** The thread of holding_meter.ts: told an endpoint it begins to measure, told `null` it ends and tells the times. */
import { sleep } from "../e2e/daemon_case.ts";
import { WireClient } from "../wire_client.ts";
import type { Measured, Times } from "./holding_meter.ts";

const REQUESTS: Readonly<Record<Measured, object>> = {
  ping: { type: "Ping" },
  query: { type: "Query", sql: "select count(*) from small" },
  write: { type: "ExecBatch", stmts: [{ sql: "update small set a = a + 1" }] },
};
const PAUSE_MS = 4;
/** One that comes later is as bad as it can be. */
const ANSWER_MS_MAX = 30_000;

let isEnding = false;
let measuring: Promise<Times>;

async function measure(clients: ReadonlyMap<Measured, WireClient>): Promise<Times> {
  const times: Times = { ping: [], query: [], write: [] };
  await Promise.all([...clients].map(async ([what, client]) => {
    while (!isEnding) {
      const since = performance.now();
      const answer = await client.ask(REQUESTS[what], ANSWER_MS_MAX).catch(() => null);
      const ms = answer?.status === "ok" ? performance.now() - since : ANSWER_MS_MAX;
      times[what].push(ms);
      if (answer === null) return;
      await sleep(PAUSE_MS);
    }
  }));
  for (const client of clients.values()) await client[Symbol.asyncDispose]();
  return times;
}

const port = self as unknown as Worker;
port.onmessage = async ({ data }) => {
  if (data === null) {
    isEnding = true;
    port.postMessage(await measuring);
    return;
  }
  const clients = new Map<Measured, WireClient>();
  for (const what of ["ping", "query", "write"] as const) {
    clients.set(what, await WireClient.open(data));
    await clients.get(what)!.ask(REQUESTS[what]);
  }
  isEnding = false;
  measuring = measure(clients);
  port.postMessage(undefined);
};
