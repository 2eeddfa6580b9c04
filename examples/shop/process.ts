/**
 * A process of the shop: it runs until its standard input ends, and may print lines.
 *
 * @module
 */

/** A child process. At dispose it is killed, if it still runs. */
export class Process implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #name: string;

  /** Starts it. What it writes to standard error is shown. */
  constructor(command: string, args: string[]) {
    this.#name = [command, ...args].join(" ");
    this.#child = new Deno.Command(command, {
      args,
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#lines = lines(this.#child.stdout);
  }

  /** The first line that it prints. */
  async firstLine(): Promise<string> {
    const { done, value } = await this.#lines.next();
    if (done) throw new Error(`${this.#name} ended without a word`);
    return value;
  }

  /** Ends its standard input, waits for its end, and returns the last line that it printed since. */
  async end(): Promise<string> {
    await this.#child.stdin.close();
    let last = "";
    for (let next = await this.#lines.next(); !next.done; next = await this.#lines.next()) {
      last = next.value;
    }
    const { code } = await this.#child.status;
    if (code !== 0) throw new Error(`${this.#name} ended with code ${code}`);
    return last;
  }

  /** Kills it. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    await this.#child.stdin.close().catch(() => {}); // closed before
    await this.#lines.return?.();
    await this.#child.status;
  }
}

async function* lines(stream: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<string> {
  let rest = "";
  for await (const part of stream.pipeThrough(new TextDecoderStream())) {
    const all = (rest + part).split(/\r?\n/);
    rest = all.pop()!;
    yield* all;
  }
  if (rest !== "") yield rest;
}
