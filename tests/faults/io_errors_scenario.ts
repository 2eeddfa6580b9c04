import { outcome, type Scenario, type ScenarioRun, type Size } from "./scenario.ts";
import { CALLS, type Fault, IoStage, nameOf } from "./io_stage.ts";
import { whyNoTrace } from "./strace.ts";

const ERRORS = ["EIO", "ENOSPC"] as const;

const ALL: readonly Fault[] = [
  ...CALLS.flatMap((call) =>
    ERRORS.flatMap((error) => [0, Infinity].map((more) => ({ call, error, more })))
  ),
  { call: "fdatasync", error: "EIO", more: 1 },
  { call: "fdatasync", error: "EIO", more: 2 },
  ...["pread64", "ftruncate", "openat", "unlink"].flatMap((call) =>
    [0, Infinity].map((more) => ({ call, error: "EIO" as const, more, reopening: true as const }))
  ),
];

/** A few of them; each with a few N. */
const SHORT: readonly [Fault, n: number][] = [
  [{ call: "fdatasync", error: "EIO", more: 0 }, 2],
  [{ call: "fdatasync", error: "EIO", more: 2 }, 2],
  [{ call: "fdatasync", error: "EIO", more: Infinity }, 3],
  [{ call: "pwrite64", error: "EIO", more: 0 }, 6],
  [{ call: "pwrite64", error: "ENOSPC", more: Infinity }, 4],
  [{ call: "openat", error: "EIO", more: 0, reopening: true }, 1],
];

/** How often every fault is gone through. */
const PASSES: Readonly<Record<Size, number>> = { short: 0, faults: 1, soak: 5 };

/** Lets the disk fail while clients write, at every call, and compares what they were told with what is there. */
export const scenario: Scenario = {
  name: "I/O errors",
  what: "fsync and write fail with EIO and ENOSPC, once and for good: no answer is false",
  skip: whyNoTrace,
  async run(it) {
    const failures: string[] = [];
    await using stage = await IoStage.open();
    for (const [fault, n] of SHORT) {
      for (const ending of ["recovers", "killed"] as const) {
        failures.push(...(await stage.run(fault, n, ending)).failures);
      }
    }
    for (let pass = 0; pass < PASSES[it.size]; pass++) {
      for (const fault of ALL) failures.push(...await everyCall(it, stage, fault));
    }
    return outcome(stage.tally.text(), failures);
  },
};

/** Fails the first call, the second and so on, until there are not as many. */
async function everyCall(it: ScenarioRun, stage: IoStage, fault: Fault): Promise<string[]> {
  const failures: string[] = [];
  let n = 0;
  for (let failed = true; failed;) {
    n++;
    const ending = it.random() < 0.5 ? "recovers" : "killed";
    const result = await stage.run(fault, n, ending);
    failures.push(...result.failures);
    failed = result.injected > 0;
  }
  it.log(`${nameOf(fault)}: ${n - 1} places`);
  return failures;
}
