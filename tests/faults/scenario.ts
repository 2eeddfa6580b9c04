/**
 * A fault scenario: something that fails again and again while clients write, and what must hold after it.
 *
 * @module
 */

/**
 * How much is tried: `short`, at most ten seconds, among the tests; `faults`, a minute or two; `soak`, as long as it
 * takes to be sure.
 */
export type Size = "short" | "faults" | "soak";

/** What a scenario is run with. */
export interface ScenarioRun {
  readonly size: Size;
  /** The seed of `random`, to be given on to generators of other libraries. */
  readonly seed: number;
  /** The next number from 0 up to, not including, 1; the same for the same seed. */
  random(): number;
  /** Tells the user how far it is. */
  log(line: string): void;
}

/** What came of it. */
export interface Outcome {
  /** What was tried, with its numbers, such as "30 kills, 1,204 acknowledged". */
  readonly tried: string;
  readonly passed: boolean;
  /** What did not hold, each in a line that can be looked into. */
  readonly failures: readonly string[];
}

/** A file `tests/faults/*_scenario.ts` exports one, named `scenario`. */
export interface Scenario {
  /** In a few words, such as "kill ledger"; how the command line names it. */
  readonly name: string;
  /** In one line, what is done and what must hold. */
  readonly what: string;
  /** Why it cannot run on this machine, in one line; `undefined` where it can. */
  skip?(): string | undefined | Promise<string | undefined>;
  /**
   * Runs it. It is bounded in time, and leaves no process, folder or mount behind. What it throws counts as a failure.
   */
  run(it: ScenarioRun): Promise<Outcome>;
}

/** Past it a scenario hangs, in milliseconds. */
export const SIZE_MS_MAX: Readonly<Record<Size, number>> = {
  short: 60_000,
  faults: 900_000,
  soak: 10_800_000,
};

/** All scenarios, by the order of their files' names. */
export async function allScenarios(): Promise<Scenario[]> {
  const names = [...Deno.readDirSync(new URL(".", import.meta.url))].map(({ name }) => name);
  const files = names.filter((name) => name.endsWith("_scenario.ts")).sort();
  const modules = await Promise.all(files.map((file) => import(`./${file}`)));
  return modules.map(({ scenario }) => scenario as Scenario);
}

/** Runs a scenario within the time of its size. */
export async function runScenario(
  scenario: Scenario,
  size: Size,
  seed: number,
  log: (line: string) => void,
): Promise<Outcome> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    const ms = SIZE_MS_MAX[size];
    timer = setTimeout(() => reject(new Error(`It took over ${ms / 1000} s`)), ms);
  });
  try {
    return await Promise.race([
      scenario.run({ size, seed, random: seededRandom(seed), log }),
      late,
    ]);
  } catch (error) {
    const failure = error instanceof Error ? error.stack ?? error.message : String(error);
    return { tried: "ended early", passed: false, failures: [failure] };
  } finally {
    clearTimeout(timer);
  }
}

/** A generator of numbers from 0 up to 1 (mulberry32): the same ones for the same 32-bit seed. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** An integer from `min` to `max`, both included. */
export function integerBetween(random: () => number, min: number, max: number): number {
  return min + Math.floor(random() * (max - min + 1));
}

/** A seed that nobody chose. */
export function freshSeed(): number {
  return Math.floor(Math.random() * 2 ** 31);
}

/** The outcome that follows from what did not hold. */
export function outcome(tried: string, failures: readonly string[]): Outcome {
  return { tried, passed: failures.length === 0, failures };
}

/** A number as people write it: 1,204. */
export function counted(n: number): string {
  return n.toLocaleString("en-US");
}
