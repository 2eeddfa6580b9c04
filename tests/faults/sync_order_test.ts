import assert from "node:assert/strict";
import { unsyncedAnswers } from "./sync_order.ts";

const WAL = "/x/app.db-wal";

/** Lines as strace prints them. */
const header = (thread: number, last: boolean) =>
  `${thread} 12:00:00.1 pwrite64(16<${WAL}>, "\\0\\0\\0\\2\\0\\0\\0\\${
    last ? 3 : 0
  }$\\276x\\261", 24, 32) = 24`;
const page = (thread: number, text: string) =>
  `${thread} 12:00:00.2 pwrite64(16<${WAL}>, "\\r\\0\\0${text}"..., 4096, 56) = 4096`;
const sync = (thread: number, result = "0") =>
  `${thread} 12:00:00.3 fdatasync(16<${WAL}>) = ${result}`;
const answer = (thread: number, ...ids: number[]) =>
  `${thread} 12:00:00.4 sendto(21<UNIX:[1->2]>, "${
    ids.map((id) => `/\\0\\0\\0{\\"id\\":${id},\\"status\\":\\"ok\\",\\"rev\\":2}`).join("")
  }", 45, MSG_NOSIGNAL, NULL, 0) = 45`;

function early(...lines: string[]): string[] {
  return unsyncedAnswers(lines.join("\n"), WAL).early;
}

Deno.test("unsyncedAnswers() finds nothing when each answer follows its fsync", () => {
  const trace = [
    header(1, false),
    page(1, "ack-1;"),
    header(1, true),
    page(1, "ack-2;ack-1;"),
    sync(1),
    answer(1, 1, 2),
    header(1, true),
    page(1, "ack-2;ack-1;ack-3;"),
    sync(1),
    answer(1, 3),
  ];
  const { acknowledged, syncs, early } = unsyncedAnswers(trace.join("\n"), WAL);
  assert.deepEqual([acknowledged, syncs, early], [3, 2, []]);
});

Deno.test("unsyncedAnswers() finds an answer when its frames are not written, or not synced", () => {
  assert.equal(early(answer(1, 1)).length, 1);
  assert.equal(early(header(1, true), page(1, "ack-1;"), answer(1, 1), sync(1)).length, 1);
  assert.equal(
    early(header(1, true), page(1, "ack-1;"), sync(1, "-1 EIO"), answer(1, 1)).length,
    1,
  );
  const otherFile = sync(1).replace(WAL, "/x/app.db");
  assert.equal(early(header(1, true), page(1, "ack-1;"), otherFile, answer(1, 1)).length, 1);
});

Deno.test("unsyncedAnswers() finds an answer when the frame that commits came after the fsync", () => {
  const trace = [header(1, false), page(1, "ack-1;"), sync(1), header(1, true), page(1, "")];
  assert.equal(early(...trace, answer(1, 1)).length, 1);
  assert.equal(early(...trace, sync(1), answer(1, 1)).length, 0);
});

Deno.test("unsyncedAnswers() counts what was written when an fsync began, on whichever thread", () => {
  const begins = `2 12:00:00.3 fdatasync(16<${WAL}> <unfinished ...>`;
  const ends = "2 12:00:00.5 <... fdatasync resumed>) = 0";
  const first = [header(1, true), page(1, "ack-1;"), begins, header(1, true), page(1, "ack-2;")];
  assert.equal(early(...first, answer(1, 1)).length, 1);
  assert.equal(early(...first, ends, answer(1, 1)).length, 0);
  assert.equal(early(...first, ends, answer(1, 2)).length, 1);
});
