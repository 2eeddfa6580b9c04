/** Holds docs/protocol.md to what the daemon does. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { connect } from "node:net";
import { join } from "node:path";
import { endpointOf } from "../../client/endpoint.ts";
import { ERRORS } from "../../client/errors.ts";
import { WIRE_LIMITS } from "../../client/limits.ts";
import { LIMITS } from "../../daemon/process/limits.ts";
import { findPython } from "../../examples/shop/programs.ts";
import { startDaemon } from "../daemon_fixture.ts";
import { type Answer, WireClient } from "../wire_client.ts";
import { codeBlocks, names, readDocument, section, tableRows } from "./document.ts";

const DOCUMENT = readDocument("docs/protocol.md");
const python = await findPython();
const withoutPython = python === null ? " (skipped: there is no Python 3)" : "";

Deno.test("protocol.md has the errors of client/errors.ts", () => {
  const documented = tableRows(section(DOCUMENT, "## Errors"), "code");
  const expected = Object.entries(ERRORS).map((
    [code, { retry, meaning, hint }],
  ) => [`\`${code}\``, `\`${retry}\``, meaning, hint ?? ""]);
  assert.deepEqual(documented, expected);
});

Deno.test("protocol.md has the limits of the sources", () => {
  const documented = tableRows(section(DOCUMENT, "## Limits"), "what").map(([, bound]) =>
    Number(/^[\d,]+/.exec(bound)![0].replaceAll(",", ""))
  );
  const { connectionsMax, connectionsCrowded, connectionRequestsMax, connectionBytesMax } = LIMITS;
  assert.deepEqual(documented, [
    ...[WIRE_LIMITS.frameBytesMax, WIRE_LIMITS.nestingMax, WIRE_LIMITS.statementsMax],
    ...[WIRE_LIMITS.sqlBytesMax, WIRE_LIMITS.parametersMax, WIRE_LIMITS.idLengthMax],
    ...[WIRE_LIMITS.nameLengthMax, WIRE_LIMITS.unackedMax],
    ...[WIRE_LIMITS.timeoutMsMax, LIMITS.requestTimeoutMs],
    16 * 1024 * 1024, // held by the test below
    ...[connectionsMax, connectionsCrowded, connectionRequestsMax, connectionBytesMax],
    ...[LIMITS.waitingMax.requests, LIMITS.waitingMax.bytes],
    ...[LIMITS.unread.bytes, LIMITS.unread.bytesMax, LIMITS.answersBytesMax],
    ...[LIMITS.partialFrameBytesMax, LIMITS.partialFrameSilenceMs],
    ...[LIMITS.halfOpenMs, LIMITS.walLimitBytes.default],
  ]);
});

Deno.test("the daemon answers protocol.md's worked example byte for byte", async () => {
  const [request, answer] = codeBlocks(DOCUMENT, "hexdump").map(bytesOfDump);
  await using daemon = await startDaemon();
  assert.deepEqual(await exchange(daemon.endpoint, request, answer.length), answer);
  for (const bytes of [request, answer]) {
    assert.ok(
      DOCUMENT.includes(`\`${bytes.subarray(4).toString()}\``),
      "its text stands there too",
    );
    assert.equal(bytes.readUInt32LE(0), bytes.length - 4);
  }
});

Deno.test("the daemon's answers have the members that protocol.md names", async () => {
  await using daemon = await startDaemon();
  await using client = await WireClient.open(daemon.endpoint);
  const ping = section(DOCUMENT, "### Ping");
  const [withDb, withoutDb] = ping.split("Without `db`:");
  const pinged = await client.ask({ type: "Ping" });
  assert.deepEqual(members(pinged), documentedMembers(withoutDb));
  assert.deepEqual(pinged.features, names(tableRows(withoutDb, "answer")[2][2]));
  assert.deepEqual(
    members(await client.ask({ type: "Ping", db: "app.db" })),
    documentedMembers(withDb),
  );
  const stmts = [{ sql: "create table t (a)" }, { sql: "insert into t values (1) returning a" }];
  const write = { type: "ExecBatch", stmts, results: true, key: "k" };
  await client.ask(write);
  const done = await client.ask(write); // again, as its answer has one member more then
  const documented = section(DOCUMENT, "### ExecBatch");
  assert.deepEqual([...members(done), ...members(done.results[1], "results[].")], [
    ...documentedMembers(documented),
  ]);
  const read = await client.ask({ type: "Query", sql: "select 1" });
  assert.deepEqual(members(read), documentedMembers(section(DOCUMENT, "### Query")));
  const status = await client.ask({ type: "Status" });
  assert.deepEqual(
    [...members(status).filter((name) => name !== "databases"), "databases"].flatMap((name) =>
      name === "databases" ? members(status.databases[0], "databases[].") : name
    ).sort(),
    documentedMembers(section(DOCUMENT, "### Status")).sort(),
  );
});

Deno.test("the daemon allows the PRAGMAs that protocol.md names", async () => {
  await using daemon = await startDaemon();
  await using client = await WireClient.open(daemon.endpoint);
  const [allowed, readable] = section(DOCUMENT, "### ExecBatch").split("- PRAGMAs allowed").slice(
    1,
  );
  const codeOf = async (sql: string) =>
    (await client.ask({ type: "ExecBatch", stmts: [{ sql }] })).code ?? "ok";
  for (const name of [...names(allowed), ...names(readable)]) {
    assert.equal(await codeOf(`pragma ${name}`), "ok", name);
  }
  for (const name of names(readable)) {
    assert.equal(await codeOf(`pragma ${name} = 1`), "NOT_ALLOWED", name);
  }
  assert.equal(await codeOf("pragma user_version = 1"), "ok");
  const all = await client.ask({ type: "Query", sql: "pragma pragma_list" });
  const others = all.rows.flat().filter((name: string) =>
    !names(allowed + readable).includes(name)
  );
  assert.ok(others.length > 20);
  for (const name of others) assert.equal(await codeOf(`pragma ${name}`), "NOT_ALLOWED", name);
});

Deno.test("the daemon keeps the bounds of values that protocol.md names", async () => {
  await using daemon = await startDaemon();
  await using client = await WireClient.open(daemon.endpoint);
  const query = (bytes: number) =>
    client.ask({ type: "Query", sql: "select length(zeroblob(?))", params: [bytes] });
  assert.deepEqual((await query(16_777_216)).rows, [[16_777_216]]);
  assert.equal((await query(16_777_217)).sqlite_code, "SQLITE_TOOBIG");
  const nested = (levels: number) => {
    client.sendText(`{"x":${"[".repeat(levels - 1)}${"]".repeat(levels - 1)},"type":"Ping"}`);
    return client.next();
  };
  assert.equal((await nested(64))!.status, "ok");
  assert.equal((await nested(65))!.code, "NESTED_TOO_DEEP");
});

Deno.test({
  name: `protocol.md's Python client does what protocol.md says${withoutPython}`,
  ignore: python === null,
  fn: async () => {
    const [thirty, client, program] = codeBlocks(DOCUMENT, "python");
    const [word, expected] = codeBlocks(DOCUMENT, "text");
    await using daemon = await startDaemon();
    assert.equal(await runPython(daemon.folder, client + program), expected);
    assert.equal(await runPython(daemon.folder, thirty), word);
    assert.ok(thirty.split("\ndaemon =")[0].split("\n").filter((line) => line).length <= 30);
    assert.equal(
      await runPython(daemon.folder, client + CHECKS),
      `${endpointOf(daemon.file)}\nok\n`,
    );
  },
});

/** What the document's own program leaves out. */
const CHECKS = `
print(endpoint("app.db"))
db = Database("app.db")
values = [None, 0, -2**63, 2**63 - 1, 1.0, -0.0, 1e300, 1e16, math.inf, -math.inf, "", "\\u00fc\\0\\ufeff\\U0001F600", b"", b"\\x00\\xff"]
for value in values:
    (back,), = db.query("select ?", [value])["rows"]
    assert type(back) is type(value) and repr(back) == repr(value), (value, back)
rows = db.query("select ?, ?, typeof(?), cast(x'ff' as text)", [True, {"a": [1.0, 2]}, {"$real": 1}])["rows"]
assert rows == [[1, '{"a": [1.0, 2]}', "real", b"\\xff"]], rows
long = "x" * 9_000_000
assert db.query("select ?", [long])["rows"] == [[long]]

def code_of(call):
    try:
        call()
    except SkylineError as error:
        return error.code, error.statement, error.retry
assert code_of(lambda: db.exec("select ?", [2**63])) == ("INVALID_VALUE", None, "no")
assert code_of(lambda: db.query("delete from note")) == ("NOT_READ_ONLY", 0, "no")
rev = db.query("select 1")["rev"]
assert db.exec("delete from note", if_rev=rev)["rev"] == rev + 1
assert code_of(lambda: db.exec("delete from note", if_rev=rev)) == ("REVISION_CHANGED", None, "no")
assert code_of(lambda: db.batch([{"sql": "select 1"}, {"sql": "delete from note", "expect": {"changes": 1}}])) == (
    "EXPECTATION_FAILED", 1, "no")
import threading
wrong = []
def ask(number):
    for _ in range(50):
        if db.query("select ?", [number])["rows"] != [[number]]:
            wrong.append(number)
threads = [threading.Thread(target=ask, args=[number]) for number in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert wrong == [], wrong

def interrupted(count):
    raise KeyboardInterrupt
db._read = interrupted
try:
    db.query("select 1")
except KeyboardInterrupt:
    pass
del db._read
try:
    assert False, db.query("select 2")
except (ValueError, OSError):  # closed
    pass
db.close()

import signal
if hasattr(signal, "setitimer"):
    db = Database("app.db")
    def late(*_):
        raise TimeoutError
    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        db.query("with n(i) as (select 1 union all select i + 1 from n) select max(i) from n", timeout_ms=3_000)
        assert False
    except TimeoutError:
        pass
    try:
        assert False, db.query("select 2")
    except (ValueError, OSError):
        pass
print("ok")
`;

