import assert from "node:assert/strict";
import { assertBelow, daemonTest } from "./daemon_case.ts";
import { longestBeside } from "./longest_beside.ts";

daemonTest("Query of a row of many large values is refused and holds nobody else", async (it) => {
  await it.exec("create table texts(a)", "insert into texts values (hex(zeroblob(5000000)))");
  await it.exec("create table blobs(a)", "insert into blobs values (zeroblob(10000000))");
  for (const table of ["texts", "blobs"]) {
    const sql = `select ${Array(30).fill("a")} from ${table}`;
    await assertBelow(250, `a Ping or a write beside ${table}`, async (attempt) => {
      return await longestBeside(it, async () => {
        const answer = await it.client.ask({ type: "Query", sql: `${sql} -- ${attempt}` });
        assert.equal(answer.code, "RESULT_TOO_LARGE", JSON.stringify(answer).slice(0, 200));
      });
    });
  }
}, { files: ["a.db", "b.db"] });
