/**
 * Checks the daemon's Windows executable over its named pipe, with the real client; compiled for Windows itself, because
 * under Wine only Windows programs reach a pipe. Prints a line of JSON for each check, and works in one process, because
 * every start takes seconds.
 *
 *     windows_client.exe DAEMON FOLDER
 *
 * @module
 */
import assert from "node:assert/strict";
import { connect as connectSocket, type Socket } from "node:net";
import { endpointOf } from "../../client/endpoint.ts";
import { encodeFrame, FrameDecoder } from "../../client/frame.ts";
import { connect, type Database, SkylineError } from "../../mod.ts";

const [daemon, folder] = Deno.args;
const data = `${folder}\\Größe mit Leerzeichen`;
const file = `${data}\\Übung.db`;
const decoder = new TextDecoder();
let failed = false;

async function check(name: string, body: () => Promise<unknown>): Promise<void> {
  const started = performance.now();
  let error: string | undefined;
  try {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error("It took over 60 s")), 60_000);
    });
    await Promise.race([body(), late]);
    clearTimeout(timer);
  } catch (caught) {
    failed = true;
    error = Error.isError(caught) ? caught.stack ?? caught.message : String(caught);
  }
  const tookMs = Math.round(performance.now() - started);
  console.log(JSON.stringify({ name, ok: error === undefined, error, tookMs }));
}