async function runPython(folder: string, program: string): Promise<string> {
  const file = join(folder, "program.py");
  await Deno.writeTextFile(file, program);
  const { stdout, stderr } = await new Deno.Command(python!, {
    args: [file],
    cwd: folder,
    env: { PYTHONIOENCODING: "utf-8" },
    signal: AbortSignal.timeout(20_000),
  }).output();
  const decoder = new TextDecoder();
  assert.equal(decoder.decode(stderr), "");
  return decoder.decode(stdout).replaceAll("\r\n", "\n");
}

function members(answer: Answer, prefix = ""): string[] {
  return Object.keys(answer).filter((name) => name !== "status").map((name) => prefix + name);
}

function documentedMembers(text: string): string[] {
  return tableRows(text, "answer").flatMap(([cell]) => names(cell));
}

function bytesOfDump(dump: string): Buffer {
  const lines = dump.trimEnd().split("\n").map((line) => line.slice(6, 54).replaceAll(" ", ""));
  return Buffer.from(lines.join(""), "hex");
}

function exchange(endpoint: string, request: Buffer, length: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = connect(endpoint, () => socket.write(request));
    let received = Buffer.alloc(0);
    socket.setTimeout(5_000, () => socket.destroy(new Error("No answer in 5 s")));
    socket.on("error", reject);
    socket.on("data", (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      if (received.length < length) return;
      socket.destroy();
      resolve(received);
    });
  });
}
