import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { Connection } from "../../client/connection.ts";
import { type ErrorCode, type Retry, SkylineError } from "../../client/errors.ts";
import { encodeFrame } from "../../client/frame.ts";
import type { Request } from "../../client/protocol.ts";
import { bounded } from "./bounded.ts";
import { FakeDaemon, type FakeHandler } from "./fake_daemon.ts";

const STATUS: Request = { type: "Status" };
const WRITE: Request = { type: "ExecBatch", stmts: [] };
const ECHO: FakeHandler = (request, { answer }) => answer({ rev: request.id });
const SILENT: FakeHandler = () => {};

function fails(code: ErrorCode, retry: Retry, message?: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof SkylineError, String(error));
    assert.deepEqual([error.code, error.retry], [code, retry], error.message);
    if (message !== undefined) assert.match(error.message, message);
    return true;
  };
}

function test(name: string, body: () => Promise<void>): void {
  Deno.test(name, bounded(body));
}

test("open() is NOT_RUNNING with a hint when nobody listens", async () => {
  const folder = mkdtempSync(join(tmpdir(), "none-"));
  const windows = process.platform === "win32";
  const endpoint = windows ? "\\\\.\\pipe\\fake-none" : join(folder, "none.sock");
  await assert.rejects(Connection.open(endpoint), (error) => {
    assert.match((error as SkylineError).hint!, /skylinedb-daemon/);
    return fails("NOT_RUNNING", "safe")(error);
  });
  rmSync(folder, { recursive: true });
});

test("open() tries again when the listener has no room for a moment", async () => {
  const folder = mkdtempSync(join(tmpdir(), "full-"));
  const windows = process.platform === "win32";
  const endpoint = windows ? "\\\\.\\pipe\\fake-full" : join(folder, "full.sock");
  const server = createServer();
  await new Promise<void>((resolve) => server.listen({ path: endpoint, backlog: 1 }, resolve));
  const opened = Array.from({ length: 20 }, () => Connection.open(endpoint));
  const connections = await Promise.all(opened);
  await Promise.all(connections.map((connection) => connection.close()));
  server.close();
  rmSync(folder, { recursive: true, force: true });
});

test("request() gives each its own answer when many are in flight and answers overtake", async () => {
  const waiting: (() => void)[] = [];
  await using fake = await FakeDaemon.start((request, { answer }) => {
    waiting.push(() => answer({ rev: request.id * 10 }));
    if (waiting.length === 100) { for (const send of waiting.reverse()) send(); }
  });
  await using connection = await Connection.open(fake.endpoint);
  const answers = await Promise.all(
    Array.from(
      { length: 100 },
      () => connection.request<{ status: "ok"; id: number; rev: number }>(STATUS),
    ),
  );
  answers.forEach((answer, i) => assert.deepEqual([answer.id, answer.rev], [i + 1, 10 * (i + 1)]));
});

test("request() sends in order and in one write when made in one turn", async () => {
  await using fake = await FakeDaemon.start(ECHO);
  await using connection = await Connection.open(fake.endpoint);
  // What the daemon reads may be joined on the way, so the writes are counted here.
  const served = [...fake.sockets];
  const write = Socket.prototype.write;
  let writes = 0;
  Socket.prototype.write = function (this: Socket, ...args: Parameters<typeof write>) {
    if (!served.includes(this)) writes++;
    return write.apply(this, args);
  } as typeof write;
  try {
    await Promise.all(Array.from({ length: 50 }, () => connection.request(STATUS)));
  } finally {
    Socket.prototype.write = write;
  }
  assert.deepEqual(fake.requests.map(({ id }) => id), Array.from({ length: 50 }, (_, i) => i + 1));
  assert.equal(writes, 1);
});

