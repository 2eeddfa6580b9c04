/**
 * Shows that a long step is under way, on standard error: standard output belongs to results.
 *
 * @module
 */

/** A step under way: call one of its methods once, when it has ended. */
export interface Progress {
  /** Ends it with a line that says what there is now. */
  done(text: string): void;
  /** Ends it without one: the caller reports the error. */
  failed(): void;
}

/** Two spinners would draw over one another: the second of two steps at once has none. */
let spinning = false;

/**
 * Announces a step: on a terminal with a spinner and the seconds that have passed, elsewhere
 * with one plain line.
 *
 * @param text what happens, and how long it takes
 */
export async function progress(text: string): Promise<Progress> {
  if (spinning || !Deno.stderr.isTerminal()) {
    console.error(text);
    return { done: (result) => console.error(result), failed() {} };
  }
  spinning = true;
  const { default: yoctoSpinner } = await import("yocto-spinner");
  const spinner = yoctoSpinner({ text }).start();
  const started = Date.now();
  const timer = setInterval(() => {
    spinner.text = `${text}: ${Math.round((Date.now() - started) / 1000)} s`;
  }, 1000);
  const stop = () => {
    clearInterval(timer);
    spinning = false;
  };
  return {
    done(result) {
      stop();
      spinner.success(result);
    },
    failed() {
      stop();
      spinner.error(text);
    },
  };
}
