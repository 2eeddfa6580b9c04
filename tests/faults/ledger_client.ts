/**
 * A client of the kill ledger, a program of its own: it writes as fast as it is answered, comes back whenever the daemon
 * does, and after its own death goes on from its ledger. It ends once its standard input has ended and all is answered.
 *
 *     ledger_client.ts KIND NAME LEDGER FILE ENDPOINT
 *
 * @module
 */
import { connect, type Database } from "../../mod.ts";
import { sleep } from "../e2e/daemon_case.ts";
import { type Answer, WireClient } from "../wire_client.ts";
import { hashOf, insertOf, LedgerWriter, payloadOf, readLedger } from "./ledger.ts";

/** How a client makes its writes happen once. */
export type LedgerClientKind = "session" | "key" | "library" | "library-key";

const IN_FLIGHT = 8;
const ANSWER_MS_MAX = 20_000;
const END_MS_MAX = 30_000;
/** So often, of all answers, a client drops its connection with what is in flight on it, for no reason. */
const DROP_EACH = 200;

const [kind, name, path, file, endpoint] = Deno.args;
/** Written and not answered, in order. */
const unanswered: number[] = [];
let next = 1;
let isEnding = false;

const before = readLedger(path).entries;
using ledger = new LedgerWriter(path);
for (const [number, entry] of before) {
  next = number + 1;
  if (entry === "sent") unanswered.push(number);
}

(async () => {
  for await (const _ of Deno.stdin.readable);
  isEnding = true;
  // Whoever started it may have died, and then no daemon comes back.
  setTimeout(() => Deno.exit(1), END_MS_MAX);
})();
await (kind.startsWith("library") ? useLibrary() : useWire());
Deno.exit(0);

/** The next write's number, noted; 0 when there is to be no more. */
function take(): number {
  if (isEnding) return 0;
  const number = next++;
  ledger.sent(number, hashOf(payloadOf(name, number)));
  unanswered.push(number);
  return number;
}

async function useWire(): Promise<void> {
  while (!isEnding || unanswered.length > 0) {
    try {
      await using client = await WireClient.open(endpoint);
      await useConnection(client);
    } catch {
      await sleep(5); // nobody listens for now
    }
  }
}

/** Sends what is unanswered, then more, until the connection ends. */
async function useConnection(client: WireClient): Promise<void> {
  for (const number of unanswered) send(client, number);
  for (;;) {
    while (unanswered.length < IN_FLIGHT) {
      const number = take();
      if (number === 0) break;
      send(client, number);
    }
    if (unanswered.length === 0) return;
    const answer = await client.next(ANSWER_MS_MAX);
    if (answer === null) {
      if (!client.closed) ledger.error(unanswered[0], "no answer in time");
      return;
    }
    if (!noteAnswer(answer) || Math.random() < 1 / DROP_EACH) return;
  }
}

function send(client: WireClient, number: number): void {
  const once = kind === "key"
    ? { key: `${name}-${number}` }
    : { client: name, seq: number, acked: unanswered[0] - 1 };
  client.send({ type: "ExecBatch", id: number, stmts: [insertOf(name, number)], ...once });
}

/** False when it says to send again. */
function noteAnswer(answer: Answer): boolean {
  const at = unanswered.indexOf(answer.id);
  if (answer.status !== "ok") {
    ledger.error(answer.id ?? 0, JSON.stringify(answer));
    return false;
  }
  unanswered.splice(at, 1);
  ledger.became(answer.id, answer.replayed ? "replayed" : "acknowledged");
  return true;
}

/** The client library's session ends with the process; what was unanswered then stays unknown, unless it had a key. */
async function useLibrary(): Promise<void> {
  const again = unanswered.splice(0);
  if (kind === "library") { for (const number of again.splice(0)) ledger.became(number, "lost"); }
  for (;;) {
    try {
      await using db = await connect(file, { timeoutMs: ANSWER_MS_MAX });
      await Promise.all(Array.from({ length: IN_FLIGHT }, async () => {
        for (let number; (number = again.shift() ?? take()) !== 0;) await writeOnce(db, number);
      }));
      return;
    } catch {
      await sleep(5); // nobody listens for now
    }
  }
}

async function writeOnce(db: Database, number: number): Promise<void> {
  const { sql, params } = insertOf(name, number);
  const options = kind === "library-key" ? { key: `${name}-${number}` } : {};
  try {
    const { replayed } = await db.run(sql, params, options);
    ledger.became(number, replayed ? "replayed" : "acknowledged");
  } catch (error) {
    ledger.error(number, String(error));
  }
}
