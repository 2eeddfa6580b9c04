import assert from "node:assert/strict";

Deno.test("the README and .ci/run name the same Deno", async () => {
  const versions = new Set<string>();
  for (const name of ["README.md", ".ci/run"]) {
    const text = await Deno.readTextFile(new URL(`../../${name}`, import.meta.url));
    const found = [...text.matchAll(/deno@(\d+\.\d+\.\d+)/g)].map(([, version]) => version!);
    assert.notEqual(found.length, 0, `${name} names none`);
    for (const version of found) versions.add(version);
  }
  assert.equal(versions.size, 1, [...versions].join(", "));
});
