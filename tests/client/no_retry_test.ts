/** What a client does that is not to repeat anything. */
import assert from "node:assert/strict";
import { connect } from "../../mod.ts";
import { bounded } from "./bounded.ts";
import { FakeDaemon } from "./fake_daemon.ts";
import { fails, NOT_NOW, retryTest, runAll, sleep, sqlOf } from "./retry_case.ts";

const once = { retry: false };

retryTest("without retry no request carries a session", {}, async ({ db, fake, sessions }) => {
  await runAll(db, ["a", "b"]);
  await db.run("c", [], { key: "k" });
  await db.close();
  for (const request of fake.requests) {
    assert.ok(!("client" in request || "seq" in request || "acked" in request));
  }
  assert.deepEqual([fake.requests.length, sessions.left], [3, []]);
}, once);

retryTest("without retry nothing is repeated, and the next call connects again", {
  b: ["cut before"],
}, async ({ db, fake, sessions }) => {
  const calls = [db.run("a"), db.run("b"), db.run("c")];
  const read = db.values("q");
  const [, b, c] = await Promise.allSettled(calls);
  for (const each of [b, c]) {
    assert.ok(each.status === "rejected");
    fails("OUTCOME_UNKNOWN", "unknown")(each.reason);
  }
  await assert.rejects(read, fails("CONNECTION_LOST", "safe"));
  await db.run("d");
  assert.deepEqual(sessions.executed, ["a", "d"]);
  assert.equal(fake.requests.filter((request) => sqlOf(request) === "b").length, 1);
}, once);

for (const mishap of NOT_NOW) {
  retryTest(`without retry ${mishap.code} is an answer`, { a: [mishap] }, async ({ db, fake }) => {
    await assert.rejects(db.run("a"), fails(mishap.code, mishap.retry));
    assert.equal(fake.requests.length, 1);
  }, once);
}

Deno.test(
  "without retry what was not handed to the socket is CONNECTION_LOST, without effect",
  bounded(async () => {
    await using fake = await FakeDaemon.start(() => {}, (socket) => {
      socket.once("data", () => socket.pause());
    });
    await using db = await connect({ pipe: fake.endpoint }, once);
    const text = "x".repeat(2_000_000);
    const calls = Array.from({ length: 10 }, () => db.run("a", [text]));
    await sleep(50);
    for (const socket of fake.sockets) socket.destroy();
    const codes = (await Promise.allSettled(calls)).map((each) => {
      assert.ok(each.status === "rejected");
      return `${each.reason.code} ${each.reason.retry}`;
    });
    assert.equal(codes[0], "OUTCOME_UNKNOWN unknown");
    assert.equal(codes[9], "CONNECTION_LOST safe");
  }),
);
