/**
 * Tests of a client against a fake daemon with sessions, which does wrong what it is told to.
 *
 * @module
 */
import assert from "node:assert/strict";
import {
  connect,
  type ConnectOptions,
  type Database,
  type ErrorCode,
  type Retry,
  type RunResult,
  SkylineError,
} from "../../mod.ts";
import { bounded } from "./bounded.ts";
import { FakeDaemon, type FakeRequest, type FakeSession } from "./fake_daemon.ts";
import { FakeSessions, type Mishap } from "./fake_sessions.ts";

/** Answers in place of executing. */
export const TIMEOUT = { code: "TIMEOUT", retry: "safe" } as const;
/** Those after which a request is to be sent again. */
export const NOT_NOW = [
  { code: "QUEUE_FULL", retry: "safe" },
  { code: "SHUTTING_DOWN", retry: "safe" },
  { code: "OUTCOME_UNKNOWN", retry: "unknown" },
] as const;

/** What goes wrong with a request: by its SQL, as often as there are mishaps. */
export type Plan = Record<string, Mishap[]>;

/** What the body of a test is given. */
export interface RetryCase {
  readonly db: Database;
  readonly fake: FakeDaemon;
  readonly sessions: FakeSessions;
}

/** The SQL of a request, of a batch its first. */
export function sqlOf(request: FakeRequest): string {
  return (request.stmts as { sql: string }[] | undefined)?.[0].sql ?? request.sql as string;
}

/** A test with a client, by default one that retries, and a fake. */
export function retryTest(
  name: string,
  plan: Plan | ((request: FakeRequest, session: FakeSession) => Mishap | undefined),
  body: (it: RetryCase) => Promise<void>,
  options: ConnectOptions = {},
): void {
  Deno.test(
    name,
    bounded(async () => {
      const sessions = new FakeSessions(
        typeof plan === "function" ? plan : (request) => plan[sqlOf(request)]?.shift(),
      );
      await using fake = await FakeDaemon.start(sessions.handler);
      await using db = await connect({ pipe: fake.endpoint }, { timeoutMs: 5_000, ...options });
      await body({ db, fake, sessions });
    }),
  );
}

/** Checks what a call rejects with. */
export function fails(
  code: ErrorCode,
  retry: Retry,
  message?: RegExp,
): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof SkylineError, String(error));
    assert.deepEqual([error.code, error.retry], [code, retry], error.message);
    if (message !== undefined) assert.match(error.message, message);
    return true;
  };
}

/** Writes with these texts, all called at once. */
export function runAll(db: Database, sqls: readonly string[]): Promise<RunResult[]> {
  return Promise.all(sqls.map((sql) => db.run(sql)));
}

/** The writes that were received, each as `SQL seq/acked`. */
export function numbersOf(fake: FakeDaemon): string[] {
  return fake.requests.filter(({ type }) => type === "ExecBatch")
    .map((request) => `${sqlOf(request)} ${request.seq}/${request.acked}`);
}

/** Waits so many milliseconds. */
export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
