/**
 * The results of a run, as files.
 *
 * @module
 */
import { join } from "node:path";
import { ratesPlot } from "./plot.ts";
import { reportText, type Run } from "./report.ts";

/** Writes `rates.md`, `rates.json` and the picture `rates.svg` into a folder, which it makes. */
export async function saveResults(run: Run, folder: string): Promise<void> {
  const { renderSvg } = await import("./svg.ts"); // only here: it takes a while to load
  const files = {
    "rates.md": `${reportText(run)}\n![Rates and latencies](rates.svg)\n`,
    "rates.json": JSON.stringify(run, null, 2) + "\n",
    "rates.svg": renderSvg(ratesPlot(run.figures)),
  };
  await Deno.mkdir(folder, { recursive: true });
  for (const [name, text] of Object.entries(files)) {
    await Deno.writeTextFile(join(folder, name), text);
  }
}
