import { type DaemonFixture, executable, source, startDaemon } from "../daemon_fixture.ts";
import { exec, rows, sleep } from "../e2e/daemon_case.ts";
import { WireClient } from "../wire_client.ts";
import { counted, integerBetween, outcome, type Scenario, type ScenarioRun } from "./scenario.ts";
import { SmallDisk, whyNoSmallDisk } from "./small_disk.ts";
import { countsText, ToldLedger } from "./told.ts";

const ROUNDS = { short: 20, faults: 200, soak: 2_000 };
const DISK_MEBIBYTES = 4;
const CLIENTS = 3;
const IN_FLIGHT = 4;
/** A client that was refused so often has seen that the disk is full. */
const REFUSALS_EACH = 20;
/** Of so many requests one is of two statements that are a transaction each. */
const EACH_EVERY = 4;
/** Enough to look into. */
const FAILURES_MAX = 20;
const ROW_BYTES = 8_000;
/** What is left of the disk, at most: with four times as much in the log, it and the database still fit. */
const FREE_BYTES_MAX = 150_000;
/** As many rows are more than the disk holds. */
const SENT_EACH_MAX = 600;
/** "At once": what a loaded machine makes of it. */
const REFUSAL_MS_MAX = 1_000;
const RECOVERY_MS_MAX = 5_000;

/** Fills the disk under a daemon, and gives the space back. */
export const scenario: Scenario = {
  name: "full disk",
  what: "DISK_FULL at once, all acknowledged data kept, writes go on within 5 s of space returning",
  skip: whyNoSmallDisk,
  async run(it) {
    await using disk = await SmallDisk.mount(DISK_MEBIBYTES);
    await using daemon = await startDaemon({
      files: [`${disk.folder}/app.db`],
      program: disk.inside(executable ?? source),
    });
    const stage = new Stage(it, disk, daemon);
    const failures: string[] = [];
    {
      await using client = await WireClient.open(daemon.endpoint);
      await exec(client, "create table t(id integer primary key, a)", "create table bulk(a)");
    }
    for (let round = 0; round < ROUNDS[it.size]; round++) {
      const ending = round % 4 === 3 ? "killed" : "goes on";
      const failed = await stage.round(ending);
      failures.push(...failed.map((failure) => `round ${round}, ${ending}: ${failure}`));
      if (failures.length > FAILURES_MAX) break;
      if (round % 20 === 19) it.log(`${round + 1} rounds: ${stage.text()}`);
    }
    return outcome(stage.text(), failures);
  },
};

class Stage {
  readonly #ledger = new ToldLedger();
  #nextId = 1;
  #rounds = 0;
  #slowestRefusalMs = 0;
  #slowestRecoveryMs = 0;

  constructor(
    readonly it: ScenarioRun,
    readonly disk: SmallDisk,
    readonly daemon: DaemonFixture,
  ) {}

