import assert from "node:assert/strict";
import { EXIT } from "../../daemon/commands/exit_code.ts";
import { findPython } from "../../examples/shop/programs.ts";
import { executable, type Program, source, startDaemon } from "../daemon_fixture.ts";
import { WireClient } from "../wire_client.ts";

const RUN_MS_MAX = 30_000;
const [program, ...programArgs]: Program = executable ?? source;

const isWindows = Deno.build.os === "windows";
const python = isWindows ? null : await findPython();
const skipped = isWindows ? "Python makes no terminals on Windows" : "there is no Python 3";

/** Runs a program in a terminal, with what it is typed on standard input. */
const TERMINAL = `
import fcntl, os, pty, select, struct, sys, termios
pid, terminal = pty.fork()
if pid == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", int(sys.argv[1]), int(sys.argv[2]), 0, 0))
    os.execvp(sys.argv[3], sys.argv[3:])
while True:
    ready, _, _ = select.select([0, terminal], [], [])
    try:
        if 0 in ready:
            os.write(terminal, os.read(0, 1024))
        if terminal in ready:
            os.write(1, os.read(terminal, 65536))
    except OSError:
        break
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`;

const HOME = "\x1b[1;1H", HIDE = "\x1b[?1049h\x1b[?25l", SHOW = "\x1b[?25h\x1b[?1049l";

/** `status --watch` in a terminal of its own. */
class Watch {
  readonly #child: Deno.ChildProcess;
  readonly #reader: ReadableStreamDefaultReader<string>;
  #text = "";

  constructor(file: string, rows: number, columns: number) {
    this.#child = new Deno.Command(python!, {
      args: [
        ...["-c", TERMINAL, String(rows), String(columns), program, ...programArgs],
        ...["status", "--watch", file],
      ],
      stdin: "piped",
      stdout: "piped",
      signal: AbortSignal.timeout(RUN_MS_MAX),
    }).spawn();
    this.#reader = this.#child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  }

  async #read(): Promise<boolean> {
    const { value, done } = await this.#reader.read();
    this.#text += value ?? "";
    return !done;
  }

  /** The first `count` pages, without what steers the terminal. */
  async pages(count: number): Promise<string[]> {
    while (this.#text.split("\x1b[J").length <= count) assert.ok(await this.#read(), this.#text);
    assert.ok(this.#text.startsWith(HIDE), JSON.stringify(this.#text.slice(0, 100)));
    return this.#text.split("\x1b[J").slice(0, count).map((page) => {
      assert.ok(page.includes(HOME), "each is drawn over the one before");
      return page.split(HOME)[1].replaceAll("\x1b[K", "").replaceAll("\r", "");
    });
  }

  async type(keys: string): Promise<void> {
    const writer = this.#child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(keys));
    writer.releaseLock();
  }

  /** What it wrote after the last page, and its exit code. */
  async end(): Promise<{ code: number; rest: string }> {
    while (await this.#read());
    const { code } = await this.#child.status;
    await this.#child.stdin.close().catch(() => {});
    return { code, rest: this.#text.slice(this.#text.lastIndexOf("\x1b[J") + 3) };
  }
}

function terminalTest(name: string, body: () => Promise<void>): void {
  const ignore = python === null;
  Deno.test(`${name}${ignore ? ` (skipped: ${skipped})` : ""}`, { ignore }, body);
}

terminalTest("status --watch draws again every second, until Ctrl+C", async () => {
  await using daemon = await startDaemon();
  const watch = new Watch(daemon.file, 30, 80);
  await watch.pages(1);
  await using client = await WireClient.open(daemon.endpoint);
  await client.ask({ type: "ExecBatch", stmts: [{ sql: "create table t (a)" }] });
  const pages = await watch.pages(4);
  for (const page of pages) {
    const lines = page.split("\n");
    assert.ok(lines.length <= 30, page);
    for (const line of lines) assert.ok([...line].length < 80, line);
    assert.match(lines[0], /^skylinedb-daemon \S+, SQLite \S+, up \d+ s$/);
    assert.match(page, /^ {2}memory +[\d.]+ MB .*█ up to [\d.]+ MB/m);
    assert.ok(page.includes(daemon.file));
  }
  const ups = pages.map((page) => Number(/up (\d+) s/.exec(page)![1]));
  assert.ok(ups[3] - ups[0] >= 2 && ups[3] - ups[0] <= 20, `${ups}: once a second`);
  assert.match(pages[3], /^ {2}writes\/s .*█/m);
  await watch.type("\x03");
  const { code, rest } = await watch.end();
  assert.equal(code, EXIT.done);
  assert.ok(rest === SHOW || rest === `^C${SHOW}`, JSON.stringify(rest));
});

terminalTest("status --watch fits a small terminal", async () => {
  await using daemon = await startDaemon();
  const watch = new Watch(daemon.file, 8, 30);
  for (const page of await watch.pages(2)) {
    const lines = page.split("\n");
    assert.equal(lines.length, 8, page);
    for (const line of lines) assert.ok([...line].length < 30, line);
  }
  await watch.type("\x03");
  assert.equal((await watch.end()).code, EXIT.done);
});

terminalTest("status --watch says when the daemon ends", async () => {
  await using daemon = await startDaemon();
  const watch = new Watch(daemon.file, 30, 80);
  await watch.pages(1);
  await daemon.kill();
  const { code, rest } = await watch.end();
  assert.equal(code, EXIT.notRunning);
  assert.ok(rest.startsWith(`${SHOW}error: The daemon has ended\r\n`), JSON.stringify(rest));
});

function start(args: string[]): Deno.ChildProcess {
  return new Deno.Command(program, {
    args: [...programArgs, "status", "--watch", ...args],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    signal: AbortSignal.timeout(RUN_MS_MAX),
  }).spawn();
}

Deno.test("status --watch --json prints a line every second, as long as anybody reads", async () => {
  await using daemon = await startDaemon();
  const child = start(["--json", daemon.file]);
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (text.split("\n").length <= 3) text += (await reader.read()).value;
  const [first, , third] = text.split("\n").slice(0, 3).map((line) => JSON.parse(line));
  const tookMs = third.uptime_ms - first.uptime_ms;
  assert.ok(tookMs >= 1_500 && tookMs < 10_000, `${tookMs}`);
  await reader.cancel();
  const goneAt = performance.now();
  assert.equal((await child.status).code, EXIT.done);
  assert.ok(performance.now() - goneAt < RUN_MS_MAX / 3, "by itself, not by the test's signal");
  await child.stderr.cancel();
});

Deno.test("status --watch says that it needs a terminal", async () => {
  await using daemon = await startDaemon();
  const { code, stderr } = await start([daemon.file]).output();
  assert.equal(code, EXIT.usage);
  const text = new TextDecoder().decode(stderr).replaceAll("\r\n", "\n");
  assert.equal(
    text,
    "error: --watch draws on a terminal, and standard output is none\n" +
      "hint: With --json it prints a line every second.\n",
  );
});
