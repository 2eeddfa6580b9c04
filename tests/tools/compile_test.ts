import assert from "node:assert/strict";
import { basename, join } from "node:path";
import config from "../../deno.json" with { type: "json" };
import { V8_FLAGS } from "../../daemon/process/v8_flags.ts";
import { bundledLibraryPath } from "../../daemon/sqlite/library.ts";
import { compile } from "../../tools/compile.ts";

Deno.test("compile() refuses a Deno whose executables do not start", {
  ignore: Deno.build.os === "windows", // the compiler is a shell script
}, async () => {
  const folder = await Deno.makeTempDir({ prefix: "skylinedb-compile-" });
  try {
    const deno = join(folder, "deno");
    await Deno.writeTextFile(deno, '#!/bin/sh\necho "deno 2.9.3 (stable)"\n', { mode: 0o755 });
    await assert.rejects(compile({ deno }), /made by Deno 2\.9\.3 do not start\. Use another/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("compile() embeds the daemon, its library and no other package", {
  ignore: !Deno.env.get("SKYLINEDB_TEST_EXE"),
}, async () => {
  const executable = await Deno.readFile(Deno.env.get("SKYLINEDB_TEST_EXE")!);
  const text = new TextDecoder("latin1").decode(executable);
  assert.ok(
    text.includes(basename(bundledLibraryPath(Deno.build.target))),
    "the library is inside",
  );
  assert.ok(!text.includes("prebuild-install"), "what only builds the library is not");
});

Deno.test("compile() takes an entry that imports no package", {
  ignore: !Deno.env.get("EXE_DENORT"), // the runtime may have to be downloaded
}, async () => {
  const folder = await Deno.makeTempDir({ prefix: "skylinedb-compile-" });
  try {
    const entry = join(folder, "entry.ts");
    await Deno.writeTextFile(entry, 'console.log("ran", Deno.build.standalone);\n');
    const output = join(folder, "program");
    const { path, size } = await compile({ entry, output });
    assert.deepEqual([path, size], [output, (await Deno.stat(output)).size]);
    const { stdout } = await new Deno.Command(path, { signal: AbortSignal.timeout(30_000) })
      .output();
    assert.equal(new TextDecoder().decode(stdout), "ran true\n");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("the task start runs V8 as the executable does", () => {
  assert.ok(config.tasks.start.command.includes(` ${V8_FLAGS} `), config.tasks.start.command);
});