  text(): string {
    const times = [this.#slowestRefusalMs, this.#slowestRecoveryMs].map(Math.round);
    return `full ${counted(this.#rounds)} times; told ${
      countsText(this.#ledger.counts)
    }; refused in ${times[0]} ms, back in ${times[1]} ms`;
  }

  /** One filling, with what did not hold. */
  async round(ending: "killed" | "goes on"): Promise<string[]> {
    this.#rounds++;
    const failures: string[] = [];
    const before = this.#ledger.failures.length;
    this.disk.fill(integerBetween(this.it.random, 0, FREE_BYTES_MAX));
    await Promise.all(Array.from({ length: CLIENTS }, () => this.#writeUntilRefused(failures)));
    failures.push(...this.#ledger.failures.slice(before));
    failures.push(...await this.#compare("while the disk is full"));
    if (ending === "killed") await this.daemon.kill();
    this.disk.free();
    if (ending === "killed") await this.daemon.restart();
    failures.push(...await this.#recover());
    failures.push(...await this.#compare("when there is space again"));
    if (ending === "killed") await this.#emptyLog();
    return failures;
  }

  /** A daemon that ends in order copies the log into the database: else in the end the log alone would fill the disk. */
  async #emptyLog(): Promise<void> {
    await using client = await WireClient.open(this.daemon.endpoint);
    await client.ask({ type: "Shutdown" });
    await this.daemon.child.status;
    await this.daemon.restart();
  }

  async #writeUntilRefused(failures: string[]): Promise<void> {
    await using client = await WireClient.open(this.daemon.endpoint);
    const sentAt = new Map<number, number>();
    const each = new Set<number>();
    let sent = 0;
    const send = () => {
      sent++;
      const id = this.#nextId++;
      sentAt.set(id, performance.now());
      if (sent % EACH_EVERY > 0) client.send({ type: "ExecBatch", id, stmts: insert(id) });
      else {
        this.#nextId++;
        const stmts = [id, id + 1].map(insertWhole);
        client.send({ type: "ExecBatch", id, tx: "none", stmts });
        each.add(id);
      }
    };
    for (let i = 0; i < IN_FLIGHT; i++) send();
    let refused = 0;
    while (sentAt.size > 0) {
      const answer = await client.next();
      if (answer === null) {
        for (const id of sentAt.keys()) this.#ledger.note(id, null, []);
        return;
      }
      const ms = performance.now() - sentAt.get(answer.id)!;
      sentAt.delete(answer.id);
      if (each.has(answer.id)) {
        this.#ledger.noteEach([answer.id, answer.id + 1], answer, ["DISK_FULL"]);
      } else this.#ledger.note(answer.id, answer, ["DISK_FULL"]);
      if (answer.status !== "ok") {
        refused++;
        this.#slowestRefusalMs = Math.max(this.#slowestRefusalMs, ms);
        if (ms > REFUSAL_MS_MAX) failures.push(`${answer.id} was refused after ${ms} ms`);
      }
      if (sent > SENT_EACH_MAX) failures.push(`${sent} writes, and the disk is not full`);
      else if (refused < REFUSALS_EACH) send();
    }
  }

  /** Writes until it succeeds; makes room in the database for the next round. */
  async #recover(): Promise<string[]> {
    const started = performance.now();
    await using client = await WireClient.open(this.daemon.endpoint);
    for (;;) {
      const id = this.#nextId++;
      const answer = await client.ask({ type: "ExecBatch", id, stmts: insert(id) });
      this.#ledger.note(id, answer, ["DISK_FULL"]);
      const ms = performance.now() - started;
      this.#slowestRecoveryMs = Math.max(this.#slowestRecoveryMs, ms);
      if (answer.status === "ok") break;
      if (ms > RECOVERY_MS_MAX) {
        return [
          `writes still fail: ${JSON.stringify(answer)}; on the disk are ${this.disk.list()}`,
        ];
      }
      await sleep(20);
    }
    await exec(client, "delete from bulk", "update t set a = null where a is not null");
    return [];
  }

  async #compare(when: string): Promise<string[]> {
    await using client = await WireClient.open(this.daemon.endpoint);
    const found = await rows(client, "select id from t");
    const failures = this.#ledger.compare(new Set(found.map(([id]) => id as number)));
    const [[integrity]] = await rows(client, "pragma integrity_check");
    if (integrity !== "ok") failures.push(`integrity_check says ${integrity}`);
    return failures.map((failure) => `${failure}, ${when}`);
  }
}

function insert(id: number) {
  return [
    { sql: "insert into t(id) values (?)", params: [id] },
    { sql: `insert into bulk values (zeroblob(${ROW_BYTES}))` },
  ];
}

/** One statement, which takes the space of the two of {@link insert}. */
function insertWhole(id: number) {
  return { sql: `insert into t(id, a) values (?, zeroblob(${ROW_BYTES}))`, params: [id] };
}
