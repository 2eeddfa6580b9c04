/**
 * A daemon whose disk is journaled while clients write, and the disks that a loss of power would have left.
 *
 * @module
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { type DaemonFixture, startDaemon } from "../daemon_fixture.ts";
import { exec, until } from "../e2e/daemon_case.ts";
import { WireClient } from "../wire_client.ts";
import { DiskJournal, type DiskRecord } from "./disk_journal.ts";
import { type DiskState, type Fate, PowerDisk } from "./power_disk.ts";
import { powerId, PowerLedger, powerWrite, SCHEMA } from "./power_ledger.ts";
import { integerBetween } from "./scenario.ts";

/** Of so many disks one is opened as a daemon does. */
const REALLY_EVERY = 20;
/** Enough to look into. */
const FAILURES_MAX = 4;
/** A daemon that is started after a kill has opened its file, and has written a few times, after so many calls. */
const CALLS_AFTER_KILL = 40;
/** Faster than a disk, where it is there. */
const MEMORY_FOLDER = "/dev/shm";

/** What a daemon did, and what its clients were told. */
export class PowerStage implements AsyncDisposable {
  readonly journal: DiskJournal;
  readonly ledger = new PowerLedger();
  readonly #clients: WireClient[] = [];
  readonly #numbers = new Map<number, number>();
  /** The power goes at one of these calls. */
  #calls: [from: number, to: number] = [0, Infinity];
  #daemon!: DaemonFixture;

  private constructor(journal: DiskJournal) {
    this.journal = journal;
  }

