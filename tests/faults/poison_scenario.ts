import { Buffer } from "node:buffer";
import { randomUUID } from "node:crypto";
import fc from "fast-check";
import { encodeFrame } from "../../client/frame.ts";
import { startDaemon } from "../daemon_fixture.ts";
import { exec, rows } from "../e2e/daemon_case.ts";
import { type Answer, WireClient } from "../wire_client.ts";
import { type GoodRequest, goodRequest, Model, SCHEMA_ALL, STATE } from "./poison_model.ts";
import { type Poison, POISONS, USED_KEY } from "./poisons.ts";
import { counted, outcome, type Scenario } from "./scenario.ts";

const ROUNDS = { short: 80, faults: 1_000, soak: 20_000 };
/** Requests a commit; a busy machine interrupts groups, which a short form cannot make up for. */
const SHARED_MIN = { short: 1.2, faults: 2, soak: 2 };
const MEMBERS = 50;
const CLIENTS = 5;

/** Requests that fail among others that share their commits. */
export const scenario: Scenario = {
  name: "poison",
  what:
    `each of ${POISONS.length} ways to fail, among ${MEMBERS} requests that share commits: the others ` +
    "are answered, and the database is, as if it had never come",
  async run({ size, seed, log }) {
    await using daemon = await startDaemon();
    await using stack = new AsyncDisposableStack();
    const clients: WireClient[] = [];
    for (let i = 0; i < CLIENTS; i++) {
      clients.push(stack.use(await WireClient.open(daemon.endpoint)));
    }
    using model = new Model();
    await exec(clients[0], ...SCHEMA_ALL);
    const stmts = [{ sql: "select 'the request of this key'" }];
    const { rev } = await clients[0].ask({ type: "ExecBatch", stmts, key: USED_KEY });
    const rounds = new Rounds(clients, model, rev);
    // Not shrunk: the database goes on from round to round.
    const options = { seed, numRuns: ROUNDS[size], endOnFailure: true };
    await fc.check(fc.asyncProperty(round, (each) => rounds.run(each)), options);
    const [[check]] = await rows(clients[0], "pragma integrity_check");
    if (check !== "ok") rounds.failures.push(`integrity_check: ${check}`);
    const { writes, groups } = (await clients[0].ask({ type: "Status" })).databases[0];
    const unexpected = /.*(Unexpected|INTERNAL_ERROR|Commit failed).*/.exec(daemon.log())?.[0];
    if (unexpected) rounds.failures.push(`The log: ${unexpected}`);
    log(`${writes} requests that succeeded, in ${groups} commits`);
    if (groups * SHARED_MIN[size] > writes) {
      rounds.failures.push(`${groups} commits of ${writes}: not shared`);
    }
    return outcome(
      `${ROUNDS[size]} rounds, ${counted(rounds.failed)} poisons among ${
        counted(rounds.good)
      } others`,
      rounds.failures,
    );
  },
};

interface Round {
  readonly members: readonly (readonly [client: number, GoodRequest])[];
  /** Where poisons come in, and which beside the one whose turn it is. */
  readonly places: readonly (readonly [place: number, poison: number])[];
  readonly client: number;
  readonly sessions: boolean;
  readonly keys: boolean;
}

const round: fc.Arbitrary<Round> = fc.record({
  members: fc.array(fc.tuple(fc.nat(CLIENTS - 1), goodRequest), {
    minLength: MEMBERS,
    maxLength: MEMBERS,
  }),
  places: fc.array(fc.tuple(fc.nat(MEMBERS - 1), fc.nat(POISONS.length - 1)), {
    minLength: 1,
    maxLength: 3,
  }),
  client: fc.nat(CLIENTS - 1),
  sessions: fc.boolean(),
  keys: fc.boolean(),
});

/** A request that was sent. */
interface Sent {
  readonly client: number;
  readonly stmts: GoodRequest["stmts"];
  readonly poison?: Poison;
  /** By its answer. */
  answer: Answer;
}

/** A client's session, and what of it has been answered. */
interface Session {
  readonly client: string;
  seq: number;
  acked: number;
}

class Rounds {
  readonly failures: string[] = [];
  good = 0;
  failed = 0;
  #turn = 0;
  #keys = 0;
  readonly #keyOfClient: string[] = [];
  readonly #sessions: Session[];

  constructor(readonly clients: readonly WireClient[], readonly model: Model, public rev: number) {
    this.#sessions = clients.map(() => ({ client: randomUUID(), seq: 0, acked: 0 }));
  }

  /** False when something did not hold; the failures say what. */
  async run(round: Round): Promise<boolean> {
    try {
      await this.#run(round);
      return true;
    } catch (error) {
      this.failures.push(`round ${this.#turn}: ${error}`);
      return false;
    }
  }

  async #run(round: Round): Promise<void> {
    const sent = await this.#send(this.#requests(round), round);
    for (const session of this.#sessions) session.acked = session.seq;
    this.#checkPoisons(sent);
    this.#checkOrder(sent);
    this.#checkEffects(sent);
    const [is, was] = [await rows(this.clients[0], STATE), this.model.state()];
    for (const [i, row] of was.entries()) {
      if (JSON.stringify(row) === JSON.stringify(is[i])) continue;
      throw new Error(`The database has ${is[i]}, and should have ${row}`);
    }
  }

