import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { connect, type Socket } from "node:net";
import { encodeFrame, FrameDecoder } from "../../client/frame.ts";
import { LIMITS } from "../../daemon/process/limits.ts";
import { type DaemonCase, daemonTest, sleep, until } from "./daemon_case.ts";

const MiB = 1024 * 1024;

/** A connection that counts how much the daemon took of what it sends. */
class Flood implements AsyncDisposable {
  readonly socket: Socket;
  answers = 0;
  sent = 0;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on("error", () => {});
  }

  static open(endpoint: string): Promise<Flood> {
    return new Promise((resolve, reject) => {
      const socket = connect(endpoint, () => resolve(new Flood(socket)));
      socket.once("error", reject);
    });
  }

  /** Sends bytes until the daemon takes no more for 300 ms, or all are sent; gives how many the system took. */
  async send(bytes: Uint8Array): Promise<number> {
    const before = this.sent;
    this.socket.write(bytes);
    const total = this.socket.bytesWritten;
    let last = -1;
    for (;;) {
      const taken = total - this.socket.writableLength;
      if (taken === last || this.socket.writableLength === 0) {
        this.sent = taken;
        return taken - before;
      }
      last = taken;
      await sleep(300);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.socket.closed) return;
    const closed = new Promise((resolve) => this.socket.once("close", resolve));
    this.socket.destroy();
    await closed;
  }
}

/** While it is held no write ends, so that all of them wait. */
function holdLock(it: DaemonCase): DatabaseSync {
  const foreign = new DatabaseSync(it.daemon.file);
  foreign.exec("begin immediate");
  return foreign;
}

function frames(count: number, text: (i: number) => string): Uint8Array {
  const all = Array.from({ length: count }, (_, i) => encodeFrame(text(i)));
  const bytes = new Uint8Array(all.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const frame of all) {
    bytes.set(frame, at);
    at += frame.length;
  }
  return bytes;
}

async function queued(it: DaemonCase): Promise<number> {
  return (await it.status()).queued;
}

daemonTest("Session does not read further when 1,024 requests wait", async (it) => {
  await it.exec("create table t(a)");
  await using flood = await Flood.open(it.daemon.endpoint);
  using _lock = holdLock(it);
  const insert = (i: number) =>
    `{"type":"ExecBatch","id":${i},"stmts":[{"sql":"insert into t values (${i})"}]}`;
  const all = frames(60_000, insert);
  const taken = await flood.send(all);
  assert.equal(await queued(it), 1_024);
  assert.ok(taken < all.length / 2, `the daemon took ${taken} bytes of ${all.length}`);
  await sleep(300);
  assert.equal(await queued(it), 1_024, "and stays there");
  const other = await it.open();
  assert.equal((await other.ask({ type: "Ping" })).status, "ok", "others are served");
});

daemonTest("Session goes on reading where it stopped when there is room again", async (it) => {
  await it.exec("create table t(a)");
  const lock = holdLock(it);
  const count = 20_000;
  for (let id = 0; id < count; id++) {
    it.client.send({ type: "ExecBatch", stmts: [{ sql: `insert into t values (${id})` }], id });
  }
  await sleep(300);
  lock.close();
  for (let id = 0; id < count; id++) {
    const answer = await it.client.next();
    assert.deepEqual([answer?.id, answer?.rev], [id, id + 2], JSON.stringify(answer));
  }
  assert.deepEqual(await it.rows("select count(*), sum(a) from t"), [[count, 199_990_000]]);
});

daemonTest(
  "Session does not take it for the peer's silence that it does not read further",
  async (it) => {
    await it.exec("create table t(a)");
    const lock = holdLock(it);
    const count = 3_000;
    for (let id = 0; id < count; id++) {
      it.client.send({ type: "ExecBatch", stmts: [{ sql: `insert into t values (${id})` }], id });
    }
    await sleep(LIMITS.partialFrameSilenceMs + 1_000);
    lock.close();
    for (let id = 0; id < count; id++) assert.equal((await it.client.next())?.rev, id + 2);
  },
);

daemonTest(
  "Session takes what a refused peer still sends, so that it comes to reading why",
  async (it) => {
    await using flood = await Flood.open(it.daemon.endpoint);
    const tooLarge = new Uint8Array(5 * MiB).fill(255);
    assert.equal(await flood.send(tooLarge), tooLarge.length);
  },
);

daemonTest("Session does not read further when 4 MiB of requests wait", async (it) => {
  await it.exec("create table t(a)");
  await using flood = await Flood.open(it.daemon.endpoint);
  using _lock = holdLock(it);
  const large = "x".repeat(256 * 1024);
  const insert = (i: number) =>
    `{"type":"ExecBatch","id":${i},"stmts":[{"sql":"insert into t values (?)","params":["${large}"]}]}`;
  const all = frames(160, insert);
  const taken = await flood.send(all);
  const waiting = await queued(it);
  assert.ok(waiting >= 15 && waiting <= 17, `${waiting} requests of 256 KiB wait`);
  assert.ok(taken < 12 * MiB, `the daemon took ${taken} bytes of ${all.length}`);
});

