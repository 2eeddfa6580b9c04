import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { fileURLToPath } from "node:url";
import { type DaemonFixture, startDaemon } from "../daemon_fixture.ts";
import { exec, sleep } from "../e2e/daemon_case.ts";
import { WireClient } from "../wire_client.ts";
import { killAlive } from "./crash.ts";
import { type Entry, hashOf, payloadOf, readLedger } from "./ledger.ts";
import type { LedgerClientKind } from "./ledger_client.ts";
import { counted, integerBetween, outcome, type Scenario, type ScenarioRun } from "./scenario.ts";

/** Kills of the daemon. */
const ROUNDS = { short: 10, faults: 30, soak: 1_000 };
/** After so many, the file and the clients are new: else looking at all that was written takes most of the time. */
const ROUNDS_PER_FILE = 50;
const KILL_MS_MAX = 200;
/** Clients end so long after they were told to, at most: all that they sent is answered by then. */
const END_MS_MAX = 30_000;
const KINDS: readonly LedgerClientKind[] = ["session", "session", "key", "library", "library-key"];
const PROGRAM = fileURLToPath(new URL("ledger_client.ts", import.meta.url));

/** Kills the daemon, and clients, again and again; compares what clients noted down with what is there. */
export const scenario: Scenario = {
  name: "kill ledger",
  what:
    "the daemon is killed and clients send again: nothing acknowledged is missing, nothing is there twice",
  async run(it) {
    const tally = new Tally();
    const failures: string[] = [];
    for (let left = ROUNDS[it.size]; left > 0 && failures.length === 0; left -= ROUNDS_PER_FILE) {
      failures.push(...await runOnFile(it, Math.min(left, ROUNDS_PER_FILE), tally));
      it.log(tally.text());
    }
    return outcome(tally.text(), failures);
  },
};

class Tally {
  kills = 0;
  clientKills = 0;
  readonly entries: Record<Entry, number> = { sent: 0, acknowledged: 0, replayed: 0, lost: 0 };

  text(): string {
    const { acknowledged, replayed, lost } = this.entries;
    return `${counted(this.kills)} kills, ${counted(this.clientKills)} of clients; ${
      counted(acknowledged + replayed)
    } acknowledged, ${counted(replayed)} of them when sent again; ${
      counted(lost)
    } lost with a client`;
  }
}

async function runOnFile(it: ScenarioRun, rounds: number, tally: Tally): Promise<string[]> {
  await using daemon = await startDaemon();
  {
    await using client = await WireClient.open(daemon.endpoint);
    await exec(client, "create table ledger(client, n, hash, payload)");
  }
  const clients = KINDS.map((kind, i) => new LedgerClient(kind, `${kind}-${i}`, daemon));
  const books = new Books(daemon.file, clients);
  try {
    for (let round = 1; round <= rounds; round++) {
      books.failures.push(...await killAndRestart(it, daemon, clients, tally));
      books.compare(`after kill ${round}`);
      if (books.failures.length > 0) break;
    }
    await Promise.all(clients.map((client) => client.end(books.failures)));
    books.compare("at the end");
    books.checkNothingMissing();
    await compareWithDaemon(daemon, books);
  } finally {
    await Promise.all(clients.map((client) => client.kill()));
  }
  books.count(tally);
  return books.failures;
}

/** Kills the daemon at a random moment, in some rounds clients too, before or after. */
async function killAndRestart(
  it: ScenarioRun,
  daemon: DaemonFixture,
  clients: readonly LedgerClient[],
  tally: Tally,
): Promise<string[]> {
  const victims = it.random() < 0.3 ? clients.filter(() => it.random() < 0.5) : [];
  const killClients = async () => {
    await sleep(integerBetween(it.random, 0, KILL_MS_MAX));
    await Promise.all(victims.map((client) => client.kill()));
    tally.clientKills += victims.length;
    for (const client of victims) client.start();
  };
  const killing = killClients();
  await waitForLoad(clients);
  await sleep(integerBetween(it.random, 0, KILL_MS_MAX));
  const crashed = await killAlive(daemon);
  tally.kills++;
  await killing;
  // Every other time, another program recovers the log before the daemon would.
  if (it.random() < 0.5) {
    using direct = new DatabaseSync(daemon.file);
    direct.prepare("select count(*) from ledger").get();
  }
  await daemon.restart();
  return crashed;
}

/** Until somebody was acknowledged since the last kill: without load a kill shows nothing. */
async function waitForLoad(clients: readonly LedgerClient[]): Promise<void> {
  const sizes = clients.map(({ ledger }) => sizeOf(ledger));
  const giveUpAt = performance.now() + 10_000;
  while (!clients.some(({ ledger }, i) => sizeOf(ledger) > sizes[i] + 2_000)) {
    if (performance.now() > giveUpAt) throw new Error("No client writes any more");
    await sleep(2);
  }
}

