/** Makes garbage and gives memory back, for memory_test.ts: tells what it has as a line of JSON. */
import { giveBack, privateBytes } from "../../daemon/process/memory.ts";
import { processorWaitMs } from "../processor_wait.ts";

/** Objects and freed blocks of the C library, as connections leave them. */
function litter(): number {
  let kept = Array.from({ length: 200_000 }, (_, i) => ({ i, text: `object ${i}` }));
  const buffers = Array.from({ length: 2_000 }, () => new Uint8Array(20_000).fill(1));
  const total = kept.length + buffers.length;
  kept = [];
  return total;
}

/** Gives memory back; how long each step took, in milliseconds, but for what it waited for a processor. */
function giveBackTimed(): number[] {
  const steps = giveBack();
  const times: number[] = [];
  for (let done = false; !done;) {
    const runningMs = () => performance.now() - processorWaitMs();
    const since = runningMs();
    done = steps.next().done!;
    times.push(runningMs() - since);
  }
  return times;
}

const before = privateBytes();
litter();
const highest = privateBytes();
giveBackTimed();
const after = privateBytes();
// Now there is as little garbage as on a daemon at rest.
console.log(JSON.stringify({ before, highest, after, restMs: giveBackTimed() }));
