/**
 * The command line of nearly every start: files and nothing else.
 *
 * @module
 */

/** Whether an argument names a file: by a separator or an extension, so that `stauts` is a mistake and no database. */
export function isFileName(argument: string): boolean {
  return /[\\/.]/.test(argument);
}

/**
 * The files, when the arguments start a daemon without any option; else `null`. Such a line needs no parser, and an app
 * that waits for its daemon does not wait for the parser to be loaded: 10 ms of 60.
 */
export function plainStart(args: readonly string[]): readonly string[] | null {
  const files = args[0] === "start" ? args.slice(1) : args;
  const isStart = files.length > 0 && (files !== args || isFileName(args[0]));
  return isStart && !files.some((file) => file.startsWith("-")) ? files : null;
}
