/** Connections that are made again, and calls that end although none can be. */
import assert from "node:assert/strict";
import { Socket } from "node:net";
import { connect } from "../../mod.ts";
import { bounded } from "./bounded.ts";
import { FakeDaemon } from "./fake_daemon.ts";
import { FakeSessions } from "./fake_sessions.ts";
import { fails, NOT_NOW, retryTest, runAll, sleep } from "./retry_case.ts";

const [QUEUE_FULL] = NOT_NOW;

Deno.test(
  "calls fail with the last reason at their deadline when no daemon comes back",
  bounded(async () => {
    const sessions = new FakeSessions(() => "silence");
    const fake = await FakeDaemon.start(sessions.handler);
    await using db = await connect({ pipe: fake.endpoint }, { timeoutMs: 400 });
    const startedAt = performance.now();
    const [write, read] = [db.run("a"), db.values("q")];
    await sleep(30);
    await fake[Symbol.asyncDispose]();
    await sleep(20);
    const later = db.run("b");
    await Promise.all([
      assert.rejects(write, fails("OUTCOME_UNKNOWN", "unknown", /not known.*: No daemon listens/)),
      assert.rejects(read, fails("NOT_RUNNING", "safe")),
      assert.rejects(later, fails("NOT_RUNNING", "safe")),
    ]);
    const passedMs = performance.now() - startedAt;
    assert.ok(passedMs >= 395 && passedMs < 5_000, String(passedMs));
  }),
);

retryTest("a call is NO_PERMISSION at once when the system refuses to connect", {
  b: ["cut after"],
}, async ({ db }) => {
  await db.run("a");
  const original = Socket.prototype.connect;
  Socket.prototype.connect = function (this: Socket) {
    const error = Object.assign(new Error("connect EACCES"), { code: "EACCES" });
    setTimeout(() => this.emit("error", error), 1);
    return this;
  } as typeof original;
  try {
    const sent = db.run("b", [], { timeoutMs: 0 });
    await assert.rejects(sent, fails("OUTCOME_UNKNOWN", "unknown", /refuses this user/));
    await assert.rejects(db.run("c", [], { timeoutMs: 0 }), fails("NO_PERMISSION", "no"));
  } finally {
    Socket.prototype.connect = original;
  }
  await db.run("d");
});

Deno.test(
  "a client that is cut each time connects at growing intervals",
  bounded(async () => {
    let connections = 0;
    let refusing = false;
    const sessions = new FakeSessions(() => undefined);
    await using fake = await FakeDaemon.start(sessions.handler, (socket) => {
      connections++;
      if (refusing) socket.destroy();
    });
    await using db = await connect({ pipe: fake.endpoint });
    refusing = true;
    for (const socket of fake.sockets) socket.destroy();
    await sleep(20);
    const startedAt = performance.now();
    const call = db.run("a");
    await sleep(1_000);
    const passedMs = performance.now() - startedAt;
    // At 10, 30, 70, 150, 310, 560, 810 ms.
    assert.ok(connections >= 4 && connections <= 7 + passedMs / 250, `${connections} connections`);
    refusing = false;
    await call;
    assert.deepEqual(sessions.executed, ["a"]);
  }),
);

retryTest("close() waits for what is sent again, then says goodbye", {
  b: ["cut after", QUEUE_FULL],
}, async ({ db, fake, sessions }) => {
  const calls = runAll(db, ["a", "b", "c"]);
  await db.close();
  await calls;
  assert.deepEqual(sessions.left, [fake.requests[0].client]);
  await assert.rejects(db.run("d"), fails("CLOSED", "safe"));
});

retryTest("close() says no goodbye when nothing was written", {}, async ({ db, sessions }) => {
  await db.values("q");
  await db.close();
  assert.deepEqual(sessions.left, []);
});

retryTest("close() does not connect to say goodbye", {}, async ({ db, fake, sessions }) => {
  await db.run("a");
  for (const socket of fake.sockets) socket.destroy();
  await sleep(20);
  await db.close();
  assert.deepEqual([sessions.left, fake.sockets.size], [[], 0]);
});

Deno.test(
  "close() does not wait long for the answer to its goodbye",
  bounded(async () => {
    const sessions = new FakeSessions(() => undefined);
    await using fake = await FakeDaemon.start((request, session) => {
      if (request.type !== "Bye") sessions.handler(request, session);
    });
    const db = await connect({ pipe: fake.endpoint });
    await db.run("a");
    const startedAt = performance.now();
    await db.close();
    const passedMs = performance.now() - startedAt;
    assert.ok(passedMs > 900 && passedMs < 5_000, String(passedMs));
  }),
);

retryTest(
  "shutdown() is not repeated, nor is what is unanswered then",
  (request) => request.type === "Shutdown" ? "cut before" : "silence",
  async ({ db, fake }) => {
    const lost = assert.rejects(db.run("a"), fails("OUTCOME_UNKNOWN", "unknown"));
    const down = db.shutdown({ timeoutMs: 100 });
    await assert.rejects(db.run("b"), fails("CLOSED", "safe"));
    await lost;
    await assert.rejects(down, fails("TIMEOUT", "safe"));
    assert.equal(fake.requests.length, 2);
  },
);
