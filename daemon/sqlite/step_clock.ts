/**
 * The clock that ends steps on the event loop.
 *
 * @module
 */
import { type DatabaseHandle, sqlite } from "./ffi.ts";

/** How many operations of SQLite's machine pass between two looks at the clock. */
const OPERATIONS = 1000;
/** The same where few operations may take long; it takes up to three quarters of the time of those that do not. */
const OPERATIONS_OFTEN = 50;

const PROGRESS_HANDLER = { parameters: ["pointer"], result: "i32" } as const;

/** Ends the steps of a connection that run past a time, with SQLITE_INTERRUPT. */
export class StepClock {
  readonly #handle: DatabaseHandle;
  readonly #handler: Deno.UnsafeCallback<typeof PROGRESS_HANDLER>;
  #looksOften = false;
  /** Until when steps may run, on the clock of `performance.now()`. */
  until = Infinity;

  /** Looks at it from now on. */
  constructor(handle: DatabaseHandle) {
    this.#handle = handle;
    this.#handler = new Deno.UnsafeCallback(
      PROGRESS_HANDLER,
      () => performance.now() > this.until ? 1 : 0,
    );
    this.#look(OPERATIONS);
  }

  #look(operations: number): void {
    const handler = operations > 0 ? this.#handler.pointer : null;
    sqlite().sqlite3_progress_handler(this.#handle, operations, handler, null);
  }

  /** Looks at it as it did before {@link StepClock.stop}. */
  go(): void {
    this.#look(this.#looksOften ? OPERATIONS_OFTEN : OPERATIONS);
  }

  /**
   * Looks at it no more until {@link StepClock.go}. Off the loop every look would cost 75 µs: there a timer and
   * `Connection.interrupt` serve.
   */
  stop(): void {
    this.#look(0);
  }

  /** Whether to look at it often from now on, as a single step may read much; false by default. */
  set looksOften(often: boolean) {
    if (often === this.#looksOften) return;
    this.#looksOften = often;
    this.go();
  }

  /** The connection has been closed. */
  close(): void {
    this.#handler.close();
  }
}