async function run(...args: string[]) {
  const { code, stdout, stderr } = await new Deno.Command(daemon, { args, stdin: "null" }).output();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

function names(): string[] {
  return [...Deno.readDirSync(data)].map(({ name }) => name).sort();
}

/** Sends frames as they are, and gives the answers until the pipe closes or so many have come. */
function exchange(
  pipe: string,
  bytes: Uint8Array,
  count: number,
): Promise<Record<string, unknown>[]> {
  return new Promise((resolve, reject) => {
    const answers: Record<string, unknown>[] = [];
    const frames = new FrameDecoder();
    const socket = connectSocket(pipe, () => socket.write(bytes));
    socket.on("data", (chunk: Uint8Array) => {
      frames.push(chunk);
      for (let body; (body = frames.take()) !== null;) {
        answers.push(JSON.parse(decoder.decode(body)));
      }
      if (answers.length >= count) socket.destroy();
    });
    socket.on("error", reject);
    socket.on("close", () => resolve(answers));
  });
}

/** The pipe's clients retry for a moment when it is busy; a bare socket has to do so itself. */
async function openSocket(pipe: string): Promise<Socket> {
  for (let attempt = 0;; attempt++) {
    try {
      return await new Promise((resolve, reject) => {
        const socket = connectSocket(pipe, () => resolve(socket));
        socket.once("error", reject);
      });
    } catch (error) {
      if (attempt > 100) throw error;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}

/** Waits until the daemon has closed its files. */
async function untilClosed(): Promise<void> {
  const giveUpAt = performance.now() + 10_000;
  while (names().length > 1 && performance.now() < giveUpAt) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Connects as soon as the daemon serves, or has seen that others left. */
async function connectSoon(): Promise<void> {
  const giveUpAt = performance.now() + 5_000;
  for (;;) {
    try {
      const client = await connect(file);
      assert.deepEqual(await client.values("select 1"), [[1]]);
      return await client.close();
    } catch (error) {
      if (performance.now() > giveUpAt) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

Deno.mkdirSync(data);
let db: Database;
let pipe = "";

await check("start --background serves a path with spaces and umlauts", async () => {
  const { code, stdout, stderr } = await run("start", "--background", file);
  assert.equal(code, 0, stderr);
  const ready = JSON.parse(stdout);
  pipe = ready.endpoint;
  assert.match(pipe, /^\\\\\.\\pipe\\skylinedb-[0-9a-f]{16}$/);
  assert.equal(pipe, endpointOf(file));
  db = await connect(file);
  assert.equal((await db.status()).pid, ready.pid);
  assert.deepEqual(names(), ["Übung.db", "Übung.db-shm", "Übung.db-wal"]);
});

await check("start serves in the foreground", async () => {
  await db.shutdown();
  await untilClosed();
  // Its standard error is this program's from now on, so that a panic of Deno's in it is seen.
  new Deno.Command(daemon, {
    args: ["start", file],
    stdin: "null",
    stdout: "null",
    stderr: "inherit",
  }).spawn().unref();
  await connectSoon();
  db = await connect(file);
});

await check("writes and reads", async () => {
  await db.exec("create table t(id integer primary key, a unique)");
  const { changes, lastInsertRowid, rev } = await db.run("insert into t(a) values (?)", ["é😀\0x"]);
  assert.deepEqual([changes, lastInsertRowid, rev], [1, 1, 2]);
  assert.deepEqual(await db.all("select * from t"), [{ id: 1, a: "é😀\0x" }]);
  const blob = new Uint8Array(100_000).map((_, i) => i * 7);
  const [[back]] = await db.values("insert into t(a) values (?) returning a", [blob]);
  assert.deepEqual(back, blob);
  const integers = await db.values("select ?, ?", [2n ** 63n - 1n, -(2n ** 63n)]);
  assert.deepEqual(integers, [[2n ** 63n - 1n, -(2n ** 63n)]]);
});

await check("answers errors, each with its code", async () => {
  const codes: [Promise<unknown>, string][] = [
    [db.run("insert into t(id) values (1)"), "SQL_ERROR"],
    [db.run("commit"), "NOT_ALLOWED"],
    [db.run("attach 'x.db' as x"), "NOT_ALLOWED"],
    [db.run("insert into t(a) values (?)", []), "PARAMETER_MISMATCH"],
    [db.batch([{ sql: "delete from t", expect: { changes: 99 } }]), "EXPECTATION_FAILED"],
  ];
  for (const [call, code] of codes) {
    await assert.rejects(
      call,
      (error) => error instanceof SkylineError && error.code === code,
      code,
    );
  }
  assert.deepEqual(await db.values("select count(*) from t"), [[2]]);
  const [oversized] = await exchange(pipe, new Uint8Array([255, 255, 255, 255]), 2);
  assert.equal(oversized.code, "FRAME_TOO_LARGE");
  const [empty, ping] = await exchange(
    pipe,
    new Uint8Array([0, 0, 0, 0, ...encodeFrame(`{"type":"Ping"}`)]),
    2,
  );
  assert.deepEqual([empty.code, ping.status], ["FRAME_EMPTY", "ok"]);
});

await check("cuts an endless statement while the rest goes on", async () => {
  const endless =
    "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n";
  const other = await connect(file);
  const cut = assert.rejects(
    other.run(endless, [], { timeoutMs: 1_500 }),
    (error) => error instanceof SkylineError && error.code === "TIMEOUT",
  );
  for (let i = 0; i < 5; i++) await db.values("select count(*) from t");
  await cut;
  await other.close();
});

await check("serves 100 clients at once", async () => {
  const clients = await Promise.all(Array.from({ length: 100 }, () => connect(file)));
  await db.exec("create table many(client, i)");
  await Promise.all(clients.map(async (client, c) => {
    for (let i = 0; i < 5; i++) await client.run("insert into many values (?, ?)", [c, i]);
  }));
  assert.deepEqual(await db.values("select count(distinct client || ' ' || i) from many"), [[500]]);
  assert.equal((await db.status()).connections, 101);
  await Promise.all(clients.map((client) => client.close()));
});

await check("serves 300 connections one after the other", async () => {
  for (let i = 0; i < 300; i++) {
    const client = await connect(file);
    await client.values("select 1");
    await client.close();
  }
});

await check("refuses the 241st connection and goes on", async () => {
  const clients: Database[] = [];
  while (clients.length < 239) clients.push(await connect(file));
  for (let i = 0; i < 20; i++) {
    await assert.rejects(
      connect(file),
      (error) =>
        error instanceof SkylineError &&
        ["TOO_MANY_CONNECTIONS", "CONNECTION_LOST"].includes(error.code),
    );
  }
  await Promise.all(clients.map((client) => client.close()));
  await connectSoon();
});

await check("listens on after many that were refused stayed", async () => {
  const clients: Database[] = [];
  while (clients.length < 239) clients.push(await connect(file));
  // At its 255th client a pipe's listener would stop for ever.
  const sockets: Socket[] = [];
  for (let i = 0; i < 60; i++) {
    const socket = connectSocket(pipe);
    socket.on("error", () => {});
    sockets.push(socket);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await new Promise((resolve) => setTimeout(resolve, 500));
  assert.deepEqual(await db.values("select 1"), [[1]]);
  for (const socket of sockets) socket.destroy();
  await Promise.all(clients.map((client) => client.close()));
  await connectSoon();
});

await check("survives clients that leave in the middle of a request", async () => {
  for (let i = 0; i < 20; i++) {
    const socket = await openSocket(pipe);
    socket.write(
      encodeFrame(`{"type":"ExecBatch","stmts":[{"sql":"insert into many values (-1, 0)"}]}`),
    );
    socket.write(new Uint8Array([99, 0, 0, 0, 1]));
    socket.destroy();
  }
  assert.equal((await db.run("insert into many values (-2, 0)")).changes, 1);
});

await check("start exits 3 and names the pipe, whatever the spelling", async () => {
  const spellings = [
    file,
    file.toUpperCase().replace("GRÖSSE", "GRÖßE"),
    file.replaceAll("\\", "/"),
  ];
  for (const spelling of spellings) {
    assert.equal(endpointOf(spelling), pipe, spelling);
    const { code, stderr } = await run("start", spelling);
    assert.equal(code, 3, `${spelling}: ${stderr}`);
    assert.ok(stderr.includes(pipe), stderr);
  }
  assert.deepEqual(names(), ["Übung.db", "Übung.db-shm", "Übung.db-wal"]);
});

await check("keeps its files from being removed, moved and replaced", async () => {
  const other = `${folder}\\other`;
  Deno.writeTextFileSync(other, "another file");
  for (const suffix of ["", "-wal", "-shm"]) {
    assert.throws(() => Deno.removeSync(file + suffix), suffix);
    assert.throws(() => Deno.renameSync(file + suffix, `${file}.moved`), suffix);
    assert.throws(() => Deno.renameSync(other, file + suffix), suffix);
  }
  assert.equal((await db.run("insert into many values (-5, 0)")).changes, 1);
});

await check("closes a file that nobody uses, so that it can be moved and replaced", async () => {
  const path = `${folder}\\unused\\app.db`;
  Deno.mkdirSync(`${folder}\\unused`);
  const { code, stderr } = await run("start", "--background", "--close-idle", "300ms", path);
  assert.equal(code, 0, stderr);
  const client = await connect(path);
  const closed = async () => {
    while ((await client.status()).databases[0].open) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  await client.exec("create table t(a); insert into t values (1)");
  await closed();
  assert.deepEqual([...Deno.readDirSync(`${folder}\\unused`)].map(({ name }) => name), ["app.db"]);
  Deno.renameSync(path, `${path}.moved`);
  await assert.rejects(
    client.run("insert into t values (2)"),
    (error) => error instanceof SkylineError && error.code === "CANNOT_OPEN",
  );
  Deno.copyFileSync(`${path}.moved`, path);
  assert.equal((await client.run("insert into t values (3)")).rev, 2);
  await closed();
  Deno.removeSync(path);
  Deno.renameSync(`${path}.moved`, path);
  assert.deepEqual(await client.values("select a from t"), [[1]]);
  assert.equal((await run("start", path)).code, 3);
  await client.shutdown();
});

await check("start refuses a file on another computer and one with two names", async () => {
  const away = [
    "\\\\server\\share\\app.db",
    "//server/share/app.db",
    "\\\\?\\UNC\\server\\share\\app.db",
  ];
  for (const path of away) {
    const { code, stderr } = await run("start", path);
    assert.equal(code, 5, stderr);
    assert.match(stderr, /Cannot open database .*: it is on a network drive/);
  }
  const wsl = await run("start", "\\\\wsl.localhost\\Ubuntu\\home\\me\\app.db");
  assert.match(wsl.stderr, /Linux file system \(WSL\), seen from Windows/);
  Deno.writeTextFileSync(`${folder}\\one.db`, "");
  Deno.linkSync(`${folder}\\one.db`, `${folder}\\two.db`);
  const { code, stderr } = await run("start", `${folder}\\two.db`);
  assert.equal(code, 5, stderr);
  assert.match(stderr, /it has 2 names \(hard links\)/);
});

await check("shutdown leaves the database alone in its folder", async () => {
  const { pid } = await db.status();
  await db.shutdown();
  await untilClosed();
  assert.deepEqual(names(), ["Übung.db"], `of pid ${pid}`);
  await assert.rejects(
    connect(file),
    (error) => error instanceof SkylineError && error.code === "NOT_RUNNING",
  );
});

await check("a daemon that was killed leaves all that it acknowledged", async () => {
  const { code, stdout, stderr } = await run("start", "--background", file);
  assert.equal(code, 0, stderr);
  const client = await connect(file);
  const { rev } = await client.run("insert into many values (-3, 0)");
  Deno.kill(JSON.parse(stdout).pid, "SIGKILL");
  await client.close();
  const again = await run("start", "--background", file);
  assert.equal(again.code, 0, again.stderr);
  const next = await connect(file);
  assert.deepEqual(await next.values("select count(*) from many where client = -3"), [[1]]);
  assert.equal((await next.run("insert into many values (-4, 0)")).rev, rev + 1);
  await next.shutdown();
});

Deno.exit(failed ? 1 : 0);