test("request() rejects with everything that an error answer says", async () => {
  await using fake = await FakeDaemon.start((_, { answer }) =>
    answer({
      status: "error",
      code: "SQL_ERROR",
      message: "Statement 2: UNIQUE",
      sqlite_code: "SQLITE_CONSTRAINT_UNIQUE",
      statement: 2,
      retry: "unknown",
      hint: "Do.",
    })
  );
  await using connection = await Connection.open(fake.endpoint);
  await assert.rejects(connection.request(STATUS), {
    name: "SkylineError",
    code: "SQL_ERROR",
    message: "Statement 2: UNIQUE",
    sqliteCode: "SQLITE_CONSTRAINT_UNIQUE",
    statement: 2,
    retry: "unknown",
    hint: "Do.",
  });
});

test("request() rejects with the code when a newer daemon gives one that is not known", async () => {
  for (const code of ["FROM_THE_FUTURE", "constructor"]) {
    await using fake = await FakeDaemon.start((_, { answer }) =>
      answer({ status: "error", code, message: "Later" })
    );
    await using connection = await Connection.open(fake.endpoint);
    await assert.rejects(
      connection.request(STATUS),
      fails(code as ErrorCode, "unknown", /^Later$/),
    );
  }
});

test("request() fails when the daemon goes, and the next one connects again", async () => {
  await using fake = await FakeDaemon.start((request, { socket, answer }) => {
    if (request.id < 3) return;
    if (request.id === 3) socket.destroy();
    else answer({ rev: request.id });
  });
  await using connection = await Connection.open(fake.endpoint);
  const write = connection.request(WRITE);
  const read = connection.request(STATUS);
  const last = connection.request({ type: "Shutdown" });
  await Promise.all([
    assert.rejects(write, fails("OUTCOME_UNKNOWN", "unknown", /ended/)),
    assert.rejects(read, fails("CONNECTION_LOST", "safe")),
    assert.rejects(last, fails("CONNECTION_LOST", "unknown")),
  ]);
  assert.deepEqual(await connection.request(STATUS), { id: 4, status: "ok", rev: 4 });
});

test("request() is CONNECTION_LOST when the answer cannot be read", async () => {
  for (const text of ["{", "null", "", "[".repeat(100)]) {
    await using fake = await FakeDaemon.start((_, { send }) => send(text));
    await using connection = await Connection.open(fake.endpoint);
    await assert.rejects(connection.request(STATUS), fails("CONNECTION_LOST", "safe", /read/));
  }
  await using fake = await FakeDaemon.start((_, { socket }) => {
    socket.write(Uint8Array.of(255, 255, 255, 255));
  });
  await using connection = await Connection.open(fake.endpoint);
  await assert.rejects(connection.request(WRITE), fails("OUTCOME_UNKNOWN", "unknown", /read/));
});

test("request() fails with what the daemon says when it says it of no request", async () => {
  const error = { status: "error", code: "TOO_MANY_CONNECTIONS", message: "Full", retry: "safe" };
  await using fake = await FakeDaemon.start(SILENT, (socket) => {
    socket.write(encodeFrame(JSON.stringify(error)));
  });
  await using connection = await Connection.open(fake.endpoint);
  const both = [connection.request(WRITE), connection.request(STATUS)];
  for (const each of both) {
    await assert.rejects(each, fails("TOO_MANY_CONNECTIONS", "safe", /^Full$/));
  }
});

test("request() is unknown when the daemon refuses one of several frames and closes", async () => {
  const error = { status: "error", code: "FRAME_TIMEOUT", message: "Late", retry: "safe" };
  await using fake = await FakeDaemon.start((request, { send }) => {
    if (request.id === 2) send(JSON.stringify(error));
  });
  await using connection = await Connection.open(fake.endpoint);
  const writes = [connection.request(WRITE), connection.request(WRITE)];
  const read = connection.request(STATUS);
  for (const write of writes) await assert.rejects(write, fails("OUTCOME_UNKNOWN", "unknown"));
  await assert.rejects(read, fails("FRAME_TIMEOUT", "safe"));
});

