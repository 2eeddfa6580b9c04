/**
 * What one client may do that takes a daemon's time or memory, and must not hold others.
 *
 * @module
 */
import { type DaemonFixture } from "../daemon_fixture.ts";
import { sleep } from "../e2e/daemon_case.ts";
import { type Answer, WireClient } from "../wire_client.ts";
import type { Size } from "./scenario.ts";

const ENDLESS = "with recursive n(i) as (select 1 union all select i + 1 from n) select i from n";
const MB = 1_000_000;
/** Later than its deadline by so much a request may be answered where the machine is busy. */
const LATE_MS_MAX = 2_000;
const ANSWER_MS_MAX = 60_000;
const HALF_FRAME_CLIENTS = 10;
const SILENT_CLIENTS = 60;
/** From so many connections on the daemon refuses more on Windows. */
const MANY_CLIENTS = 240;

/** What a harm is done with. */
export interface HarmStage {
  readonly daemon: DaemonFixture;
  readonly size: Size;
  /** How long its statements may run. */
  readonly timeoutMs: number;
  /** One more connection; it ends with the harm. */
  open(endpoint?: string): Promise<WireClient>;
}

/** One of them. It gives what did not hold beside what is measured. */
export interface Harm {
  readonly name: string;
  run(stage: HarmStage): Promise<string[]>;
}

/** A statement on a connection of its own, to its end. */
function statement(name: string, sql: string, params: readonly unknown[] = []): Harm {
  const isQuery = /^(select|with)/i.test(sql);
  return {
    name,
    async run(stage) {
      const client = await stage.open();
      const timeout_ms = stage.timeoutMs;
      const request = isQuery
        ? { type: "Query", sql, params, timeout_ms }
        : { type: "ExecBatch", tx: "none", stmts: [{ sql, params }], timeout_ms };
      await client.ask(request);
      return [];
    },
  };
}

/** Eight that go on for a minute; what is slow elsewhere, or on the same database, ends by its own deadline. */
const endlessQueries: Harm = {
  name: "eight endless queries",
  async run({ daemon, timeoutMs, open }) {
    const endless = { type: "Query", sql: `select count(*) from (${ENDLESS})` };
    const others = await Promise.all(Array.from({ length: 8 }, () => open()));
    // They end with their connections.
    for (const each of others) await each.begin({ ...endless, timeout_ms: 60_000 });
    const failures: string[] = [];
    await Promise.all(daemon.endpoints.map(async (endpoint, index) => {
      const client = await open(endpoint);
      const since = performance.now();
      await client.ask({ ...endless, timeout_ms: timeoutMs }, timeoutMs + LATE_MS_MAX).catch(
        () => {},
      );
      const late = performance.now() - since - timeoutMs;
      const where = index === 0 ? "the same" : "another";
      if (late < LATE_MS_MAX) return;
      failures.push(
        `a query on ${where} database was not answered ${LATE_MS_MAX} ms after its deadline`,
      );
    }));
    return failures;
  },
};

/** What a large file is made of, in bytes: in the short form just enough to be a large one. */
export const LARGE_FILE_BYTES: Readonly<Record<Size, number>> = {
  short: 40 * MB,
  faults: 1_000 * MB,
  soak: 1_000 * MB,
};

/** Has the system forget what it has of the file. */
async function forgetCached(file: string): Promise<void> {
  // Not by this process's own calls, nor does it matter where it cannot be done.
  const args = [`if=${file}`, "iflag=nocache", "count=0", "status=none"];
  await new Deno.Command("dd", { args }).output().catch(() => {});
}

/** An ordinary statement on a large file that is not in memory. */
function onLargeFile(sql: string): Harm {
  const harm = statement(`cold file: ${sql}`, sql);
  return {
    ...harm,
    async run(stage) {
      await forgetCached(stage.daemon.file);
      return await harm.run({ ...stage, timeoutMs: 20 * stage.timeoutMs });
    },
  };
}

function doubled(times: number): string {
  const parts = Array.from(
    { length: times },
    (_, i) => `c${i + 1} as (select * from c${i} union all select * from c${i})`,
  );
  return `with c0 as (select 1), ${parts.join(", ")} select count(*) from c${times}`;
}

/** A text of so many characters, made by SQLite. */
const text = (length: number) => `replace(hex(zeroblob(${length / 2})), '0', 'x')`;

/** The character that ends it comes last in the set, which is looked through for each. */
const TRIM = `trim(${text(30_000)}, replace(${text(30_000)}, 'x', 'y') || 'x')`;

const tableWithCheck: Harm = {
  name: "trim in a CHECK",
  async run(stage) {
    const table = "create table checked(a, b, check (length(trim(a, b)) = 0))";
    await statement("", table).run(stage);
    const texts = ["x".repeat(30_000), "y".repeat(30_000) + "x"];
    return await statement("", "insert into checked values (?, ?)", texts).run(stage);
  },
};

