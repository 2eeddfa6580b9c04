import { Buffer } from "node:buffer";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { encodeFrame } from "../../client/frame.ts";
import { type DaemonFixture, startDaemon } from "../daemon_fixture.ts";
import { exec, sleep } from "../e2e/daemon_case.ts";
import { WireClient } from "../wire_client.ts";
import { counted, integerBetween, outcome, type Scenario } from "./scenario.ts";
import { ToldLedger } from "./told.ts";

const ROUNDS = { short: 1, faults: 10, soak: 150 };
const CLIENTS = 8;
const IN_FLIGHT = 4;
/** Of so many requests one is of three statements that are a transaction each. */
const EACH_EVERY = 2;
const EACH_STATEMENTS = 3;
const CODES = ["OUTCOME_UNKNOWN", "FILE_REPLACED"];

/** Takes the files of an open database away. */
export const scenario: Scenario = {
  name: "files",
  what:
    "log, index or database removed, moved, replaced or linked while 8 clients write: no acknowledged " +
    "write is lost, none is acknowledged that is sent after, none that was refused is there",
  skip: () =>
    Deno.build.os === "windows"
      ? "files of an open database cannot be removed, moved or replaced on Windows"
      : undefined,
  async run({ size, random, log }) {
    const failures: string[] = [];
    let acknowledged = 0;
    for (let round = 0; round < ROUNDS[size]; round++) {
      for (const fault of FAULTS) {
        await using daemon = await startDaemon();
        const writing = new Writing(daemon, fault);
        const endsBy = random() < 0.5 ? "Shutdown" : "kill";
        await writing.run(integerBetween(random, 0, 60), endsBy);
        acknowledged += writing.ledger.counts.ok;
        const failed = [...writing.failures, ...writing.ledger.failures];
        failures.push(...failed.map((each) => `${fault.what}, ${endsBy}: ${each}`));
      }
      log(`${round + 1} of ${ROUNDS[size]} rounds, ${counted(acknowledged)} acknowledged`);
    }
    const count = ROUNDS[size] * FAULTS.length;
    return outcome(`${count} times, ${counted(acknowledged)} acknowledged`, failures);
  },
};

/** Something that is done to the files. */
interface Fault {
  readonly what: string;
  /** Whether the daemon goes on writing. */
  readonly goesOn: boolean;
  /** Gives the place where the database is then; `null` where it is nowhere. */
  act(file: string, folder: string): string | null;
}

const FAULTS: readonly Fault[] = [
  { what: "log removed", goesOn: true, act: (file) => (Deno.removeSync(`${file}-wal`), file) },
  { what: "index removed", goesOn: true, act: (file) => (Deno.removeSync(`${file}-shm`), file) },
  {
    what: "log and index removed",
    goesOn: true,
    act(file) {
      Deno.removeSync(`${file}-wal`);
      Deno.removeSync(`${file}-shm`);
      return file;
    },
  },
  {
    what: "log moved",
    goesOn: true,
    act: (file, folder) => (Deno.renameSync(`${file}-wal`, join(folder, "log")), file),
  },
  {
    what: "log replaced",
    goesOn: false,
    act(file, folder) {
      Deno.writeTextFileSync(join(folder, "new"), "no log");
      Deno.renameSync(join(folder, "new"), `${file}-wal`);
      return file;
    },
  },
  {
    what: "database moved",
    goesOn: false,
    act(file, folder) {
      Deno.renameSync(file, join(folder, "moved.db"));
      return join(folder, "moved.db");
    },
  },
  {
    what: "database moved with its log",
    goesOn: false,
    act(file, folder) {
      const to = join(folder, "moved.db");
      for (const suffix of ["", "-wal", "-shm"]) Deno.renameSync(file + suffix, to + suffix);
      return to;
    },
  },
  {
    what: "database replaced",
    goesOn: false,
    act(file, folder) {
      const to = join(folder, "moved.db");
      makeForeign(join(folder, "new.db"));
      Deno.renameSync(file, to);
      Deno.renameSync(join(folder, "new.db"), file);
      return to;
    },
  },
  {
    what: "database overwritten by a rename",
    goesOn: false,
    act(file, folder) {
      makeForeign(join(folder, "new.db"));
      Deno.renameSync(join(folder, "new.db"), file);
      return null;
    },
  },
  { what: "database removed", goesOn: false, act: (file) => (Deno.removeSync(file), null) },
  {
    what: "database linked",
    goesOn: false,
    act(file, folder) {
      Deno.linkSync(file, join(folder, "linked.db"));
      return join(folder, "linked.db");
    },
  },
];

