import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { until } from "../e2e/daemon_case.ts";
import { Folder, Foreground, run } from "./command_line.ts";

const WINDOWS = Deno.build.os === "windows"; // which has no signal for it

/** What the body of a test is given: a daemon whose log is `log`, in the folder `logs`. */
interface Logged {
  readonly daemon: Foreground;
  readonly file: string;
  readonly logs: string;
  readonly log: string;
}

/** Ends the daemon after `body`, which must still serve then. */
async function withLog(body: (it: Logged) => Promise<() => void>): Promise<void> {
  await using folder = new Folder();
  const file = folder.file("app.db");
  const logs = join(folder.path, "logs");
  Deno.mkdirSync(logs);
  const log = join(logs, "app.log");
  await using daemon = new Foreground(["start", file, "--log-file", log]);
  await daemon.ready(file);
  const checkAfterEnd = await body({ daemon, file, logs, log });
  assert.equal((await run(["shutdown", file])).code, 0);
  assert.equal((await daemon.ended()).code, 0);
  checkAfterEnd();
}

function read(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "";
  }
}

const holds = (path: string, text: string) => until(() => read(path).includes(text));

Deno.test({
  name: "SIGHUP has the log go on in a new file when it was moved away, as often as it is sent",
  ignore: WINDOWS,
  fn: () =>
    withLog(async ({ daemon, log }) => {
      await holds(log, "Serving");
      const moved = [1, 2].map((n) => `${log}.${n}`);
      for (const path of moved) {
        Deno.renameSync(log, path);
        daemon.kill("SIGHUP");
        await holds(log, "The log was opened anew");
      }
      const before = moved.map(read);
      assert.match(before[0], /Serving/);
      return () => {
        assert.deepEqual(moved.map(read), before);
        assert.match(read(log), /^\S+ info +skylinedb: The log was opened anew [^]*Stopped\n$/);
      };
    }),
});

Deno.test({
  name: "SIGHUP leaves the log in its file, which says so, when a new one cannot be made",
  ignore: WINDOWS,
  fn: () =>
    withLog(async ({ daemon, logs }) => {
      const moved = join(logs, "..", "moved");
      Deno.renameSync(logs, moved);
      const before = join(moved, "app.log");
      daemon.kill("SIGHUP");
      await holds(before, 'reason="No such file or directory"');
      // A folder of that name, which root too cannot write to as to a file.
      Deno.mkdirSync(join(logs, "app.log"), { recursive: true });
      daemon.kill("SIGHUP");
      await holds(before, 'reason="Is a directory"');
      Deno.removeSync(join(logs, "app.log"));
      daemon.kill("SIGHUP");
      await holds(join(logs, "app.log"), "The log was opened anew");
      return () => {
        assert.match(read(join(logs, "app.log")), /Stopped\n$/);
        assert.doesNotMatch(read(before), /Stopped/);
      };
    }),
});

Deno.test({
  name:
    "SIGHUP has the log opened anew in the background too, and where it was ignored before, as by nohup",
  ignore: WINDOWS,
  fn: async () => {
    await using folder = new Folder();
    const file = folder.file("app.db");
    const log = join(folder.path, "app.log");
    const main = fileURLToPath(new URL("../../daemon/main.ts", import.meta.url));
    const { code, stdout } = await new Deno.Command("sh", {
      args: [
        "-c",
        `trap '' HUP; exec "$0" run -A --quiet --v8-flags=--expose-gc "$@" --background`,
        ...[Deno.execPath(), main, "start", file, "--log-file", log],
      ],
      stdin: "null",
    }).output();
    assert.equal(code, 0);
    const { pid } = JSON.parse(new TextDecoder().decode(stdout));
    Deno.renameSync(log, `${log}.1`);
    Deno.kill(pid, "SIGHUP");
    await holds(log, "The log was opened anew");
    assert.equal((await run(["shutdown", file])).code, 0);
    await holds(log, "Stopped");
  },
});
