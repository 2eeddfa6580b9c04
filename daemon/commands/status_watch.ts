/**
 * `status --watch`: the status, again every second, until Ctrl+C.
 *
 * @module
 */
import { setTimeout as sleep } from "node:timers/promises";
import ansiEscapes from "ansi-escapes";
import { connect, type Database } from "../../client/database.ts";
import { SkylineError } from "../../client/errors.ts";
import type { DaemonStatus } from "../../client/protocol.ts";
import { UsageError } from "../process/config.ts";
import { EXIT } from "./exit_code.ts";
import { Graph } from "./graph.ts";
import { print } from "./output.ts";
import { countText, sizeText } from "./quantities.ts";
import { detailsText, titleText } from "./status_text.ts";
import { endpointOfDaemon, startHint } from "./target.ts";

const EVERY_MS = 1000;
/** What the graphs show, in seconds. */
const GRAPH_SECONDS = 120;
/** The size of a terminal that does not tell its own. */
const SIZE_UNKNOWN = { columns: 80, rows: 24 };

/** Shows a status; false when nobody looks any more. */
interface View extends Disposable {
  show(status: DaemonStatus): boolean;
}

/**
 * Shows how the daemon of `file`, or the only one that runs, is doing: redrawn in place, or as a line of JSON, every second.
 *
 * @returns {@link EXIT.done} after Ctrl+C, or when nobody reads any more.
 * @throws {SkylineError} `NOT_RUNNING` when the daemon ends.
 * @throws {UsageError} where there is no terminal to draw on.
 */
export async function watchStatus(file: string | undefined, json: boolean): Promise<number> {
  if (!json && !Deno.stdout.isTerminal()) {
    throw new UsageError(
      "--watch draws on a terminal, and standard output is none",
      "With --json it prints a line every second.",
    );
  }
  const endpoint = await endpointOfDaemon(file);
  await using database = await startHint(
    file,
    () => connect({ pipe: endpoint }, { retry: false }),
  );
  using stop = new StopSignal();
  try {
    using view = json ? new JsonLines() : new Screen();
    await Promise.race([showAll(database, view), stop.asked]);
    return EXIT.done;
  } catch (error) {
    throw hasEnded(error) ? ended() : error;
  }
}

/** Settles when nobody looks any more; rejects when the daemon ends. */
async function showAll(database: Database, view: View): Promise<void> {
  let next = performance.now();
  while (view.show(await database.status())) {
    next = Math.max(next + EVERY_MS, performance.now());
    await sleep(next - performance.now());
  }
}

function hasEnded(error: unknown): boolean {
  return error instanceof SkylineError &&
    (error.code === "CONNECTION_LOST" || error.code === "NOT_RUNNING");
}

function ended(): SkylineError {
  return new SkylineError("NOT_RUNNING", "The daemon has ended", {
    hint: "Its log says why; skylinedb-daemon list shows what is served.",
  });
}

/** Told to end by Ctrl+C, or by another program. */
class StopSignal implements Disposable {
  static readonly #NAMES: readonly Deno.Signal[] = Deno.build.os === "windows"
    ? ["SIGINT", "SIGBREAK"]
    : ["SIGINT", "SIGTERM"];
  #ask!: () => void;
  /** Settles when it was. */
  readonly asked: Promise<void> = new Promise((resolve) => this.#ask = resolve);

  constructor() {
    for (const name of StopSignal.#NAMES) Deno.addSignalListener(name, this.#ask);
  }

  [Symbol.dispose](): void {
    for (const name of StopSignal.#NAMES) Deno.removeSignalListener(name, this.#ask);
  }
}

class JsonLines implements View {
  show(status: DaemonStatus): boolean {
    return print(JSON.stringify(status) + "\n");
  }

  [Symbol.dispose](): void {}
}

/** The terminal's other screen: the first one is back, as it was, afterwards. */
class Screen implements View {
  readonly #graphs = new Graphs();

  constructor() {
    print(ansiEscapes.enterAlternativeScreen + ansiEscapes.cursorHide);
  }

  show(status: DaemonStatus): boolean {
    const { columns, rows } = Deno.consoleSize().rows > 0 ? Deno.consoleSize() : SIZE_UNKNOWN;
    this.#graphs.add(status);
    const page = `${titleText(status)}\n\n${this.#graphs.text(columns)}\n${detailsText(status)}`;
    // Without the last column: behind it a terminal would erase what it holds.
    const lines = page.split("\n").slice(0, rows).map((line) =>
      [...line].slice(0, columns - 1).join("") + ansiEscapes.eraseEndLine
    );
    // Over what is there, which does not flicker as an empty screen in between would.
    return print(ansiEscapes.cursorTo(0, 0) + lines.join("\r\n") + ansiEscapes.eraseDown);
  }

  [Symbol.dispose](): void {
    print(ansiEscapes.cursorShow + ansiEscapes.exitAlternativeScreen);
  }
}

/** What has become of memory, connections and rates. */
class Graphs {
  readonly #memory = new Graph(GRAPH_SECONDS);
  readonly #connections = new Graph(GRAPH_SECONDS);
  readonly #writes = new Graph(GRAPH_SECONDS);
  readonly #queries = new Graph(GRAPH_SECONDS);
  #before: DaemonStatus | undefined;

  add(status: DaemonStatus): void {
    this.#memory.add(status.memory.private ?? status.memory.rss);
    this.#connections.add(status.connections);
    this.#writes.add(this.#rate(status, ({ writes }) => writes));
    this.#queries.add(this.#rate(status, ({ queries }) => queries));
    this.#before = status;
  }

  /** A second since the last status; 0 where that was another daemon's. */
  #rate(status: DaemonStatus, count: (of: DaemonStatus["databases"][number]) => number): number {
    if (this.#before?.pid !== status.pid) return 0;
    const sum = (of: DaemonStatus) => of.databases.reduce((all, each) => all + count(each), 0);
    const seconds = (status.uptime_ms - this.#before.uptime_ms) / 1000;
    return seconds > 0 ? (sum(status) - sum(this.#before)) / seconds : 0;
  }

  text(columns: number): string {
    const lines: readonly [string, Graph, (value: number) => string][] = [
      ["memory", this.#memory, sizeText],
      ["connections", this.#connections, countText],
      ["writes/s", this.#writes, countText],
      ["queries/s", this.#queries, countText],
    ];
    return lines.map(([name, graph, text]) => {
      const [left, right] = [
        `  ${name.padEnd(12)} ${text(graph.last).padStart(9)} `,
        ` up to ${text(graph.max)}`.padEnd(18),
      ];
      const width = Math.max(0, Math.min(columns - left.length - right.length, GRAPH_SECONDS));
      return left + graph.bars(width) + right + "\n";
    }).join("");
  }
}
