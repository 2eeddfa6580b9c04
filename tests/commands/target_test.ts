import assert from "node:assert/strict";
import { onlyOf } from "../../daemon/commands/target.ts";
import { SkylineError } from "../../client/errors.ts";
import { UsageError } from "../../daemon/process/config.ts";

const holder = (pid: number) => ({ endpoint: `E${pid}`, pid, path: `/data/${pid}.db` });

Deno.test("onlyOf() returns the daemon when one runs", () => {
  assert.equal(onlyOf([holder(1)]).endpoint, "E1");
});

Deno.test("onlyOf() throws NOT_RUNNING when none runs", () => {
  assert.throws(
    () => onlyOf([]),
    (error) => error instanceof SkylineError && error.code === "NOT_RUNNING",
  );
});

Deno.test("onlyOf() names the choice when several run", () => {
  assert.throws(
    () => onlyOf([holder(1), holder(2)]),
    (error) =>
      error instanceof UsageError && error.message === "2 daemons run: which one?" &&
      error.hint === "Name one of their files:\n  /data/1.db\n  /data/2.db",
  );
});
