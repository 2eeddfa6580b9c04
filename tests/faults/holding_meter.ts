/**
 * How a daemon answers others while something goes on: Ping, a quick query and a write, each on a connection of its own.
 * It runs on a thread of its own, so that whoever makes the trouble does not hold it.
 *
 * @module
 */
/** What is measured. */
export type Measured = "ping" | "query" | "write";

/** Milliseconds that each took. */
export type Times = Record<Measured, number[]>;

/** Measures on a thread of its own. */
export class HoldingMeter implements Disposable {
  readonly #worker = new Worker(new URL("holding_meter_worker.ts", import.meta.url), {
    type: "module",
  });

  #ask(message: unknown): Promise<Times> {
    return new Promise((resolve, reject) => {
      this.#worker.onmessage = ({ data }) => resolve(data);
      this.#worker.onerror = (event) => {
        event.preventDefault();
        reject(new Error(event.message));
      };
      this.#worker.postMessage(message);
    });
  }

  /** Connects, and begins to measure. The database at `endpoint` has a table `small`. */
  async begin(endpoint: string): Promise<void> {
    await this.#ask(endpoint);
  }

  /** What was measured since; waits for what is under way. */
  end(): Promise<Times> {
    return this.#ask(null);
  }

  [Symbol.dispose](): void {
    this.#worker.terminate();
  }
}
