import assert from "node:assert/strict";
import { plainStart } from "../../daemon/commands/plain_start.ts";

Deno.test("plainStart() returns the files when nothing else is given", () => {
  assert.deepEqual(plainStart(["app.db"]), ["app.db"]);
  assert.deepEqual(plainStart(["./app", "b"]), ["./app", "b"]);
  assert.deepEqual(plainStart(["D:\\data\\app"]), ["D:\\data\\app"]);
  assert.deepEqual(plainStart(["start", "app"]), ["app"]);
});

Deno.test("plainStart() returns null when there is something to parse", () => {
  for (const args of [[], ["start"], ["status"], ["stauts"], ["app.db", "--background"], ["-h"]]) {
    assert.equal(plainStart(args), null);
  }
});