function makeForeign(path: string): void {
  using direct = new DatabaseSync(path);
  direct.exec("create table foreign_table(a); insert into foreign_table values ('foreign')");
}

class Writing {
  readonly failures: string[] = [];
  readonly ledger = new ToldLedger();
  #acknowledgedAfter = 0;
  #next = 0;
  #acted = false;
  #isOn = true;

  constructor(readonly daemon: DaemonFixture, readonly fault: Fault) {}

  async run(delayMs: number, endsBy: "Shutdown" | "kill"): Promise<void> {
    await using stack = new AsyncDisposableStack();
    const open = async () => stack.use(await WireClient.open(this.daemon.endpoint));
    const last = await open();
    await exec(last, "create table t(n integer primary key)");
    const clients = await Promise.all(Array.from({ length: CLIENTS }, open));
    const writing = Promise.all(clients.map((client) => this.#write(client)));
    while (this.ledger.counts.ok < CLIENTS) await sleep(2);
    await sleep(delayMs);
    const place = this.fault.act(this.daemon.file, this.daemon.folder);
    this.#acted = true;
    await sleep(this.fault.goesOn ? 300 : 150);
    this.#isOn = false;
    await writing;
    if (this.fault.goesOn !== this.#acknowledgedAfter > 0) {
      this.failures.push(`${this.#acknowledgedAfter} that were sent after it were acknowledged`);
    }
    if (endsBy === "Shutdown") {
      await last.ask({ type: "Shutdown" }, 15_000);
      await this.daemon.child.status;
    } else {
      await this.daemon.kill();
    }
    this.#checkForeign();
    if (place !== null) this.#checkFile(place);
  }

  /** Keeps some writes in flight until the end, each of rows of its own. */
  async #write(client: WireClient): Promise<void> {
    const sent = new Map<number, { isAfter: boolean; ids: number[] }>();
    const send = (count: number) => {
      const frames = Array.from({ length: count }, () => {
        const id = this.#next;
        const isEach = id % EACH_EVERY === 0;
        const ids = Array.from({ length: isEach ? EACH_STATEMENTS : 1 }, () => this.#next++);
        sent.set(id, { isAfter: this.#acted, ids });
        const stmts = ids.map((n) => ({ sql: "insert into t values (?)", params: [n] }));
        const tx = isEach ? "none" : "atomic";
        return encodeFrame(JSON.stringify({ type: "ExecBatch", id, tx, stmts }));
      });
      client.sendBytes(Buffer.concat(frames));
    };
    send(IN_FLIGHT);
    while (sent.size > 0) {
      const answer = await client.next();
      if (answer === null) return void this.failures.push(`${sent.size} answers did not come`);
      const { isAfter, ids } = sent.get(answer.id)!;
      sent.delete(answer.id);
      this.ledger.noteEach(ids, answer, CODES);
      if (isAfter && this.ledger.isDone(ids[0])) this.#acknowledgedAfter++;
      if (this.#isOn && answer.retry !== "no") send(1);
    }
  }

  #checkFile(place: string): void {
    using direct = new DatabaseSync(place);
    const check = direct.prepare("pragma integrity_check").get()!.integrity_check;
    if (check !== "ok") this.failures.push(`integrity_check: ${check}`);
    const rows = new Set(direct.prepare("select n from t").all().map(({ n }) => Number(n)));
    this.failures.push(...this.ledger.compare(rows));
  }

  /** What took the database's place is as it was made. */
  #checkForeign(): void {
    if (!/replaced|overwritten/.test(this.fault.what) || this.fault.what.includes("log")) return;
    using direct = new DatabaseSync(this.daemon.file);
    const rows = direct.prepare("select name from sqlite_schema").all().map(({ name }) => name);
    if (rows.join() !== "foreign_table") this.failures.push(`the new file has ${rows}`);
  }
}
