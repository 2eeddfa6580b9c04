/**
 * Run by `ffi_test.ts`: a callback of SQLite's changes what the code that stepped has been optimised for.
 *
 * @module
 */
import { Connection } from "../../daemon/sqlite/connection.ts";

const [file] = Deno.args;
const CALLS = 60_000;

const connection = Connection.open(file);
connection.exec("PRAGMA journal_mode = wal; PRAGMA synchronous = off; CREATE TABLE t (v)");
const holder = { value: 1 };
let calls = 0;
// In place of the frames that the WAL hook notes: any callback may change any object.
Object.defineProperty(connection.wal, "frames", {
  set() {
    if (++calls === CALLS) holder.value = calls;
  },
});
connection.wal.watch();
const insert = connection.prepare("INSERT INTO t VALUES (1)", { persistent: true }).statement!;

function stepOnce(): number {
  const row = insert.step();
  return Number(row) + holder.value;
}

let last = 0;
for (let i = 0; i < CALLS + 100; i++) {
  last = stepOnce();
  insert.reset();
}
insert.finalize();
connection.close();
console.log(`survived ${last}`);
