import { mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { EXIT } from "../../daemon/commands/exit_code.ts";
import { executable, source } from "../daemon_fixture.ts";
import { sleep } from "../e2e/daemon_case.ts";
import { WireClient } from "../wire_client.ts";
import { counted, integerBetween, outcome, type Scenario, type ScenarioRun } from "./scenario.ts";

const STARTS = 20;
const ROUNDS = { short: 3, faults: 20, soak: 100 };
/** On Windows only some users may make them. */
const LINKS = Deno.build.os !== "windows";
/** From source each of the twenty compiles first, on the same few cores. */
const SETTLED_MS_MAX = executable ? 15_000 : 60_000;

/** Starts twenty daemons at once on one file, by all its names: one lives. */
export const scenario: Scenario = {
  name: "two daemons",
  what: "20 starts at once on one file, by different spellings and links: exactly one lives",
  async run(it) {
    const folder = realpathSync(mkdtempSync(join(tmpdir(), "skylinedb-two-")));
    const folderLink = `${folder}-link`;
    const failures: string[] = [];
    const rounds = ROUNDS[it.size];
    try {
      if (LINKS) await Deno.symlink(folder, folderLink);
      const race = new Race(it, folder, folderLink);
      for (let round = 0; round < rounds; round++) {
        for (const failure of await race.run(round)) failures.push(`round ${round}: ${failure}`);
        if (round % 10 === 9) it.log(`${round + 1} of ${rounds} rounds`);
      }
      return outcome(
        `${rounds} rounds of ${STARTS} starts, ${counted(race.refused)} refused`,
        failures,
      );
    } finally {
      rmSync(folderLink, { force: true });
      rmSync(folder, { recursive: true, force: true });
    }
  },
};

/** A start under way. */
interface Start {
  readonly spelling: string;
  readonly child: Deno.ChildProcess;
  /** What it printed, on both streams. */
  text: string;
  /** The exit code, once it has ended. */
  code?: number;
}

class Race {
  /** Starts that ended because another daemon lives. */
  refused = 0;
  /** Each round's survivor writes a row into the same file. */
  #rows = 0;

  constructor(
    readonly it: ScenarioRun,
    readonly folder: string,
    readonly folderLink: string,
  ) {}

  /** One round; gives what did not hold. */
  async run(round: number): Promise<string[]> {
    // Where the file is new, the twenty compete for making it as well.
    const isNew = round % 2 === 0;
    if (isNew) this.#makeNew();
    const spellings = this.#spellings(isNew);
    const starts = Array.from(
      { length: STARTS },
      () => this.#start(spellings[integerBetween(this.it.random, 0, spellings.length - 1)]),
    );
    try {
      const until = performance.now() + SETTLED_MS_MAX;
      while (starts.filter(({ code }) => code === undefined).length > 1 || !isServing(starts)) {
        if (performance.now() > until || starts.every(({ code }) => code !== undefined)) break;
        await sleep(5);
      }
      return await this.#check(starts, isNew);
    } finally {
      // The survivor is killed, and the next round's starts find what it left.
      await Promise.all(starts.map((start) => end(start)));
    }
  }

  #makeNew(): void {
    for (const { name } of Deno.readDirSync(this.folder)) Deno.removeSync(join(this.folder, name));
    this.#rows = 0;
  }

  #spellings(isNew: boolean): string[] {
    const { folder, folderLink } = this;
    const spellings = [
      join(folder, "app.db"),
      `${folder}/./app.db`,
      `${folder}//app.db`,
      `${folder}/../${basename(folder)}/app.db`,
      "./app.db",
      ...(LINKS ? [join(folderLink, "app.db")] : []),
    ];
    if (isNew || !LINKS) return spellings;
    const link = join(folder, "link.db");
    try {
      Deno.symlinkSync("app.db", link);
    } catch (error) {
      if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
    }
    return [...spellings, link, "./link.db", join(folderLink, "link.db")];
  }

  #start(spelling: string): Start {
    const [command, ...args] = executable ?? source;
    const child = new Deno.Command(command, {
      args: [...args, "start", spelling],
      cwd: this.folder,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const start: Start = { spelling, child, text: "" };
    const collected = [child.stdout, child.stderr].map(async (stream) => {
      for await (const text of stream.pipeThrough(new TextDecoderStream())) start.text += text;
    });
    Promise.all([child.status, ...collected]).then(([{ code }]) => start.code = code);
    return start;
  }

  async #check(starts: readonly Start[], isNew: boolean): Promise<string[]> {
    const living = starts.filter(({ code }) => code === undefined);
    const ended = starts.filter(({ code }) => code !== undefined);
    if (living.length !== 1) {
      return [`${living.length} live: ${starts.map((s) => `${s.spelling}: ${s.code} ${s.text}`)}`];
    }
    const endpoint = living[0].text.match(/^Serving .* at (.*)$/m)?.[1].trim();
    if (endpoint === undefined) return [`the survivor does not serve: ${living[0].text}`];
    const failures: string[] = [];
    for (const { spelling, code, text } of ended) {
      if (code === EXIT.alreadyRunning && text.includes(endpoint)) this.refused++;
      else failures.push(`start ${spelling} ended with ${code}: ${text.trim()}`);
    }
    failures.push(...await this.#checkSurvivor(endpoint, living[0].child.pid, isNew));
    const allowed = ["app.db", "app.db-shm", "app.db-wal", "link.db"];
    for (const { name } of Deno.readDirSync(this.folder)) {
      if (!allowed.includes(name)) failures.push(`there is a file ${name}`);
    }
    return failures;
  }

  async #checkSurvivor(endpoint: string, pid: number, isNew: boolean): Promise<string[]> {
    await using client = await WireClient.open(endpoint);
    const { pid: answers } = await client.ask({ type: "Ping" });
    if (answers !== pid) return [`${endpoint} is answered by ${answers}, not ${pid}`];
    const stmts = [
      ...(isNew ? [{ sql: "create table rounds(i)" }] : []),
      { sql: "insert into rounds values (?)", params: [this.#rows] },
    ];
    const written = await client.ask({ type: "ExecBatch", stmts });
    if (written.status !== "ok") return [`the survivor cannot write: ${JSON.stringify(written)}`];
    this.#rows++;
    const { rows } = await client.ask({ type: "Query", sql: "select count(*) from rounds" });
    return rows?.[0][0] === this.#rows ? [] : [`it holds ${rows} rows, not ${this.#rows}`];
  }
}

function isServing(starts: readonly Start[]): boolean {
  return starts.some(({ text }) => text.includes("Serving "));
}

async function end({ child }: Start): Promise<void> {
  try {
    child.kill("SIGKILL");
  } catch {
    // It has ended.
  }
  await child.status;
}
