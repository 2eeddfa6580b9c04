import assert from "node:assert/strict";
import { join } from "node:path";
import { startDaemon } from "../daemon_fixture.ts";

/** A program that may open no more files connects, closes some and connects again. */
const PROGRAM = `
import { connect } from ${JSON.stringify(new URL("../../client/mod.ts", import.meta.url).href)};
const [file] = Deno.args;
const files = [];
const fill = () => {
  try {
    for (;;) files.push(Deno.openSync("/dev/null"));
  } catch { /* all are taken */ }
};
await (await connect(file)).close(); // so that all is loaded
fill();
await connect(file).then(() => console.log("connected"), ({ code, retry, message, hint }) => {
  files.splice(0).forEach((file) => file.close());
  console.log(JSON.stringify({ code, retry, message, hint }));
});
const db = await connect(file);
console.log((await db.all("select 1 as n"))[0].n);
await db.close();
`;

Deno.test({
  name: "connect says that this process may open no more files, not that no daemon runs",
  ignore: Deno.build.os === "windows",
  fn: async () => {
    await using daemon = await startDaemon();
    const program = join(daemon.folder, "program.ts");
    Deno.writeTextFileSync(program, PROGRAM);
    const { stdout, stderr } = await new Deno.Command("sh", {
      args: [
        "-c",
        'ulimit -n 200; exec "$0" run -A --quiet --no-check "$1" "$2"',
        Deno.execPath(),
        program,
        daemon.file,
      ],
      stdin: "null",
      signal: AbortSignal.timeout(30_000),
    }).output();
    const decoder = new TextDecoder();
    const [said, rows] = decoder.decode(stdout).split("\n");
    assert.ok(said.startsWith("{"), said + decoder.decode(stderr));
    const { code, retry, message, hint } = JSON.parse(said);
    assert.deepEqual([code, retry, rows], ["CANNOT_OPEN", "safe", "1"]);
    assert.match(message, /^Cannot connect to .*: this process has as many files open as it may/);
    assert.match(hint, /ulimit -n/);
  },
});
