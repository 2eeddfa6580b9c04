/**
 * SQL on a file by a program that has no scruples: with SQLite's defences off it may write into the schema.
 *
 * @module
 */
import { RESULT, resultCodeName } from "../../daemon/sqlite/errors.ts";
import { cString, sqlite } from "../../daemon/sqlite/ffi.ts";

const OPEN_READWRITE_AND_CREATE = 0x6, OPEN_EXRESCODE = 0x2000000;

/** Runs SQL, of one or more statements, on the file at `path`, of which nobody in this process has a lock. */
export function execUndefended(path: string, sql: string): void {
  const lib = sqlite();
  const out = new BigUint64Array(2);
  const bytes = new Uint8Array(out.buffer);
  const pointer = (index: number) => Deno.UnsafePointer.create(out[index]);
  lib.sqlite3_open_v2(cString(path), bytes, OPEN_READWRITE_AND_CREATE | OPEN_EXRESCODE, null);
  const handle = pointer(0)!;
  const check = () => {
    const code = lib.sqlite3_extended_errcode(handle);
    if ([RESULT.OK, RESULT.ROW, RESULT.DONE].some((fine) => fine === code)) return;
    const message = Deno.UnsafePointerView.getCString(lib.sqlite3_errmsg(handle)!);
    throw new Error(`${resultCodeName(code)}: ${message}`);
  };
  try {
    check();
    let text = cString(`PRAGMA writable_schema = on;${sql}`);
    while (text.length > 1) {
      lib.sqlite3_prepare_v3(handle, text, text.length, 0, bytes, bytes.subarray(8));
      check();
      const statement = pointer(0);
      const used = Number(out[1] - BigInt(Deno.UnsafePointer.value(Deno.UnsafePointer.of(text))));
      try {
        if (statement !== null) {
          do lib.sqlite3_step(statement); while (
            lib.sqlite3_extended_errcode(handle) === RESULT.ROW
          );
          check();
        }
      } finally {
        lib.sqlite3_finalize(statement);
      }
      text = text.slice(used);
    }
  } finally {
    lib.sqlite3_close(handle);
  }
}
