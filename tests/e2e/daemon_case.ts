/**
 * Tests that have a real daemon, and connections to it that end with the test.
 *
 * @module
 */
import assert from "node:assert/strict";
import { type DaemonFixture, type FixtureOptions, startDaemon } from "../daemon_fixture.ts";
import { type Answer, WireClient } from "../wire_client.ts";

/** What the body of a test is given. */
export class DaemonCase {
  readonly daemon: DaemonFixture;
  /** A connection to the first file's endpoint. */
  readonly client: WireClient;
  readonly #stack: AsyncDisposableStack;

  /** Made by {@link daemonTest}. */
  constructor(daemon: DaemonFixture, client: WireClient, stack: AsyncDisposableStack) {
    this.daemon = daemon;
    this.client = client;
    this.#stack = stack;
  }

  /** One more connection, by default to the first file's endpoint. */
  async open(endpoint: string = this.daemon.endpoint): Promise<WireClient> {
    return this.#stack.use(await WireClient.open(endpoint));
  }

  /** Executes statements, each with its parameters, as one batch that must succeed. */
  exec(...stmts: (string | [sql: string, ...params: unknown[]])[]): Promise<Answer> {
    return exec(this.client, ...stmts);
  }

  /** The rows of a query that must succeed. */
  rows(sql: string, ...params: unknown[]): Promise<unknown[][]> {
    return rows(this.client, sql, ...params);
  }

  /** The status of the first database. */
  async status(): Promise<Answer> {
    return (await this.client.ask({ type: "Status" })).databases[0];
  }
}

/** Executes statements as one batch that must succeed. */
export async function exec(
  client: WireClient,
  ...stmts: (string | [sql: string, ...params: unknown[]])[]
): Promise<Answer> {
  const answer = await client.ask({
    type: "ExecBatch",
    stmts: stmts.map((stmt) =>
      typeof stmt === "string" ? { sql: stmt } : { sql: stmt[0], params: stmt.slice(1) }
    ),
    results: true,
  });
  assert.equal(answer.status, "ok", JSON.stringify(answer));
  return answer;
}

/** The rows of a query that must succeed. */
export async function rows(
  client: WireClient,
  sql: string,
  ...params: unknown[]
): Promise<unknown[][]> {
  const answer = await client.ask({ type: "Query", sql, params });
  assert.equal(answer.status, "ok", JSON.stringify(answer));
  return answer.rows;
}

/** How a test is run. */
export interface DaemonTestOptions extends FixtureOptions {
  readonly ignore?: boolean;
  /** The test fails past it; 60 s by default. */
  readonly timeoutMs?: number;
}

/**
 * A test of a daemon that starts for it alone. It fails as well when the daemon logged an error that nobody expects, or,
 * unless the test ended it, does not answer any more.
 */
export function daemonTest(
  name: string,
  body: (it: DaemonCase) => Promise<void>,
  { ignore, timeoutMs = 60_000, ...options }: DaemonTestOptions = {},
): void {
  Deno.test(name, { ignore: ignore ?? false }, () =>
    within(timeoutMs, async () => {
      await using stack = new AsyncDisposableStack();
      const daemon = stack.use(await startDaemon(options));
      const client = stack.use(await WireClient.open(daemon.endpoint));
      let ended = false;
      daemon.child.status.then(() => ended = true);
      await body(new DaemonCase(daemon, client, stack));
      assert.doesNotMatch(daemon.log(), /Unexpected|panicked|Uncaught|INTERNAL_ERROR/);
      if (!ended) await checkAlive(daemon);
    }));
}

/** By a connection of its own: those of the test may be closed, or at their bounds. */
async function checkAlive(daemon: DaemonFixture): Promise<void> {
  await using client = await WireClient.open(daemon.endpoint).catch(() => null) ?? {
    ask: () => Promise.resolve({ status: "gone" }),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
  const { status } = await client.ask({ type: "Ping" });
  assert.equal(status, "ok", "the daemon answers after the test");
}

/** Runs `body` and rejects when it takes longer than so many milliseconds. */
export async function within<T>(timeoutMs: number, body: () => Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`It took over ${timeoutMs} ms`)), timeoutMs);
  });
  try {
    return await Promise.race([body(), late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Waits until `check` holds, looking every few milliseconds. */
export async function until(
  check: () => boolean | Promise<boolean>,
  timeoutMs = 20_000,
): Promise<void> {
  const giveUpAt = performance.now() + timeoutMs;
  while (!await check()) {
    if (performance.now() > giveUpAt) throw new Error(`Not so within ${timeoutMs} ms: ${check}`);
    await sleep(5);
  }
}

/**
 * Measures until one result stays below the bound, 5 times at most: a busy machine is late now and then, a fault is each
 * time. What the daemon remembers of one measurement must not help the next.
 */
export async function assertBelow(
  boundMs: number,
  what: string,
  measure: (attempt: number) => Promise<number>,
): Promise<void> {
  const results: number[] = [];
  while (results.length < 5) {
    const ms = await measure(results.length);
    if (ms < boundMs) return;
    results.push(Math.round(ms));
  }
  assert.fail(`${what} took ${results.join(", ")} ms: each time over ${boundMs} ms`);
}

/** Waits so many milliseconds. */
export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
