/**
 * Finds the programs that the shop's processes run on.
 *
 * @module
 */
import process from "node:process";

/** The first release that runs TypeScript as it is. */
const NODE_MIN = [22, 18];

/** Node, 22.18 or later: the one of `SKYLINEDB_TEST_NODE`, else that of the system; `null` where there is none. */
export async function findNode(): Promise<string | null> {
  const node = process.env.SKYLINEDB_TEST_NODE || "node";
  const [, major, minor] = /^v(\d+)\.(\d+)/.exec(await outputOf(node, "--version") ?? "") ?? [];
  const isNew = Number(major) > NODE_MIN[0]! ||
    Number(major) === NODE_MIN[0] && Number(minor) >= NODE_MIN[1]!;
  return isNew ? node : null;
}

/** Python 3; `null` where there is none. */
export async function findPython(): Promise<string | null> {
  for (const name of ["python3", "python"]) {
    if ((await outputOf(name, "--version"))?.startsWith("Python 3.")) return name;
  }
  return null;
}

async function outputOf(command: string, ...args: string[]): Promise<string | null> {
  try {
    const { success, stdout } = await new Deno.Command(command, { args, stderr: "null" }).output();
    return success ? new TextDecoder().decode(stdout) : null;
  } catch {
    return null; // not installed
  }
}
