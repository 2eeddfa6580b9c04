import assert from "node:assert/strict";
import { Trace, whyNoTrace } from "../faults/strace.ts";
import { daemonTest } from "./daemon_case.ts";

const ROWS =
  "with n(i) as (select 1 union all select i + 1 from n where i < 100000) select i from n";
const SORT = {
  type: "ExecBatch",
  stmts: [{ sql: `insert into t select zeroblob(100) from (${ROWS}) order by random()` }],
};

daemonTest("A sort that finds no folder for temporary files says so", async (it) => {
  await it.exec("create table t(a)");
  {
    // As where /tmp and /var/tmp are read-only for a service.
    const calls = "access,faccessat,faccessat2";
    await using _trace = await Trace.attach(it.daemon.pid, [
      ...["-e", `trace=${calls}`, "-e", `inject=${calls}:error=EROFS`],
    ]);
    const refused = await it.client.ask(SORT);
    assert.deepEqual([refused.code, refused.sqlite_code], [
      ...["CANNOT_OPEN", "SQLITE_IOERR_GETTEMPPATH"],
    ]);
    assert.match(refused.message, /temporary files/);
    assert.match(refused.hint, /TMPDIR/);
  }
  assert.equal((await it.client.ask(SORT)).status, "ok");
}, { ignore: await whyNoTrace() !== undefined });
