import { DatabaseSync } from "node:sqlite";
import { type DaemonFixture, startDaemon } from "../daemon_fixture.ts";
import { exec, rows } from "../e2e/daemon_case.ts";
import { type Answer, WireClient } from "../wire_client.ts";
import { ALLOWED } from "./allowed_sql.ts";
import { countEscapes, ESCAPES, HARMLESS } from "./escapes.ts";
import { counted, outcome, type Scenario } from "./scenario.ts";

/** Sends what clients may not do in every way, and what they may. */
export const scenario: Scenario = {
  name: "escape corpus",
  what:
    `${countEscapes()} statements that leave their rights are refused in every way of sending, ` +
    `${ALLOWED.length} that do not work as ever`,
  async run({ size, random }) {
    await using daemon = await startDaemon();
    await using client = await WireClient.open(daemon.endpoint);
    const corpus = new Corpus(daemon, client, () => size !== "short" || random() < 0.25);
    await corpus.prepare();
    await corpus.escape();
    await corpus.escapeLate();
    await corpus.allow();
    const unexpected = /.*(Unexpected|INTERNAL_ERROR|Commit failed).*/.exec(daemon.log())?.[0];
    if (unexpected) corpus.failures.push(`The log: ${unexpected}`);
    return outcome(
      `${
        counted(corpus.refused)
      } refusals, ${corpus.harmless} harmless, ${corpus.worked} that work`,
      corpus.failures,
    );
  },
};

const SETUP = [
  "create table victim(a integer primary key, b)",
  "insert into victim values (1, 'one'), (2, 'two')",
  "create virtual table words using fts5(a)",
  "insert into words values ('some words')",
  "create virtual table boxes using rtree(id, x0, x1)",
  "insert into boxes values (1, 0, 1)",
];

/** Holds the loop for longer than it may, so that what comes with it is done on another thread. */
const SLOW = "select count(*) from " +
  "(with recursive n(i) as (select 1 union all select i + 1 from n limit 40000) select i from n)";

/** Answers that say that a statement was not executed. */
const REFUSALS = new Set(["NOT_ALLOWED", "SQL_ERROR", "NOT_READ_ONLY"]);

/** What clients may not change, as a program sees it that reads the file. */
interface View {
  readonly settings: unknown;
  readonly schema: unknown;
  readonly own: unknown;
  readonly data: unknown;
  readonly files: readonly string[];
}

class Corpus {
  readonly failures: string[] = [];
  refused = 0;
  harmless = 0;
  worked = 0;
  #ownTables: string[] = [];

  /** `takesTime` says whether a statement is also tried in the way that takes long. */
  constructor(
    readonly daemon: DaemonFixture,
    readonly client: WireClient,
    readonly takesTime: () => boolean,
  ) {}