function sizeOf(path: string): number {
  try {
    return Deno.statSync(path).size;
  } catch {
    return 0; // its client has not started yet
  }
}

/** A client's process, with its ledger. */
class LedgerClient {
  readonly ledger: string;
  #child: Deno.ChildProcess;

  constructor(
    readonly kind: LedgerClientKind,
    readonly name: string,
    readonly daemon: DaemonFixture,
  ) {
    this.ledger = join(daemon.folder, `${name}.ledger`);
    this.#child = this.#spawn();
  }

  start(): void {
    this.#child = this.#spawn();
  }

  #spawn(): Deno.ChildProcess {
    const { file, endpoint } = this.daemon;
    return new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", PROGRAM, this.kind, this.name, this.ledger, file, endpoint],
      stdin: "piped",
      stdout: "null",
      stderr: "inherit",
    }).spawn();
  }

  async kill(): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    await this.#child.status;
  }

  /** Lets it have all its answers. */
  async end(failures: string[]): Promise<void> {
    await this.#child.stdin.close();
    const late = setTimeout(() => {
      failures.push(`${this.name} did not get all its answers`);
      this.kill();
    }, END_MS_MAX);
    const { code } = await this.#child.status;
    clearTimeout(late);
    if (code !== 0) failures.push(`${this.name} ended with code ${code}`);
  }
}

/** What the ledgers say beside what the file holds. */
class Books {
  readonly failures: string[] = [];
  /** For a client, the numbers of its writes that have been seen in the file. */
  readonly #seen: ReadonlyMap<string, Set<number>>;
  #lastRow = 0;

  constructor(readonly file: string, readonly clients: readonly LedgerClient[]) {
    this.#seen = new Map(clients.map(({ name }) => [name, new Set()]));
  }

  compare(when: string): void {
    const fail = (text: string) => this.failures.push(`${text}, ${when}`);
    // First what was acknowledged, then what is there: between the two there may be more, not less.
    const ledgers = this.clients.map(({ name, ledger }) => ({ name, ...readLedger(ledger) }));
    using direct = new DatabaseSync(this.file, { readOnly: true, timeout: 5_000 });
    direct.exec("begin");
    const found = direct.prepare("select rowid, * from ledger where rowid > ? order by rowid");
    for (const row of found.all(this.#lastRow)) {
      this.#lastRow = row.rowid as number;
      const [client, number] = [row.client as string, row.n as number];
      const seen = this.#seen.get(client)!;
      if (seen.has(number)) fail(`${client} ${number} is there twice`);
      seen.add(number);
      const payload = payloadOf(client, number);
      if (row.payload !== payload || row.hash !== hashOf(payload)) {
        fail(`${client} ${number} is not what was written`);
      }
    }
    const { rows } = direct.prepare("select count(*) as rows from ledger").get()!;
    const seen = [...this.#seen.values()].reduce((sum, { size }) => sum + size, 0);
    if (rows !== seen) fail(`there are ${rows} rows; ${seen} have been there`);
    for (const { name, entries, errors } of ledgers) {
      for (const error of errors) fail(`${name} met ${error}`);
      for (const [number, entry] of entries) {
        const isAcknowledged = entry === "acknowledged" || entry === "replayed";
        if (isAcknowledged && !this.#seen.get(name)!.has(number)) {
          fail(`${name} ${number} was acknowledged and is missing`);
        }
      }
    }
    const { integrity_check } = direct.prepare("pragma integrity_check").get()!;
    if (integrity_check !== "ok") fail(`integrity_check says ${integrity_check}`);
  }

  /** Once all clients have had their answers, all that they ever sent is there. */
  checkNothingMissing(): void {
    for (const { name, ledger } of this.clients) {
      for (const [number, entry] of readLedger(ledger).entries) {
        if (entry === "sent") this.failures.push(`${name} ${number} was never answered`);
      }
    }
  }

  /** Rows that have been seen. */
  get rows(): number {
    return this.#lastRow;
  }

  count(tally: Tally): void {
    for (const { ledger } of this.clients) {
      for (const entry of readLedger(ledger).entries.values()) tally.entries[entry]++;
    }
  }
}

/** The daemon sees what the file holds, and counted it: one revision for each write. */
async function compareWithDaemon(daemon: DaemonFixture, books: Books): Promise<void> {
  await using client = await WireClient.open(daemon.endpoint);
  const { rows } = await client.ask({ type: "Query", sql: "select count(*) from ledger" });
  if (rows?.[0][0] !== books.rows) books.failures.push(`the daemon sees ${rows} of ${books.rows}`);
  const { rev } = await client.ask({ type: "Ping", db: "app.db" });
  if (rev !== books.rows + 1) books.failures.push(`revision ${rev} after ${books.rows} writes`);
}
