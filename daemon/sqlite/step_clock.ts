/**
 * The clock that ends steps on the event loop.
 *
 * @module
 */
import { type DatabaseHandle, sqlite } from "./ffi.ts";

/**
 * How many operations of SQLite's machine pass between two looks at the clock, and where few of them may take long. The library
 * that is built looks by itself: a scan takes 3% longer for it, and 5%.
 */
const OPERATIONS = { rarely: 100, often: 50 };
/** Another library has to ask here, which takes as long as 50 operations. */
const OPERATIONS_ELSEWHERE = { rarely: 1_000, often: 50 };

const PROGRESS_HANDLER = { parameters: ["pointer"], result: "i32" } as const;

/** Ends the steps of a connection that run past a time, with SQLITE_INTERRUPT: those that are given one by `Statement.stepWithin`. */
export class StepClock {
  readonly #handle: DatabaseHandle;
  /** Where the library does not look by itself. */
  readonly #handler: Deno.UnsafeCallback<typeof PROGRESS_HANDLER> | undefined;
  #looksOften = false;
  /** Until when steps may run, on the clock of `performance.now()`. */
  until = Infinity;

  /** Looks at it from now on. */
  constructor(handle: DatabaseHandle) {
    this.#handle = handle;
    if (sqlite().skylinedb_look_at_clock === null) {
      this.#handler = new Deno.UnsafeCallback(
        PROGRESS_HANDLER,
        () => performance.now() > this.until ? 1 : 0,
      );
    }
    this.go();
  }

  /** Looks at it as it did before {@link StepClock.stop}. */
  go(): void {
    const operations = this.#handler ? OPERATIONS_ELSEWHERE : OPERATIONS;
    this.#look(this.#looksOften ? operations.often : operations.rarely);
  }

  /**
   * Looks at it no more until {@link StepClock.go}. Off the loop, where every look of JavaScript would cost 75 µs, a timer and
   * `Connection.interrupt` serve.
   */
  stop(): void {
    this.#look(0);
  }

  #look(operations: number): void {
    const lib = sqlite();
    if (this.#handler) {
      const pointer = operations > 0 ? this.#handler.pointer : null;
      lib.sqlite3_progress_handler(this.#handle, operations, pointer, null);
    } else lib.skylinedb_look_at_clock!(this.#handle, operations);
  }

  /** Whether to look at it often from now on, as a single step may read much; false by default. */
  set looksOften(often: boolean) {
    if (often === this.#looksOften) return;
    this.#looksOften = often;
    this.go();
  }

  /** The connection has been closed. */
  close(): void {
    this.#handler?.close();
  }
}