/** The same request again and again, as long as `timeoutMs` go on. */
function again(name: string, request: (size: Size) => object): Harm {
  return {
    name,
    async run({ timeoutMs, size, open }) {
      const frame = JSON.stringify(request(size));
      const client = await open();
      const until = performance.now() + timeoutMs;
      do {
        client.sendText(frame);
        await client.next(ANSWER_MS_MAX);
      } while (performance.now() < until);
      return [];
    },
  };
}

/** On eight connections, again and again. */
function eightTimes(name: string, request: object): Harm {
  const harm = again(`eight times ${name}`, () => request);
  return {
    ...harm,
    async run(stage) {
      const all = await Promise.all(Array.from({ length: 8 }, () => harm.run(stage)));
      return all.flat();
    },
  };
}

const insert = (params: readonly unknown[]) => ({
  type: "ExecBatch",
  stmts: [{ sql: "insert into many values (length(?))", params }],
});

/** Nearly as much JSON as a frame may have, of one kind of part. */
function array(part: unknown, size: Size): unknown[] {
  const bytes = JSON.stringify(part).length + 1;
  const length = Math.floor((size === "short" ? 1 : 9.5) * MB / bytes);
  return Array.from({ length }, () => part);
}

const RECORD = { id: 12_345, name: "Ada Lovelace", tags: ["a", "b"], at: "2026-01-01T12:00:00Z" };
const SCRIPT = Array.from({ length: 2_000 }, (_, i) => `insert into many values (${i});`).join("");

const halfFrames: Harm = {
  name: "half frames, byte by byte",
  async run({ size, open }) {
    const clients = await Promise.all(Array.from({ length: HALF_FRAME_CLIENTS }, () => open()));
    const pieces = size === "short" ? 2_000 : 20_000;
    for (const client of clients) client.sendBytes(new Uint8Array([0, 0, 9, 0]));
    for (let i = 0; i < pieces; i++) {
      for (const client of clients) client.sendBytes(new Uint8Array([32]));
      // So that each is read as a piece of its own.
      if (i % 2 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    return [];
  },
};

const unreadAnswers: Harm = {
  name: "answers that nobody reads",
  async run({ timeoutMs, open }) {
    const clients = await Promise.all(Array.from({ length: SILENT_CLIENTS }, () => open()));
    for (const client of clients) {
      client.pause();
      const sql = `select ${text(1_000_000)} from (values (1), (2), (3), (4), (5), (6), (7), (8))`;
      for (let id = 1; id <= 4; id++) client.send({ type: "Query", id, sql });
    }
    await sleep(timeoutMs);
    return [];
  },
};

const manyConnections: Harm = {
  name: "240 connections that sent a Ping",
  async run({ open }) {
    for (let i = 0; i < MANY_CLIENTS; i++) {
      const client = await open();
      if ((await client.next(0)) === null) client.send({ type: "Ping" });
    }
    const late = await open();
    const answer: Answer = await late.ask({ type: "Status" });
    return answer.status === "ok" ? [] : [`Status was answered ${JSON.stringify(answer)}`];
  },
};

/** All of them, in an order in which each finds what it needs. */
export const HARMS: readonly Harm[] = [
  { name: "nothing", run: ({ timeoutMs }) => sleep(timeoutMs).then(() => []) },
  endlessQueries,
  statement("SQL that is doubled 20 times", doubled(20)),
  eightTimes("SQL that is doubled 20 times", { type: "Query", sql: doubled(20) }),
  statement("rows of 15 MB", "select zeroblob(15000000) from large limit 60"),
  statement("rows of 15 MB of text", `select ${text(15_000_000)} from large limit 60`),
  statement("trim", `select length(${TRIM})`),
  statement("trim in a write", `insert into many select length(${TRIM})`),
  tableWithCheck,
  statement("instr", `select instr(${text(1_000_000)}, ${text(300_000)} || 'y')`),
  statement("like", `select ${text(60_000)} like '%' || ${text(30_000)} || 'y'`),
  statement("replace", `select length(replace(${text(600_000)}, ${text(200_000)} || 'y', ''))`),
  statement("group_concat", `select length(group_concat(${text(100_000)})) from large limit 150`),
  statement(
    "json",
    `select json_array_length('[' || ${text(10)} || ']') union all ` +
      `select json_array_length(json_group_array(json_array(a, a))) from (select i as a from (${ENDLESS} limit 300000))`,
  ),
  again("10 MB of [] as a parameter", (size) => insert([array([], size)])),
  again("10 MB of records as a parameter", (size) => insert([array(RECORD, size)])),
  again("ten scripts of 2,000 inserts", () => ({
    type: "ExecBatch",
    stmts: Array.from({ length: 10 }, () => ({ sql: SCRIPT })),
  })),
  halfFrames,
  unreadAnswers,
  manyConnections,
  onLargeFile("select count(*) from large"),
  onLargeFile("select sum(length(a)) from (select a from large order by a desc)"),
  onLargeFile("pragma integrity_check"),
  onLargeFile("analyze"),
  onLargeFile("create index large_a on large(a)"),
  onLargeFile("delete from large"),
  onLargeFile("drop table large"),
];