  /** Starts a daemon on a file that does not exist yet, and makes tables. */
  static async open(args: readonly string[] = []): Promise<PowerStage> {
    const journal = DiskJournal.open();
    const stage = new PowerStage(journal);
    try {
      const file = join(journal.folder, "app.db");
      stage.#daemon = await startDaemon({ files: [file], args, env: journal.env });
      await using client = await WireClient.open(stage.#daemon.endpoint);
      stage.ledger.note(0, await exec(client, ...SCHEMA));
      return stage;
    } catch (error) {
      await stage[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The daemon. */
  get daemon(): DaemonFixture {
    return this.#daemon;
  }

  /** So many clients write so many times, each with one request in flight. */
  async write(clients: number, times: number, bytes: number): Promise<void> {
    while (this.#clients.length < clients) {
      this.#clients.push(await WireClient.open(this.#daemon.endpoint));
    }
    await Promise.all(
      this.#clients.slice(0, clients).map(async (client, index) => {
        for (let n = 0; n < times; n++) {
          const id = this.#nextId(index);
          this.ledger.note(id, await client.ask(powerWrite(id, bytes)));
        }
      }),
    );
  }

  /**
   * A client writes so many times, or until the daemon is dead. Then it is killed and started again, its disk works, and
   * clients are told which of the writes are there that nobody knew of, as one that repeats them is. The power goes soon after.
   */
  async writeAndKill(times: number, bytes: number): Promise<void> {
    await using client = await WireClient.open(this.#daemon.endpoint);
    for (let n = 0; n < times && !client.closed; n++) {
      const id = this.#nextId(0);
      client.send(powerWrite(id, bytes));
      this.ledger.note(id, await client.next() ?? { status: "error", retry: "unknown" });
    }
    await this.#daemon.kill();
    const from = this.journal.records().length;
    this.#calls = [from, from + CALLS_AFTER_KILL];
    this.journal.failSyncs(0, 0);
    await this.restart();
    await using after = await WireClient.open(this.#daemon.endpoint);
    for (const id of this.ledger.unknown) {
      const sql = "select 1 from t where id = ?";
      const answer = await after.ask({ type: "Query", sql, params: [id] });
      if (answer.rows.length > 0) this.ledger.note(id, answer);
    }
  }

  #nextId(client: number): number {
    const number = (this.#numbers.get(client) ?? 0) + 1;
    this.#numbers.set(client, number);
    return powerId(client + 1, number);
  }

  /** The daemon has met as many failing syncs as it was to; its log is copied within a second. */
  async syncsFailed(): Promise<void> {
    await until(() => this.journal.syncsToFail === 0);
  }

  /** What the power may leave is looked at from now on alone. */
  fromNow(): void {
    this.#calls = [this.journal.records().length, Infinity];
  }

  /** Executes a statement that runs alone. */
  async alone(sql: string): Promise<void> {
    await using client = await WireClient.open(this.#daemon.endpoint);
    const answer = await client.ask({ type: "ExecBatch", tx: "none", stmts: [{ sql }] });
    if (this.ledger.note(0, answer) !== "ok") throw new Error(JSON.stringify(answer));
  }

  /** A program reads while this lasts: the log cannot start over. */
  async whileRead(work: () => Promise<void>): Promise<void> {
    using direct = new DatabaseSync(this.#daemon.file, { readOnly: true });
    direct.exec("begin");
    direct.prepare("select count(*) from t").get();
    await work();
  }

  /** Waits until the daemon has said something so many times. */
  said(what: string, times: number): Promise<void> {
    return until(() => this.#daemon.log().split(what).length > times);
  }

  /** Ends the daemon in order. */
  async shutDown(): Promise<void> {
    await using client = await WireClient.open(this.#daemon.endpoint);
    await client.ask({ type: "Shutdown" });
    await this.#daemon.child.status;
  }

  /** Starts it again; clients connect anew. */
  async restart(): Promise<void> {
    await this.#disconnect();
    await this.#daemon.restart();
  }

  async #disconnect(): Promise<void> {
    for (const client of this.#clients.splice(0)) await client[Symbol.asyncDispose]();
  }

  /** Ends the daemon; tries disks as the power might have left them, and the one that really is there. */
  async tryDisks(random: () => number, count: number): Promise<string[]> {
    await this.#daemon.kill();
    const records = this.journal.records();
    const folder = mkdtempSync(join(folderForStates(), "skylinedb-power-"));
    const failures = unlikeReal(this.journal.folder, records);
    try {
      const disk = new PowerDisk(this.journal.folder);
      let at = 0;
      let tried = 0;
      for (const cut of chooseCuts(random, records, this.#calls, count)) {
        while (at < cut) disk.apply(records[at++]);
        const fate = randomFate(random);
        const ns = records[cut]?.ns ?? 2n ** 62n;
        const isReal = tried++ % REALLY_EVERY === 0;
        const wrong = await this.ledger.check(disk.after(fate), ns, folder, isReal);
        const where = `power lost after call ${cut} of ${records.length} (${
          describe(records, cut)
        })`;
        failures.push(...wrong.map((what) => `${where}, ${fate.text}: ${what}`));
        if (failures.length >= FAILURES_MAX) break;
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
    return failures;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#disconnect();
    await this.#daemon?.[Symbol.asyncDispose]();
    this.journal[Symbol.dispose]();
  }
}

function folderForStates(): string {
  try {
    return Deno.statSync(MEMORY_FOLDER).isDirectory ? MEMORY_FOLDER : tmpdir();
  } catch {
    return tmpdir();
  }
}

/** Where the journal has missed something: with all that was written, a disk is as the real one. */
function unlikeReal(folder: string, records: readonly DiskRecord[]): string[] {
  const disk = new PowerDisk(folder);
  for (const record of records) disk.apply(record);
  const state: DiskState = disk.after({
    sector: () => true,
    truncate: () => true,
    entry: () => true,
  });
  const names = [...Deno.readDirSync(folder)].map(({ name }) => name);
  const real = names.filter((name) => !name.endsWith("-shm"));
  if (real.sort().join() !== [...state.keys()].sort().join()) {
    return [`the journal has ${[...state.keys()]}, the folder ${real}`];
  }
  const isOther = (name: string) => !readFileSync(join(folder, name)).equals(state.get(name)!);
  return real.filter(isOther).map((name) => `the journal does not hold all of ${name}`);
}

/** What happens rarely is looked at as often as what happens all the time: the kind is chosen first. */
function chooseCuts(
  random: () => number,
  records: readonly DiskRecord[],
  [from, to]: [from: number, to: number],
  count: number,
): number[] {
  const names = fileNames(records);
  const kinds = new Map<string, number[]>();
  for (let index = from; index < Math.min(to, records.length); index++) {
    const { kind } = records[index];
    const name = `${kind} ${names[index]}`;
    kinds.set(name, [...(kinds.get(name) ?? []).slice(-5_000), index]);
  }
  const all = [...kinds.values()];
  return Array.from({ length: count }, () => {
    const some = all[integerBetween(random, 0, all.length - 1)];
    // Before it or after it.
    return some[integerBetween(random, 0, some.length - 1)] + integerBetween(random, 0, 1);
  }).sort((a, b) => a - b);
}

/** The name of the file that each of them is about. */
function fileNames(records: readonly DiskRecord[]): string[] {
  const open = new Map<number, string>();
  return records.map(({ kind, fd, path }) => {
    if (kind === "open") open.set(fd, path);
    return (path || (open.get(fd) ?? "")).split("/").at(-1)!;
  });
}

function describe(records: readonly DiskRecord[], cut: number): string {
  if (cut === 0) return "nothing";
  const { kind, number, result } = records[cut - 1];
  return `${kind} ${fileNames(records.slice(0, cut)).at(-1)} ${number}${
    result < 0 ? " failed" : ""
  }`;
}

/** Of each file nothing, all or a share of what was not synced is there. */
function randomFate(random: () => number): Fate & { text: string } {
  const shares = new Map<string, number>();
  const share = (what: string) => {
    if (!shares.has(what)) shares.set(what, [0, 1, 0, 1, 0.1, 0.5, 0.9][Math.floor(random() * 7)]);
    return random() < shares.get(what)!;
  };
  return {
    sector: (name) => share(`sectors of ${name}`),
    truncate: (name) => share(`sizes of ${name}`),
    entry: () => share("names"),
    get text() {
      return [...shares].map(([what, part]) => `${100 * part}% of ${what}`).join(", ");
    },
  };
}
