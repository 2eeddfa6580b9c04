/**
 * The process that makes the load, from outside.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import type { Done, Order } from "./load.ts";

/** A running {@link Order} taker. At dispose it ends, and its connections with it. */
export class LoadProcess implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;
  readonly #lines: AsyncGenerator<string>;

  /** Starts the process, for the daemon at `endpoint`. */
  constructor(endpoint: string) {
    this.#child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", fileURLToPath(new URL("load.ts", import.meta.url)), endpoint],
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    this.#input = this.#child.stdin.getWriter();
    this.#lines = linesOf(this.#child.stdout);
  }

  /**
   * Has an order carried out.
   *
   * @throws {Error} when it fails: the process ends, and says why on standard error.
   */
  async run(order: Order): Promise<Done> {
    await this.#input.write(new TextEncoder().encode(JSON.stringify(order) + "\n"));
    const { value } = await this.#lines.next();
    if (value === undefined) throw new Error("The process that makes the load has ended");
    return JSON.parse(value);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#input.close().catch(() => {});
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended already.
    }
    await this.#child.status;
    await this.#lines.return(undefined);
  }
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let text = "";
  for await (const part of stream.pipeThrough(new TextDecoderStream() as TransformStream)) {
    const lines = (text + part).split("\n");
    text = lines.pop()!;
    yield* lines;
  }
}
