import { allScenarios, freshSeed, runScenario } from "./scenario.ts";

for (const scenario of await allScenarios()) {
  const reason = await scenario.skip?.();
  if (reason !== undefined) console.log(`Skipping the fault scenario ${scenario.name}: ${reason}`);
  Deno.test(`${scenario.name}: ${scenario.what}`, { ignore: reason !== undefined }, async () => {
    const seed = freshSeed();
    const lines: string[] = [];
    const { passed, failures } = await runScenario(
      scenario,
      "short",
      seed,
      (line) => lines.push(line),
    );
    if (passed) return;
    const again = `deno task test:faults "${scenario.name}" --short --seed ${seed}`;
    throw new Error([`Seed ${seed}: ${again}`, ...lines, ...failures].join("\n"));
  });
}