daemonTest("Session does not read further when its answers are not fetched", async (it) => {
  // Not of node:net, which reads ahead although it is paused.
  using slow = await Deno.connect({ transport: "unix", path: it.daemon.endpoint });
  const count = 600; // 60 MB of answers
  // Each is a text of its own: one that the system held up must not count as slow for all of them.
  const query = (id: number) =>
    `{"type":"Query","sql":"select hex(zeroblob(50000)) -- ${id}","id":${id}}`;
  const sent = (async () => {
    const bytes = frames(count, query);
    for (let at = 0; at < bytes.length;) at += await slow.write(bytes.subarray(at));
  })();
  await sleep(700);
  const { queries } = await it.status();
  assert.ok(queries < 100, `${queries} queries were executed for nobody`);
  const decoder = new FrameDecoder();
  const chunk = new Uint8Array(256 * 1024);
  const answered = new Set<number>();
  while (answered.size < count) {
    const read = await slow.read(chunk);
    assert.ok(read, `it ended after ${answered.size} answers\n${it.daemon.log()}`);
    decoder.push(chunk.slice(0, read));
    for (let body; (body = decoder.take()) !== null;) {
      const answer = JSON.parse(new TextDecoder().decode(body));
      assert.equal(answer.status, "ok", JSON.stringify(answer));
      answered.add(answer.id);
    }
  }
  await sent;
}, { ignore: Deno.build.os === "windows" });

daemonTest("Session answers all of a burst that is longer than it may be at once", async (it) => {
  // Each is new SQL, so that they hold the loop for a while, and 10 MB of answers wait at once.
  const query = (id: number) =>
    `{"type":"Query","sql":"select hex(zeroblob(10000)) as a${id}","id":${id}}`;
  for (let round = 0; round < 5; round++) {
    it.client.sendBytes(frames(500, query));
    const answered = new Set<number>();
    for (let i = 0; i < 500; i++) answered.add((await it.client.next())?.id);
    assert.equal(answered.size, 500);
  }
});

/** A connection that reads nothing by itself, and has sent queries of 8 MB each. */
async function silentClient(it: DaemonCase, queries: number): Promise<Deno.UnixConn> {
  const silent = await Deno.connect({ transport: "unix", path: it.daemon.endpoint });
  const sql = `select hex(zeroblob(500000)) from (values (1), (2), (3), (4), (5), (6), (7), (8))`;
  await silent.write(frames(queries, (id) => JSON.stringify({ type: "Query", sql, id })));
  return silent;
}

const cuts = (it: DaemonCase) => it.daemon.log().match(/Connection cut/g)?.length ?? 0;

daemonTest("Answers that nobody fetches hold little memory, over all connections", async (it) => {
  const silent = await Promise.all(Array.from({ length: 30 }, () => silentClient(it, 4)));
  let most = 0;
  await until(async () => {
    const { memory } = await it.client.ask({ type: "Status" });
    most = Math.max(most, memory.private ?? memory.rss);
    return cuts(it) >= 10;
  }, 40_000);
  assert.ok(most < 300 * MiB, `${most} bytes were held`);
  // Who fetches is served.
  const answer = await it.client.ask({ type: "Query", sql: "select hex(zeroblob(3000000))" });
  assert.equal(answer.rows[0][0].length, 6_000_000);
  for (const each of silent) each.close();
}, { ignore: Deno.build.os === "windows", timeoutMs: 90_000 });

daemonTest(
  "Session serves who fetches slowly, and cuts who fetches nothing beside it",
  async (it) => {
    const silent = await Promise.all(Array.from({ length: 6 }, () => silentClient(it, 1)));
    using slow = await silentClient(it, 12);
    const decoder = new FrameDecoder();
    const chunk = new Uint8Array(256 * 1024);
    const answered = new Set<number>();
    while (answered.size < 12 || cuts(it) === 0) {
      await sleep(5);
      if (answered.size === 12) continue;
      const read = await slow.read(chunk);
      assert.ok(read, `it ended after ${answered.size} answers\n${it.daemon.log()}`);
      decoder.push(chunk.slice(0, read));
      for (let body; (body = decoder.take()) !== null;) {
        const { id, rows } = JSON.parse(new TextDecoder().decode(body));
        assert.deepEqual([rows.length, rows[7][0].length], [8, 1_000_000]);
        answered.add(id);
      }
    }
    for (const each of silent) each.close();
  },
  { ignore: Deno.build.os === "windows", timeoutMs: 90_000 },
);

daemonTest("Session lets 4,096 requests of all connections wait, and one of each", async (it) => {
  await it.exec("create table t(a)");
  using _lock = holdLock(it);
  const floods = await Promise.all(
    Array.from({ length: 20 }, () => Flood.open(it.daemon.endpoint)),
  );
  const insert = (i: number) =>
    `{"type":"ExecBatch","id":${i},"stmts":[{"sql":"insert into t values (${i})"}]}`;
  await Promise.all(floods.map((flood) => flood.send(frames(1_000, insert))));
  const waiting = await queued(it);
  assert.ok(waiting >= 4_096 && waiting <= 4_096 + 20, `${waiting} requests wait`);
  const late = await it.open();
  late.send({ type: "ExecBatch", stmts: [{ sql: "insert into t values (0)" }] });
  await until(async () => await queued(it) > waiting);
  for (const flood of floods) await flood[Symbol.asyncDispose]();
});

