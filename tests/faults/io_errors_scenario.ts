import { integerBetween, outcome, type Scenario, type ScenarioRun, type Size } from "./scenario.ts";
import { CALLS, type Ending, type Fault, IoStage, nameOf } from "./io_stage.ts";
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

/** A few of them. */
const SHORT: readonly [Fault, n: number, Ending][] = [
  [{ call: "fdatasync", error: "EIO", more: 0 }, 2, "recovers"],
  [{ call: "fdatasync", error: "EIO", more: Infinity }, 3, "recovers"],
  [{ call: "fdatasync", error: "EIO", more: Infinity }, 3, "killed"],
  [{ call: "pwrite64", error: "EIO", more: 0 }, 6, "killed"],
  [{ call: "pwrite64", error: "ENOSPC", more: Infinity }, 4, "recovers"],
  [{ call: "openat", error: "EIO", more: 0, reopening: true }, 1, "killed"],
];

/** How often every fault is gone through. */
const PASSES: Readonly<Record<Size, number>> = { short: 0, faults: 1, soak: 5 };

/** Of later calls only some are tried, unless there is time for all. */
const EVERY_UP_TO = 12;
/** Enough to look into. */
const FAILURES_MAX = 20;

/** Lets the disk fail while clients write, at every call, and compares what they were told with what is there. */
export const scenario: Scenario = {
  name: "I/O errors",
  what: "fsync and write fail with EIO and ENOSPC, once and for good: no answer is false",
  skip: whyNoTrace,
  async run(it) {
    const failures: string[] = [];
    await using stage = await IoStage.open();
    for (const [fault, n, ending] of SHORT) {
      if (failures.length > FAILURES_MAX) break;
      failures.push(...(await stage.run(fault, n, ending)).failures);
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
  let places = 0;
  for (
    let n = 1;;
    n += it.size === "soak" || n < EVERY_UP_TO ? 1 : integerBetween(it.random, 1, 8)
  ) {
    const ending = it.random() < 0.5 ? "recovers" : "killed";
    const result = await stage.run(fault, n, ending);
    failures.push(...result.failures);
    if (result.injected === 0 || failures.length > FAILURES_MAX) break;
    places++;
  }
  it.log(`${nameOf(fault)}: ${places} places`);
  return failures;
}
