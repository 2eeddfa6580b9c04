/**
 * What a client notes down: each write before it is sent, and again once it is acknowledged. It survives the client.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { closeSync, existsSync, openSync, readFileSync, writeSync } from "node:fs";

/** What became of a write. `lost`: nobody will send it again, and whether it is there is not known. */
export type Entry = "sent" | "acknowledged" | "replayed" | "lost";

/** A ledger as it was read. */
export interface LedgerText {
  /** By the writes' numbers, in the order in which they were first sent. */
  readonly entries: Map<number, Entry>;
  /** What the client met that it must not meet, each in a line. */
  readonly errors: string[];
}

/** Reads a ledger; one that does not exist is empty. */
export function readLedger(path: string): LedgerText {
  const entries = new Map<number, Entry>();
  const errors: string[] = [];
  if (!existsSync(path)) return { entries, errors };
  // The last piece is empty, or a line that its writer did not live to end.
  for (const line of readFileSync(path, "utf8").split("\n").slice(0, -1)) {
    const [entry, number, rest] = split(line);
    if (entry === "error") errors.push(rest);
    else entries.set(number, entry as Entry);
  }
  return { entries, errors };
}

function split(line: string): [entry: string, number: number, rest: string] {
  const [, entry, number, rest] = line.match(/^(\w+) (\d+) ?(.*)$/)!;
  return [entry, Number(number), rest];
}

/** A ledger that is written. A line is in the system's hands before the call returns. */
export class LedgerWriter implements Disposable {
  readonly #descriptor: number;

  /** Goes on at the end of the file. */
  constructor(path: string) {
    this.#descriptor = openSync(path, "a");
  }

  /** Notes that a write is about to be sent. */
  sent(number: number, hash: string): void {
    this.#line(`sent ${number} ${hash}`);
  }

  /** Notes what became of a write. */
  became(number: number, entry: Exclude<Entry, "sent">): void {
    this.#line(`${entry} ${number}`);
  }

  /** Notes what must not happen. */
  error(number: number, text: string): void {
    this.#line(`error ${number} ${text.replaceAll("\n", " ")}`);
  }

  #line(text: string): void {
    writeSync(this.#descriptor, text + "\n");
  }

  [Symbol.dispose](): void {
    closeSync(this.#descriptor);
  }
}

/** The text that a client's write stores: the same each time, of another length each. */
export function payloadOf(client: string, number: number): string {
  return `${client}/${number}/`.padEnd(20 + (number * 7_919) % 400, "x");
}

/** What a ledger keeps of a payload. */
export function hashOf(payload: string): string {
  return createHash("sha256").update(payload).digest("hex").slice(0, 16);
}

/** The statement of a write; nothing in the table keeps a second one from being there. */
export function insertOf(client: string, number: number) {
  const payload = payloadOf(client, number);
  return {
    sql: "insert into ledger values (?, ?, ?, ?)",
    params: [client, number, hashOf(payload), payload],
  };
}