  /** The members, and poisons among them: one whose turn it is, and at most one of those that keep something. */
  #requests({ members, places, client }: Round): Omit<Sent, "answer">[] {
    const requests: Omit<Sent, "answer">[] = members.map(([client, { stmts }]) => ({
      client,
      stmts,
    }));
    let keeps = false;
    for (const [i, [place, other]] of places.entries()) {
      const poison = POISONS[i === 0 ? this.#turn++ % POISONS.length : other];
      if (poison.kept && keeps) continue;
      keeps ||= poison.kept !== undefined;
      requests.splice(place, 0, { client, stmts: poison.stmts, poison });
    }
    return requests;
  }

  /** Sends all, those of each client in one piece, and gives them with their answers. */
  async #send(requests: readonly Omit<Sent, "answer">[], round: Round): Promise<Sent[]> {
    const frames: Uint8Array[][] = this.clients.map(() => []);
    requests.forEach((request, id) => {
      const { poison, stmts, client } = request;
      const fields = {
        results: true,
        key: this.#keyOf(requests, id, round),
        ...poison?.fields,
        ...this.#sessionOf(request, round),
      };
      frames[client].push(encodeFrame(JSON.stringify({ type: "ExecBatch", id, stmts, ...fields })));
    });
    const sent: Sent[] = [];
    await Promise.all(this.clients.map(async (client, c) => {
      client.sendBytes(Buffer.concat(frames[c]));
      for (let i = 0; i < frames[c].length; i++) {
        const answer = await client.next();
        if (answer === null) throw new Error(`${frames[c].length - i} answers did not come`);
        sent[answer.id] = { ...requests[answer.id], answer };
      }
    }));
    return sent;
  }

  /** What is not kept for a repetition is sent outside of the session: those behind it could not follow. */
  #sessionOf({ client, poison }: Omit<Sent, "answer">, { sessions }: Round): object {
    // A client is cut when its name comes on another connection.
    if (poison?.fields?.client) return { client: `${poison.fields.client} ${client}` };
    const isKept = poison === undefined || poison.fields?.tx === undefined &&
        poison.fields?.seq === undefined &&
        poison.codes.every((code) => !/TIMEOUT|SQLITE_FULL/.test(code));
    if (!sessions || !isKept) return {};
    const session = this.#sessions[client];
    return { client: session.client, seq: ++session.seq, acked: session.acked };
  }

  /** Each has a key of its own, but for the one behind a poison, which has the poison's: it stands for nothing yet. */
  #keyOf(
    requests: readonly Omit<Sent, "answer">[],
    id: number,
    { keys }: Round,
  ): string | undefined {
    const { client, poison } = requests[id];
    if (!keys || poison?.fields?.tx) return undefined;
    const before = requests.slice(0, id).findLast((each) => each.client === client)?.poison;
    const isFree = before !== undefined && !before.fields?.tx && !before.fields?.key;
    if (!isFree) this.#keyOfClient[client] = `key ${++this.#keys}`;
    return this.#keyOfClient[client];
  }

  #checkPoisons(sent: readonly Sent[]): void {
    for (const { poison, answer } of sent) {
      if (poison === undefined) continue;
      this.failed++;
      const code = [answer.code, answer.sqlite_code].join(" ").trim();
      if (poison.codes.includes(code)) continue;
      throw new Error(`${poison.kind} → ${JSON.stringify(answer).slice(0, 500)}`);
    }
  }

  /** Each client's revisions rise in the order sent, and every revision is somebody's. */
  #checkOrder(sent: readonly Sent[]): void {
    const last = this.clients.map(() => this.rev);
    for (const { client, answer, poison, stmts } of sent) {
      if (poison) continue;
      this.good++;
      const what = `${JSON.stringify(stmts)} → ${JSON.stringify(answer).slice(0, 500)}`;
      if (answer.status !== "ok") throw new Error(`A good request failed: ${what}`);
      if (answer.replayed) throw new Error(`A new request was taken for an old one: ${what}`);
      if (answer.rev <= last[client]) {
        throw new Error(`Out of order, after ${last[client]}: ${what}`);
      }
      last[client] = answer.rev;
    }
  }

  /** Does again what succeeded, in the order of the revisions: every answer is what comes of it. */
  #checkEffects(sent: readonly Sent[]): void {
    const byRevision = new Map(
      sent.filter(({ poison }) => !poison).map((each) => [each.answer.rev as number, each]),
    );
    const keeps = sent.find(({ poison }) => poison?.kept)?.poison;
    const until = this.rev + byRevision.size + (keeps ? 1 : 0);
    let kept = 0;
    while (this.rev < until) {
      const each = byRevision.get(++this.rev);
      if (each) this.#checkResults(each, this.model.execute(each.stmts));
      else if (keeps && kept++ === 0) this.#keep(keeps);
      else throw new Error(`Revision ${this.rev} is nobody's`);
    }
  }

  /** Each statement by itself is what a transaction of them comes to. */
  #keep({ stmts, kept }: Poison): void {
    this.model.execute(stmts.slice(0, kept));
  }

  #checkResults({ answer, stmts }: Sent, expected: ReturnType<Model["execute"]>): void {
    for (const [i, { changes, last_insert_rowid, rows }] of expected.entries()) {
      const is = answer.results[i];
      const isData = /^(insert|update|delete|select)/.test(stmts[i].sql);
      const same = (!isData || is.changes === changes) &&
        is.last_insert_rowid === last_insert_rowid &&
        JSON.stringify(is.rows) === JSON.stringify(rows);
      if (same) continue;
      const want = JSON.stringify({ changes, last_insert_rowid, rows });
      throw new Error(
        `${JSON.stringify(stmts)}: result ${i} is ${JSON.stringify(is)}, and should be ${want}`,
      );
    }
  }
}
