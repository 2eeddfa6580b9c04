/**
 * How V8 is to run the daemon.
 *
 * @module
 */

/**
 * The collector on call, for when the daemon is idle; a young generation of 4 MiB, in which requests die; no helpers, which
 * would take the second core; and a heap that grows by more than 2 MB after it was shrunk. The figures are in
 * `docs/decisions.md`. The task `start` in `deno.json` has them as well.
 */
export const V8_FLAGS =
  "--v8-flags=--expose-gc,--max-semi-space-size=4,--single-threaded-gc,--heap-growing-percent=200";
