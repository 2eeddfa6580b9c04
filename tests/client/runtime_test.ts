/** The same client on every runtime that it is meant for. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { FakeDaemon, type FakeHandler } from "./fake_daemon.ts";
import { startDaemon } from "../daemon_fixture.ts";

const CHECK = fileURLToPath(new URL("./runtime_check.ts", import.meta.url));
const DENO = ["run", "--no-lock", "--no-prompt", "-A"];

/** Until when whoever connects is refused. */
let refusedUntil = 0;

const ANSWER: FakeHandler = (request, { text, answer, send, socket }) => {
  const rows = (rows: string) =>
    send(`{"id":${request.id},"status":"ok","rev":1,"columns":["a"],"rows":[${rows}]}`);
  switch (request.sql) {
    case "echo":
      return rows(text.slice(text.indexOf('"params":') + 9, text.lastIndexOf(',"timeout_ms"')));
    case "echo ?":
      return rows("");
    case "late":
      return void setTimeout(() => rows("[1]"), 300);
    case "fail":
      return answer({ status: "error", code: "SQL_ERROR", message: "No", retry: "no" });
  }
  if (request.type === "Bye") return answer({});
  if (text.includes('"drop for a while"')) {
    if (refusedUntil > 0) {
      const results = [{ changes: 1, last_insert_rowid: 1 }];
      return answer({ rev: 1, rows_affected: 1, results, replayed: true });
    }
    refusedUntil = performance.now() + 400;
    socket.destroy();
  } else if (text.includes('"drop"')) socket.destroy();
};

function runs(program: string, args: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], timeout: 30_000 });
    let output = "";
    child.stdout.on("data", (chunk) => output += chunk);
    child.stderr.on("data", (chunk) => output += chunk);
    child.on("error", reject);
    child.on("close", (code, signal) => {
      if (code === 0) resolve(output);
      else reject(new Error(`${program} ended with ${code ?? signal}:\n${output}`));
    });
  });
}

function test(runtime: string, variable: string | null, args: string[]): void {
  const program = variable === null ? Deno.execPath() : Deno.env.get(variable);
  const why = program === undefined ? ` (skipped: ${variable} names no executable)` : "";
  Deno.test({
    name: `the client works and lets the process end when ${runtime} runs it${why}`,
    ignore: program === undefined,
    fn: async () => {
      refusedUntil = 0;
      await using fake = await FakeDaemon.start(ANSWER, (socket) => {
        if (performance.now() < refusedUntil) socket.destroy();
      });
      await using daemon = await startDaemon();
      const output = await runs(program!, [...args, CHECK, fake.endpoint, daemon.file]);
      assert.match(output, /^ok (Deno|Node)$/m);
    },
  });
}

test("this Deno", null, DENO);
test("an old Deno", "SKYLINEDB_TEST_OLD_DENO", DENO);
test("Node", "SKYLINEDB_TEST_NODE", []);