test("request() is TIMEOUT when the answer is late, and the connection goes on", async () => {
  await using fake = await FakeDaemon.start((request, { answer }) => {
    if (request.id <= 2) setTimeout(() => answer({ rev: -1 }), 150);
    else answer({ rev: request.id });
  });
  await using connection = await Connection.open(fake.endpoint);
  const long = connection.request(STATUS, { timeoutMs: 60_000 });
  const short = connection.request({ type: "Shutdown" }, { timeoutMs: 50 });
  await assert.rejects(short, fails("TIMEOUT", "unknown"));
  assert.deepEqual(await connection.request(STATUS), { id: 3, status: "ok", rev: 3 });
  assert.deepEqual(await long, { id: 1, status: "ok", rev: -1 });
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.deepEqual(await connection.request(STATUS), { id: 4, status: "ok", rev: 4 });
});

test("request() is TIMEOUT, safe when it was for reading", async () => {
  await using fake = await FakeDaemon.start(SILENT);
  await using connection = await Connection.open(fake.endpoint);
  const answer = connection.request(STATUS, { timeoutMs: 30 });
  await assert.rejects(answer, fails("TIMEOUT", "safe"));
});

test("request() holds frames back when the daemon does not read, and takes back what it holds", async () => {
  const text = `"filler":"${"x".repeat(1_000_000)}"`;
  await using fake = await FakeDaemon.start(ECHO, (socket) => void socket.pause());
  await using connection = await Connection.open(fake.endpoint);
  const kept = Array.from({ length: 10 }, () => connection.requestText("ExecBatch", text));
  await new Promise((resolve) => setTimeout(resolve, 50));
  await assert.rejects(
    connection.request({ type: "Shutdown" }, { timeoutMs: 50 }),
    fails("TIMEOUT", "safe"),
  );
  for (const socket of fake.sockets) socket.resume();
  assert.equal((await Promise.all(kept)).length, 10);
  assert.ok(fake.requests.every(({ type }) => type === "ExecBatch"));
});

test("request() gives an answer of megabytes", async () => {
  const filler = "é".repeat(4_000_000);
  await using fake = await FakeDaemon.start((_, { answer }) => answer({ filler }));
  await using connection = await Connection.open(fake.endpoint);
  const answers = await Promise.all([1, 2, 3].map(() => connection.request(STATUS)));
  for (const answer of answers) {
    assert.equal((answer as unknown as { filler: string }).filler, filler);
  }
});

test("request() is FRAME_TOO_LARGE before anything is sent, and the connection goes on", async () => {
  await using fake = await FakeDaemon.start(ECHO);
  await using connection = await Connection.open(fake.endpoint);
  const text = `"sql":"${"x".repeat(10 * 1024 * 1024)}"`;
  await assert.rejects(connection.requestText("Query", text), fails("FRAME_TOO_LARGE", "no"));
  await connection.request(STATUS);
  assert.equal(fake.requests.length, 1);
});

test("close() waits for the answers in flight and refuses further requests", async () => {
  await using fake = await FakeDaemon.start((_, { answer }) => {
    setTimeout(() => answer({ rev: 7 }), 50);
  });
  const connection = await Connection.open(fake.endpoint);
  const answer = connection.request(STATUS);
  const closed = Promise.all([connection.close(), connection.close()]);
  await assert.rejects(connection.request(STATUS), fails("CLOSED", "safe"));
  await closed;
  assert.deepEqual(await answer, { id: 1, status: "ok", rev: 7 });
  await connection.close();
  await assert.rejects(connection.request(STATUS), fails("CLOSED", "safe"));
});

test("close() ends when the daemon goes meanwhile", async () => {
  await using fake = await FakeDaemon.start((_, { socket }) => {
    setTimeout(() => socket.destroy(), 30);
  });
  const connection = await Connection.open(fake.endpoint);
  const answer = assert.rejects(connection.request(STATUS), fails("CONNECTION_LOST", "safe"));
  await connection.close();
  await answer;
});
