import { rmSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { type DaemonFixture, startDaemon } from "../daemon_fixture.ts";
import { exec, sleep } from "../e2e/daemon_case.ts";
import { type Answer, WireClient } from "../wire_client.ts";
import { FORGED_FILES, TABLES } from "./forged_files.ts";
import { type ForgedFile, VICTIM } from "./forgeries.ts";
import { HoldingMeter } from "./holding_meter.ts";
import { outcome, type Scenario, type Size } from "./scenario.ts";

/** What a Ping may take; in the short form, on a machine that does much else, only what is no luck. */
const PING_MS_MAX: Readonly<Record<Size, number>> = { short: 2_000, faults: 250, soak: 250 };
const TIMEOUT_MS = 500;
/** An answer that comes later never comes. */
const ANSWER_MS_MAX = 10_000;
const CLOSED_MS_MAX = 5_000;
const PRECIOUS = "precious";

const write = (sql: string, key?: string) => ({ type: "ExecBatch", stmts: [{ sql }], key });
const query = (sql: string) => ({ type: "Query", sql });
const ACKNOWLEDGED = write("insert into w values ('acknowledged', 1)", "acknowledged");

/** What a client asks of such a file. */
const REQUESTS = [
  query("select count(*) from t"),
  write("insert into t values ('x')"),
  ACKNOWLEDGED,
  query("select a from t"),
  query("select count(*) from deep"),
  query("select sum(length(b)) from deep where b > 'a'"),
  query("pragma integrity_check"),
  write("create table one_more(a)"),
  write("update deep set b = b || 'x'"),
  write("delete from deep"),
  write("drop table t"),
  query("select * from sqlite_master limit 2"),
];

/** A file is forged while it is closed as unused; the next request opens it. */
export const scenario: Scenario = {
  name: "forged files",
  what:
    "a file whose bytes or schema were forged harms neither other databases nor other files; each request has its answer",
  skip: () => Deno.build.os === "windows" ? "FIFOs and links of Unix are among them" : undefined,
  async run({ size, log }) {
    const failures: string[] = [];
    await using stage = await Stage.make();
    const files = FORGED_FILES.filter(({ short }) => short || size !== "short");
    for (const forged of files) {
      const { shown, failed } = await stage.try(forged, PING_MS_MAX[size]);
      log(`${forged.name}: ${shown}`);
      failures.push(...failed.map((what) => `${forged.name}: ${what} (${shown})`));
    }
    return outcome(`${files.length} files`, failures);
  },
};

/** A daemon that serves the file that is forged, and another one. */
class Stage implements AsyncDisposable {
  readonly #daemon: DaemonFixture;
  #whole = new Uint8Array();

  private constructor(daemon: DaemonFixture) {
    this.#daemon = daemon;
  }

  static async make(): Promise<Stage> {
    const args = ["--close-idle", "100ms"];
    const stage = new Stage(await startDaemon({ files: ["forged.db", "other.db"], args }));
    const [forged, other] = stage.#daemon.endpoints;
    await withClient(forged, (client) => exec(client, ...TABLES));
    await withClient(other, (client) => exec(client, ...TABLES));
    if (!await stage.#isClosed()) throw new Error("The file is not closed");
    stage.#whole = Deno.readFileSync(stage.#daemon.file);
    return stage;
  }

  async try({ name, forge, refused, isEndless }: ForgedFile, pingMsMax: number) {
    const { file, endpoint, endpoints } = this.#daemon;
    const failed: string[] = [];
    Deno.writeTextFileSync(this.#victim, PRECIOUS);
    forge(file);
    using meter = new HoldingMeter();
    await meter.begin(endpoints[1]);
    const answers = await withClient(endpoint, askAll).catch((error) => [String(error)]);
    const { ping } = await meter.end();
    const slowest = Math.max(...ping);
    if (slowest > pingMsMax) failed.push(`a Ping took ${slowest.toFixed(0)} ms`);
    const told = answers.map((answer) => typeof answer === "string" ? answer : shownAnswer(answer));
    if (told.some((text) => !/^(ok|[A-Z_]+: .+)$/s.test(text))) failed.push("no answer");
    if (refused && !(told[0].startsWith("CANNOT_OPEN") && refused.test(told[0]))) {
      failed.push("it is not refused clearly");
    }
    if (Deno.readTextFileSync(this.#victim) !== PRECIOUS) failed.push("another file was changed");
    if (isEndless) await this.#daemon.kill();
    await this.#closeAndCheck(told[REQUESTS.indexOf(ACKNOWLEDGED)] === "ok", failed);
    await this.#restore(name);
    return { shown: `Ping ${slowest.toFixed(0)} ms; ${[...new Set(told)].join(", ")}`, failed };
  }

  get #victim(): string {
    return join(this.#daemon.folder, VICTIM);
  }

  async #closeAndCheck(isAcknowledged: boolean, failed: string[]): Promise<void> {
    // One whose log cannot be copied into it stays open.
    if (!await this.#isClosed()) await this.#daemon.kill();
    if (!isAcknowledged) return;
    try {
      using database = new DatabaseSync(this.#daemon.file);
      const found = database.prepare("select 1 from w where a = 'acknowledged'").get();
      if (!found) failed.push("what was acknowledged is not there");
    } catch {
      // Damaged beyond reading.
    }
  }

  async #restore(name: string): Promise<void> {
    const { file, child } = this.#daemon;
    const ended = await Promise.race([child.status, sleep(1)]);
    for (const suffix of ["-wal", "-shm", "-journal"]) {
      rmSync(file + suffix, { recursive: true, force: true });
    }
    Deno.writeFileSync(file, this.#whole);
    if (ended) await this.#daemon.restart();
    const answer = await withClient(this.#daemon.endpoint, (client) => client.ask(REQUESTS[0]));
    if (answer.status !== "ok") throw new Error(`After ${name}: ${JSON.stringify(answer)}`);
    if (!await this.#isClosed()) throw new Error(`After ${name} the file is not closed`);
  }

  /** Waits until the file that is forged is closed; false when it stays open, or nobody answers. */
  async #isClosed(): Promise<boolean> {
    const until = performance.now() + CLOSED_MS_MAX;
    try {
      return await withClient(this.#daemon.endpoints[1], async (client) => {
        while (performance.now() < until) {
          const { databases } = await client.ask({ type: "Status" }, CLOSED_MS_MAX);
          if (!databases.find(({ path }: Answer) => path === this.#daemon.file).open) return true;
          await sleep(10);
        }
        return false;
      });
    } catch {
      return false;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#daemon[Symbol.asyncDispose]();
  }
}

async function withClient<T>(
  endpoint: string,
  use: (client: WireClient) => Promise<T>,
): Promise<T> {
  await using client = await WireClient.open(endpoint);
  return await use(client);
}

/** Asks one after the other; ends where there is no answer. */
async function askAll(client: WireClient): Promise<(Answer | string)[]> {
  const answers = [];
  for (const request of REQUESTS) {
    const ask = client.ask({ ...request, timeout_ms: TIMEOUT_MS }, ANSWER_MS_MAX);
    const answer = await ask.catch(String);
    answers.push(answer);
    if (typeof answer === "string") break;
  }
  return answers;
}

function shownAnswer({ status, code, message, hint }: Answer): string {
  return status === "ok" ? "ok" : `${code}: ${message}${hint ? `; ${hint}` : ""}`;
}
