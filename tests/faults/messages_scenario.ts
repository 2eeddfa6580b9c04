import { Buffer } from "node:buffer";
import { randomUUID } from "node:crypto";
import { DatabaseSync } from "node:sqlite";
import { WIRE_LIMITS } from "../../client/limits.ts";
import { startDaemon } from "../daemon_fixture.ts";
import { exec, rows } from "../e2e/daemon_case.ts";
import { type Answer, WireClient } from "../wire_client.ts";
import { counted, integerBetween, outcome, type Scenario } from "./scenario.ts";

const { errorTextMax, unackedMax } = WIRE_LIMITS;

/** What messages are made of: in JSON some of these take six times as much, and one is two UTF-16 units. */
const LETTERS = ["x", '"', "\\", "\u0001", "é", "😀"];
/** Bytes of a message, whose SQL has a bound of 100,000. */
const BYTES_MAX = 90_000;
const SESSIONS = 4;
/** What a session sends before the others' answers are awaited. */
const BURST = 128;
const ROUNDS = { short: 2, faults: 24, soak: 400 };
/** The sessions are begun anew after so many rounds: their windows are full. */
const WINDOW_ROUNDS = Math.floor(unackedMax / BURST);
/** The longest value that SQLite takes here. */
const VALUE_BYTES_MAX = 16 * 1024 * 1024;

/** Long messages of sessions that fail, beside clients that write. */
export const scenario: Scenario = {
  name: "messages",
  what:
    "sessions whose requests all fail with messages of up to 90 KB: others' writes of the same groups succeed, each message is short and whole, and is told again after a kill",
  async run({ size, random, log }) {
    await using daemon = await startDaemon();
    await using stack = new AsyncDisposableStack();
    const open = async () => stack.use(await WireClient.open(daemon.endpoint));
    const setUp = await open();
    await exec(setUp, "create table t(a)");
    for (let i = 0; i < LETTERS.length; i++) await exec(setUp, ...refusing(i, LETTERS[i], random));
    const failures: string[] = [];
    let sessions: Session[] = [];
    let [failed, written] = [0, 0];
    for (let round = 0; round < ROUNDS[size]; round++) {
      if (round % WINDOW_ROUNDS === 0) {
        sessions = Array.from({ length: SESSIONS }, () => new Session(random));
      }
      const [other, ...clients] = await Promise.all(Array.from({ length: SESSIONS + 1 }, open));
      sessions.forEach((session, i) => session.send(clients[i]));
      for (let i = 0; i < BURST; i++) {
        other.send({ type: "ExecBatch", stmts: [{ sql: "insert into t values (1)" }] });
      }
      await Promise.all(sessions.map((session, i) => session.receive(clients[i], failures)));
      for (let i = 0; i < BURST; i++, written++) {
        const answer = await other.next();
        if (answer?.status !== "ok") failures.push(`Another's write: ${JSON.stringify(answer)}`);
      }
      failed += SESSIONS * BURST;
      if (round % 2 === 1) {
        await daemon.restart();
        const again = await open();
        for (const session of sessions) await session.repeat(again, failures);
      }
      if (failures.length > 0) break;
      log(`${round + 1} of ${ROUNDS[size]} rounds`);
    }
    const [[count]] = await rows(await open(), "select count(*) from t");
    if (count !== written) failures.push(`${count} rows of ${written} that were acknowledged`);
    await daemon.kill();
    const kept = keptBytes(daemon.file);
    if (kept > VALUE_BYTES_MAX) failures.push(`A session keeps ${kept} bytes`);
    const tried = `${counted(failed)} long failures beside ${
      counted(written)
    } writes; a session keeps up to ${counted(Math.round(kept / 1000))} KB`;
    return outcome(tried, failures);
  },
};

/** Makes a table that refuses all with a long message. */
function refusing(table: number, letter: string, random: () => number): string[] {
  const bytes = integerBetween(random, BYTES_MAX / 2, BYTES_MAX);
  const words = letter.repeat(Math.floor(bytes / Buffer.byteLength(letter)));
  return [
    `create table refused${table}(a)`,
    `create trigger refuse${table} before insert on refused${table} begin select raise(abort, '${words}'); end`,
  ];
}

/** A client of which all requests fail. */
class Session {
  readonly #client = randomUUID();
  readonly #random: () => number;
  readonly #tables: number[] = [];
  readonly #messages: string[] = [];

  constructor(random: () => number) {
    this.#random = random;
  }

  #request(seq: number) {
    const stmts = [{ sql: `insert into refused${this.#tables[seq - 1]} values (1)` }];
    return { type: "ExecBatch", stmts, client: this.#client, seq, acked: 0, id: seq };
  }

  send(client: WireClient): void {
    for (let i = 0; i < BURST; i++) {
      this.#tables.push(integerBetween(this.#random, 0, LETTERS.length - 1));
      client.send(this.#request(this.#tables.length));
    }
  }

  async receive(client: WireClient, failures: string[]): Promise<void> {
    for (let i = 0; i < BURST; i++) {
      const answer = await client.next() ?? {};
      const table = this.#tables[answer.id - 1];
      const wrong = whatIsWrong(answer, LETTERS[table]);
      if (wrong) failures.push(`Request ${answer.id}: ${wrong}`);
      this.#messages[answer.id - 1] = answer.message;
    }
  }

  /** The first, the last and one in between are told what they were told, as far as that is kept. */
  async repeat(client: WireClient, failures: string[]): Promise<void> {
    const last = this.#tables.length;
    for (const seq of [1, integerBetween(this.#random, 1, last), last]) {
      const { code, replayed, message = "" } = await client.ask(this.#request(seq));
      const kept = message.replace(/…$/, "");
      const isSame = this.#messages[seq - 1].startsWith(kept) && kept.length > 100;
      if (code === "SQL_ERROR" && replayed === true && isSame) continue;
      failures.push(
        `Request ${seq} again: ${code}, replayed ${replayed}, ${message.slice(0, 100)}`,
      );
    }
  }
}

function whatIsWrong({ code, sqlite_code, message }: Answer, letter: string): string | undefined {
  if (code !== "SQL_ERROR" || sqlite_code !== "SQLITE_CONSTRAINT_TRIGGER") {
    return `${code} ${sqlite_code}: ${message?.slice(0, 100)}`;
  }
  if (message.length > errorTextMax) return `a message of ${message.length} units`;
  if (!message.isWellFormed() || message.includes("\ufffd")) return "a character is halved";
  return message.includes(letter.repeat(100)) ? undefined : "the message is another's";
}

/** The most that a session keeps in the file, in bytes. */
function keptBytes(file: string): number {
  const database = new DatabaseSync(file);
  try {
    const sql = "select max(length(cast(answers as blob))) as bytes from _skylinedb_clients";
    return Number(database.prepare(sql).get()!.bytes);
  } finally {
    database.close();
  }
}
