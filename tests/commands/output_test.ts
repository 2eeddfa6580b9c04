import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../../daemon/main.ts", import.meta.url));

/** Runs `endpoint` with its standard output as the shell is told. */
async function endpointInto(output: string): Promise<{ code: number; stderr: string }> {
  const { code, stderr } = await new Deno.Command("bash", {
    args: [
      "-c",
      `set -o pipefail; "$0" run -A --quiet "$1" endpoint "$1" ${output}`,
      Deno.execPath(),
      MAIN,
    ],
    stdin: "null",
    stdout: "null",
    stderr: "piped",
    signal: AbortSignal.timeout(30_000),
  }).output();
  return { code, stderr: new TextDecoder().decode(stderr) };
}

Deno.test({
  name: "a command says why, exit code 1, when its output cannot be written",
  ignore: Deno.build.os !== "linux", // which alone has /dev/full
  fn: async () => {
    const { code, stderr } = await endpointInto("> /dev/full");
    assert.equal(stderr, "error: Cannot write to standard output: No space left on device\n");
    assert.equal(code, 1);
  },
});

Deno.test({
  name: "a command is quiet, exit code 0, when nobody reads its output",
  ignore: Deno.build.os === "windows",
  fn: async () => {
    // Whether the reader has gone before the command writes or not, the command is quiet; it starts much later.
    const { code, stderr } = await endpointInto("| true");
    assert.equal(stderr, "");
    assert.equal(code, 0);
  },
});