daemonTest("Session does not count the half-received frames of those that are gone", async (it) => {
  const part = new Uint8Array(9 * MiB);
  new DataView(part.buffer).setUint32(0, 10 * MiB, true);
  for (let i = 0; i < 10; i++) {
    await using flood = await Flood.open(it.daemon.endpoint);
    flood.socket.on("data", (chunk: Uint8Array) => assert.fail(new TextDecoder().decode(chunk)));
    assert.equal(await flood.send(part), part.length);
    assert.equal((await it.client.ask({ type: "Ping" })).status, "ok");
  }
});

daemonTest(
  "Session holds 64 MiB of half-received frames at most, of all connections",
  async (it) => {
    const floods: Flood[] = [];
    const codes: string[] = [];
    const part = new Uint8Array(9 * MiB);
    new DataView(part.buffer).setUint32(0, 10 * MiB, true);
    try {
      for (let i = 0; i < 10; i++) {
        const flood = await Flood.open(it.daemon.endpoint);
        floods.push(flood);
        flood.socket.on("data", (chunk: Uint8Array) => {
          const [, code] = /"code":"(\w+)"/.exec(new TextDecoder().decode(chunk)) ?? [];
          if (code) codes.push(code);
        });
        await flood.send(part);
        const pong = await it.client.ask({ type: "Ping" });
        assert.equal(pong.status, "ok", "others are served");
      }
      await until(() => codes.length >= 3);
      assert.deepEqual([...new Set(codes)], ["FRAMES_WAITING"]);
      assert.equal(codes.length, 3, "7 times 9 MiB fit into 64 MiB, 3 times do not");
      const { memory } = await it.client.ask({ type: "Status" });
      if (memory.private) assert.ok(memory.private < 250 * MiB, `${memory.private} bytes are held`);
      // Those that were within the bound may still end their frames.
      const rest = new Uint8Array(MiB + 4);
      floods[0].socket.write(rest);
      await until(() => codes.includes("INVALID_JSON"));
    } finally {
      for (const flood of floods) await flood[Symbol.asyncDispose]();
    }
    const size = 9 * MiB;
    it.client.sendText(`{"type":"Ping","x":"${"x".repeat(size)}"}`);
    assert.equal((await it.client.next())?.status, "ok", "what they held is free again");
  },
  { timeoutMs: 90_000 },
);

daemonTest("Session lets go at once of half-received frames that it refuses", async (it) => {
  const part = new Uint8Array(9 * MiB);
  new DataView(part.buffer).setUint32(0, 10 * MiB, true);
  const floods = await Promise.all(
    Array.from({ length: 40 }, () => Flood.open(it.daemon.endpoint)),
  );
  let refused = 0, most = 0;
  for (const { socket } of floods) {
    socket.on("data", () => refused++);
    socket.write(part);
  }
  await until(async () => {
    const { memory } = await it.client.ask({ type: "Status" });
    most = Math.max(most, memory.private ?? 0);
    return refused >= 33;
  }, 30_000);
  assert.ok(most < 180 * MiB, `${most} bytes were held`);
  for (const flood of floods) await flood[Symbol.asyncDispose]();
}, { timeoutMs: 90_000 });

daemonTest("Session holds half-received frames in the memory of their bytes", async (it) => {
  const before = (await it.client.ask({ type: "Status" })).memory;
  const part = new Uint8Array(15_000).fill(0x20);
  new DataView(part.buffer).setUint32(0, 10 * MiB, true);
  await Promise.all(Array.from({ length: 4 }, async () => {
    const slow = await Deno.connect({ transport: "unix", path: it.daemon.endpoint });
    for (const byte of part) {
      await slow.write(Uint8Array.of(byte));
      // As a read of its own.
      await new Promise((resolve) => setImmediate(resolve));
    }
    return slow;
  })).then(async (connections) => {
    const { memory, received_bytes } = await it.client.ask({ type: "Status" });
    assert.ok(received_bytes >= 4 * part.length);
    const grown = (memory.private ?? memory.rss) - (before.private ?? before.rss);
    for (const each of connections) each.close();
    assert.ok(grown < 40 * MiB, `${grown} bytes more`);
  });
}, { ignore: Deno.build.os === "windows" });

daemonTest("Session allocates nothing for a length that is only announced", async (it) => {
  const before = (await it.client.ask({ type: "Status" })).memory;
  const prefix = new Uint8Array(5);
  new DataView(prefix.buffer).setUint32(0, 10 * MiB, true);
  for (let i = 0; i < 60; i++) (await it.open()).sendBytes(prefix);
  await sleep(200);
  const after = (await it.client.ask({ type: "Status" })).memory;
  const grown = (after.private ?? after.rss) - (before.private ?? before.rss);
  assert.ok(grown < 30 * MiB, `${grown} bytes more`);
});
