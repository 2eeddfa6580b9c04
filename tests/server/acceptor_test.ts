import assert from "node:assert/strict";
import { connect, Server, type Socket } from "node:net";
import { Buffer } from "node:buffer";
import { join } from "node:path";
import type { Acceptor, AcceptorEvents, Channel } from "../../daemon/server/channel.ts";
import { PipeAcceptor } from "../../daemon/server/pipe_acceptor.ts";
import { UnixAcceptor } from "../../daemon/server/unix_acceptor.ts";
import { until, within } from "../e2e/daemon_case.ts";

/** On Linux the acceptor of pipes works at a Unix socket too. */
const ACCEPTORS = { UnixAcceptor, PipeAcceptor };

/** Listens in a folder of its own while `work` runs. */
async function listening(
  open: (path: string, events: AcceptorEvents) => Promise<Acceptor>,
  work: (path: string, channels: Channel[], failures: unknown[]) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "skylinedb-acceptor-" });
  const path = join(folder, "socket");
  const channels: Channel[] = [];
  const failures: unknown[] = [];
  const acceptor = await open(path, {
    accepted: (channel) => channels.push(channel),
    failed: (error) => failures.push(error),
    blocked: () => {},
  });
  try {
    await within(10_000, () => work(path, channels, failures));
  } finally {
    for (const channel of channels) channel.destroy();
    acceptor.close();
    await Deno.remove(folder, { recursive: true });
  }
}

/** Connects, and gives both sides. */
async function connection(path: string, channels: Channel[]): Promise<[Socket, Channel]> {
  const before = channels.length;
  const socket = connect(path);
  socket.on("error", () => {});
  await until(() => channels.length > before);
  return [socket, channels[before]];
}

async function readAll(channel: Channel): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for (;;) {
    const piece = await channel.read(false);
    if (piece === null) return Buffer.concat(pieces);
    pieces.push(piece);
  }
}

const text = (piece: Uint8Array | null) => new TextDecoder().decode(piece!);
const bytes = (length: number) => Uint8Array.from({ length }, (_, i) => i * 7 + (i >> 8));

for (const [name, { open }] of Object.entries(ACCEPTORS)) {
  Deno.test(`${name}: bytes arrive whole and in their order, both ways, up to the peer's end`, () =>
    listening(open, async (path, channels) => {
      const [socket, channel] = await connection(path, channels);
      const sent = bytes(3_000_000);
      socket.end(sent);
      // The socket's end ends its side only.
      assert.ok((await readAll(channel)).equals(sent));
      const received: Uint8Array[] = [];
      socket.on("data", (chunk: Uint8Array) => received.push(chunk));
      const closed = new Promise((resolve) => socket.on("close", resolve));
      await channel.write(sent);
      await channel.end();
      await closed;
      assert.ok(Buffer.concat(received).equals(sent));
    }));

  Deno.test(`${name}: a piece that is still needed stays as it is`, () =>
    listening(open, async (path, channels) => {
      const [socket, channel] = await connection(path, channels);
      socket.write("first");
      const first = await channel.read(true);
      socket.write("other");
      const other = await channel.read(false);
      assert.deepEqual([text(first), text(other)], ["first", "other"]);
      socket.destroy();
    }));

  Deno.test(`${name}: connections that come after one that ended do not share what it leaves`, () =>
    listening(open, async (path, channels) => {
      const [ended, left] = await connection(path, channels);
      ended.end();
      assert.deepEqual([await left.read(true), await left.read(true)], [null, null]);
      const [one, first] = await connection(path, channels);
      const [two, second] = await connection(path, channels);
      one.write("one");
      const piece = await first.read(true);
      two.write("two");
      assert.deepEqual([text(await second.read(true)), text(piece)], ["two", "one"]);
      one.destroy();
      two.destroy();
    }));

  Deno.test(`${name}: a connection that was destroyed breaks a read that waits`, () =>
    listening(open, async (path, channels) => {
      const [socket, channel] = await connection(path, channels);
      const reading = channel.read(true);
      channel.destroy();
      assert.equal(await reading.then((piece) => piece === null, () => true), true);
      await assert.rejects(channel.write(bytes(10)));
      socket.destroy();
    }));

  Deno.test(`${name}: writing to a peer that is gone fails`, () =>
    listening(open, async (path, channels) => {
      const [socket, channel] = await connection(path, channels);
      socket.destroy();
      await channel.read(true).catch(() => null);
      await assert.rejects(async () => {
        for (let i = 0; i < 100; i++) await channel.write(bytes(10_000));
      });
    }));
}

Deno.test("UnixAcceptor lets only its user connect", () =>
  listening(UnixAcceptor.open, async (path) => {
    assert.equal((await Deno.stat(path)).mode! & 0o777, 0o600);
  }));

Deno.test("UnixAcceptor goes on after accepting has failed, and loses nobody who waits", async () => {
  const failing = 3;
  const { listen } = Deno;
  let attempts = 0;
  Deno.listen = ((options: Deno.UnixListenOptions & { transport: "unix" }) => {
    const listener = listen(options);
    const accept = listener.accept.bind(listener);
    listener.accept = () =>
      attempts++ < failing ? Promise.reject(new Error("Too many open files")) : accept();
    return listener;
  }) as typeof Deno.listen;
  try {
    await listening(UnixAcceptor.open, async (path, channels, failures) => {
      const [socket, channel] = await connection(path, channels);
      assert.equal(failures.length, failing);
      socket.end("it waited");
      assert.equal(text(await readAll(channel)), "it waited");
    });
  } finally {
    Deno.listen = listen;
  }
});

Deno.test("PipeAcceptor listens anew after accepting has failed", async () => {
  const servers: Server[] = [];
  const { listen } = Server.prototype;
  Server.prototype.listen = function (this: Server, ...args: unknown[]) {
    servers.push(this);
    return Reflect.apply(listen, this, args);
  };
  try {
    await listening(PipeAcceptor.open, async (path, channels, failures) => {
      servers[0].emit("error", new Error("accept"));
      await until(() => servers.length === 2 && servers[1].listening);
      assert.equal(failures.length, 1);
      assert.ok(!servers[0].listening);
      const [socket] = await connection(path, channels);
      socket.destroy();
    });
  } finally {
    Server.prototype.listen = listen;
  }
});
