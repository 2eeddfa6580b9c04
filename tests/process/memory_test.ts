import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { privateBytes } from "../../daemon/process/memory.ts";

const PROGRAM = fileURLToPath(new URL("memory_program.ts", import.meta.url));
const MiB = 2 ** 20;

const isTold = privateBytes() !== undefined;
if (!isTold) console.log("Skipping private memory: this system does not tell it");

/** Runs the program, with the flags of the daemon. */
async function run() {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--v8-flags=--expose-gc,--max-semi-space-size=1", PROGRAM],
    signal: AbortSignal.timeout(60_000),
  }).output();
  assert.equal(code, 0, new TextDecoder().decode(stderr));
  return JSON.parse(new TextDecoder().decode(stdout));
}

Deno.test("privateBytes() follows what is held", { ignore: !isTold }, () => {
  const before = privateBytes()!;
  assert.ok(before > MiB && before < 4_096 * MiB, `${before} bytes`);
  const held = new Uint8Array(64 * MiB).fill(1);
  const more = privateBytes()! - before;
  assert.ok(more > 50 * MiB && more < 200 * MiB, `${more} bytes more for ${held.length}`);
});

Deno.test(
  "giveBack() returns to the system what garbage had taken",
  { ignore: !isTold },
  async () => {
    const { before, highest, after } = await run();
    assert.ok(highest - before > 40 * MiB, `${highest - before} bytes of garbage`);
    const left = after - before;
    assert.ok(left < 0.15 * (highest - before), `${left} of ${highest - before} bytes are left`);
  },
);

Deno.test("giveBack() holds the loop for moments only when there is little to collect", async () => {
  const times: number[] = [];
  while (times.length < 5) { // a busy machine is late now and then
    const { restMs } = await run();
    times.push(Math.max(...restMs));
    if (times.at(-1)! <= 50) return;
  }
  assert.fail(`Each time over 50 ms: ${times}`);
});
