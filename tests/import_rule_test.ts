/**
 * Holds the direction of imports: main → commands → server → database → sqlite, process beside
 * them, the client apart, and nothing that is shipped from what is not.
 */
import assert from "node:assert/strict";
import { join, relative } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** What each part may import besides itself. The daemon shares the client's wire contract. */
const MAY_IMPORT: Record<string, string[]> = {
  "mod.ts": ["client"],
  "client": [],
  "daemon/sqlite": ["daemon/process", "client"],
  "daemon/process": ["client", "deno.json"], // for the version
  "deno.json": [],
  "daemon/database": ["daemon/sqlite", "daemon/process", "client"],
  "daemon/server": ["daemon/database", "daemon/sqlite", "daemon/process", "client"],
  "daemon/commands": [
    ...["daemon/server", "daemon/database", "daemon/sqlite", "daemon/process", "client"],
  ],
  "daemon/main.ts": [
    ...["daemon/commands", "daemon/server", "daemon/database", "daemon/sqlite", "daemon/process"],
    "client",
  ],
};

interface Module {
  specifier: string;
  dependencies?: { code?: { specifier?: string }; type?: { specifier?: string } }[];
}

function sources(folder: string): string[] {
  return [...Deno.readDirSync(folder)].flatMap(({ name, isDirectory }) => {
    const path = join(folder, name);
    return isDirectory ? sources(path) : path.endsWith(".ts") ? [path] : [];
  });
}

/** Returns the module graph of all that is shipped, also of what nothing imports yet. */
async function graph(): Promise<Module[]> {
  const folders = ["client", "daemon"].map((name) => join(ROOT, name));
  const shipped = [join(ROOT, "mod.ts"), ...folders.flatMap(sources)];
  const roots = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    const imports = shipped.map((path) => `import ${JSON.stringify(pathToFileURL(path).href)};`);
    await Deno.writeTextFile(roots, imports.join("\n"));
    const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["info", "--json", "--config", join(ROOT, "deno.json"), roots],
      signal: AbortSignal.timeout(60_000),
    }).output();
    assert.ok(success, new TextDecoder().decode(stderr));
    const modules: Module[] = JSON.parse(new TextDecoder().decode(stdout)).modules;
    return modules.filter(({ specifier }) => specifier !== pathToFileURL(roots).href);
  } finally {
    await Deno.remove(roots);
  }
}

/** Returns the part a module belongs to: `client`, `daemon/server`, `npm`, `node`, … */
function partOf(specifier: string): string {
  if (!specifier.startsWith("file:")) return specifier.split(":", 1)[0]!;
  const path = relative(ROOT, fileURLToPath(specifier)).replaceAll("\\", "/");
  const [first, second] = path.split("/");
  return first === "daemon" ? `${first}/${second}` : first!;
}

Deno.test("imports go one way", async () => {
  const wrong: string[] = [];
  for (const { specifier, dependencies = [] } of await graph()) {
    const part = partOf(specifier);
    if (!specifier.startsWith("file:")) continue;
    const allowed = MAY_IMPORT[part];
    if (allowed === undefined) wrong.push(`${specifier} belongs to no part of the project`);
    for (const { code, type } of dependencies) {
      const imported = (code ?? type)?.specifier;
      if (imported === undefined) continue;
      const other = partOf(imported);
      const outside = other === "node" || (other === "npm" && part.startsWith("daemon/"));
      if (outside || other === part || allowed?.includes(other)) continue;
      wrong.push(`${relative(ROOT, fileURLToPath(specifier))} imports ${imported}`);
    }
  }
  assert.deepEqual(wrong, []);
});

Deno.test("the client uses nothing of Deno's own, so that it runs on Node too", () => {
  const wrong = sources(join(ROOT, "client")).filter((path) =>
    Deno.readTextFileSync(path).split("\n")
      .some((line) => /\bDeno\./.test(line) && !/^\s*(\*|\/\/|\/\*)/.test(line))
  );
  assert.deepEqual(wrong, []);
});