  async prepare(): Promise<void> {
    await exec(this.client, ...SETUP);
    // Something stands in each of the daemon's own tables.
    await this.client.ask({
      type: "ExecBatch",
      stmts: [{ sql: "update victim set b = 'zwei' where a = 2" }],
      client: "corpus",
      seq: 1,
      key: "corpus",
    });
    using direct = new DatabaseSync(this.daemon.file, { readOnly: true });
    this.#ownTables = direct
      .prepare(`select name from sqlite_schema where name like '\\_skylinedb\\_%' escape '\\'`)
      .all().map(({ name }) => String(name));
    if (this.#ownTables.length === 0) this.failures.push("the daemon has no table of its own");
  }

  /** Sends all that has to be refused, then looks at the file. */
  async escape(): Promise<void> {
    const before = await this.#view();
    for (const { statements } of ESCAPES) {
      for (const statement of statements) {
        for (const sql of this.#filled(statement)) await this.#escape(sql);
      }
    }
    this.#compare(before, await this.#view(), "after the escapes");
    const { own, settings, schema, files } = before;
    for (const statement of HARMLESS) {
      for (const sql of this.#filled(statement)) {
        const answer = await this.#batch([sql]);
        if (answer.status !== "ok") this.failures.push(`${sql} → ${JSON.stringify(answer)}`);
        this.harmless++;
      }
    }
    const after = await this.#view();
    this.#compare(
      { ...after, own, settings, files, schema: withoutStatistics(schema) },
      { ...after, schema: withoutStatistics(after.schema) },
      "after the harmless",
    );
  }

  /** One statement for each of the daemon's tables that it may be about. */
  #filled(statement: string): string[] {
    const text = statement.replaceAll("{folder}", this.daemon.folder);
    if (!/\{own\}/i.test(text)) return [text];
    return this.#ownTables.map((own) =>
      text.replaceAll("{own}", own).replaceAll("{OWN}", own.toUpperCase())
    );
  }

  /** Alone, after another statement, as one of a script, each by itself, off the loop, and as a query. */
  async #escape(sql: string): Promise<void> {
    const first = "insert into victim values (50, 5)";
    const ways: [string, () => Promise<Answer>][] = [
      ["alone", () => this.#batch([sql])],
      ["second", () => this.#batch([first, sql])],
      ["in a script", () => this.#batch([`${first}; ${sql}`])],
      ["by itself", () => this.#batch(["select 1", sql], { tx: "none" })],
      ["as a query", () => this.client.ask({ type: "Query", sql })],
    ];
    if (this.takesTime()) ways.push(["off the loop", () => this.#batch([SLOW, sql])]);
    for (const [how, send] of ways) {
      const answer = await send();
      if (REFUSALS.has(answer.code)) this.refused++;
      else this.failures.push(`${sql} ${how} → ${JSON.stringify(answer).slice(0, 300)}`);
    }
  }

  #batch(statements: readonly string[], options: object = {}): Promise<Answer> {
    return this.client.ask({
      type: "ExecBatch",
      stmts: statements.map((sql) => ({ sql })),
      results: true,
      ...options,
    });
  }

  /**
   * What was prepared and allowed, and turns into something else at a step: SQLite prepares it anew once another program
   * has changed the schema, on the loop or on another thread.
   */
  async escapeLate(): Promise<void> {
    const insert = "insert into victim(b) select 'late'";
    const slow = `insert into victim(b) ${SLOW}`;
    const select = "select * from late";
    await exec(this.client, "create table late(a)");
    for (let i = 0; i < 3; i++) await exec(this.client, insert, slow, select);
    await rows(this.client, select);
    for (const own of this.#ownTables) {
      for (
        const body of [`delete from ${own}`, `update ${own} set at = 9`, `select * from ${own}`]
      ) {
        await this.#changeDirectly(
          `create trigger late_trigger after insert on victim begin ${body}; end`,
        );
        await this.#expectRefused(insert, "prepared anew");
        await this.#expectRefused(slow, "prepared anew off the loop");
        await this.#changeDirectly("drop trigger late_trigger");
        await exec(this.client, insert, slow);
      }
      await this.#changeDirectly(`drop table late; create view late as select * from ${own}`);
      await this.#expectRefused(select, "prepared anew");
      const answer = await this.client.ask({ type: "Query", sql: select });
      if (REFUSALS.has(answer.code)) this.refused++;
      else this.failures.push(`${select}, a view of ${own} → ${JSON.stringify(answer)}`);
      await this.#changeDirectly("drop view late; create table late(a)");
      await exec(this.client, select);
    }
    await exec(this.client, "drop table late", "delete from victim where a > 2");
  }

  async #expectRefused(sql: string, how: string): Promise<void> {
    const before = await this.#view();
    const answer = await this.#batch([sql]);
    if (answer.code === "NOT_ALLOWED") this.refused++;
    else this.failures.push(`${sql} ${how} → ${JSON.stringify(answer)}`);
    this.#compare(before, await this.#view(), `after ${sql} ${how}`);
  }

  /** As another program does that has the file open; and any other statement of the daemon's then finds it out. */
  async #changeDirectly(sql: string): Promise<void> {
    {
      using direct = new DatabaseSync(this.daemon.file, { timeout: 4_000 });
      direct.exec(sql);
    }
    if (sql.startsWith("drop")) await exec(this.client, "select count(*) from sqlite_schema");
  }

  async #view(): Promise<View> {
    using direct = new DatabaseSync(this.daemon.file, { readOnly: true });
    const all = (sql: string) => direct.prepare(sql).all().map((row) => Object.values(row));
    const pragmas = ["journal_mode", "synchronous", "foreign_keys", "auto_vacuum", "encoding"];
    const settings = [];
    for (const name of pragmas) {
      settings.push(...(await exec(this.client, `pragma ${name}`)).results);
    }
    return {
      settings: [settings.map(({ rows }) => rows), all("pragma page_size")],
      schema: all("select type, name, tbl_name, sql from sqlite_schema order by name"),
      // The revision rises with every request that succeeds, these looks included.
      own: this.#ownTables.map((own) =>
        all(`select * from ${own}`).filter(([client]) => client !== "")
      ),
      data: [
        all("select * from victim"),
        all("select rowid, a from words"),
        all("select * from boxes"),
      ],
      files: [...Deno.readDirSync(this.daemon.folder)].map(({ name }) => name).sort(),
    };
  }

  #compare(before: View, after: View, when: string): void {
    for (const part of ["settings", "schema", "own", "data", "files"] as const) {
      const [was, is] = [JSON.stringify(before[part]), JSON.stringify(after[part])];
      if (was !== is) this.failures.push(`${part} changed ${when}: ${was} → ${is}`);
    }
  }

  /** What has to work, in a database of its own. */
  async allow(): Promise<void> {
    await using daemon = await startDaemon();
    await using client = await WireClient.open(daemon.endpoint);
    for (const [sql, expected] of ALLOWED) {
      const answer = await client.ask({ type: "ExecBatch", stmts: [{ sql }], results: true });
      const [result] = answer.results ?? [];
      const got = typeof expected === "number" ? result?.changes : result?.rows;
      const want = JSON.stringify(expected);
      if (answer.status === "ok" && (expected === undefined || JSON.stringify(got) === want)) {
        this.worked++;
      } else {
        this.failures.push(`${sql} → ${JSON.stringify(answer).slice(0, 400)}, expected ${want}`);
      }
    }
    const [[check]] = await rows(client, "pragma integrity_check");
    if (check !== "ok") this.failures.push(`integrity_check after all that works: ${check}`);
  }
}

/** ANALYZE makes tables that are the user's to make. */
function withoutStatistics(schema: unknown): unknown {
  return (schema as unknown[][]).filter(([, name]) => !String(name).startsWith("sqlite_stat"));
}
