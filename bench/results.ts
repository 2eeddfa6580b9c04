/**
 * The results of a run, as files.
 *
 * @module
 */
import { join } from "node:path";
import { reportText, type Run } from "./report.ts";

/** Writes `rates.md` and `rates.json` into a folder, and says where. */
export async function saveResults(run: Run, folder: string): Promise<string> {
  await Deno.mkdir(folder, { recursive: true });
  await Deno.writeTextFile(join(folder, "rates.md"), reportText(run));
  await Deno.writeTextFile(join(folder, "rates.json"), JSON.stringify(run, null, 2) + "\n");
  return folder;
}
