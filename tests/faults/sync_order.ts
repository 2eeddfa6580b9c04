/**
 * Reads from a trace of system calls whether answers waited for their fsync.
 *
 * @module
 */

/** What a trace shows. */
export interface SyncOrder {
  /** Answers that acknowledge a write. */
  readonly acknowledged: number;
  /** Calls of fsync or fdatasync on the log that succeeded. */
  readonly syncs: number;
  /** The answers that left too early, each in a line. */
  readonly early: string[];
}

/** One line of a trace: a call's begin, its end, or both. */
interface Line {
  readonly thread: string;
  readonly time: string;
  readonly call: string;
  readonly rest: string;
  readonly begins: boolean;
  readonly ends: boolean;
}

/**
 * Follows a trace made by `strace -f -tt -y` with enough `-s`. The write with id N must have stored the text `ack-N;`:
 * so it is known in which transaction it is.
 */
export function unsyncedAnswers(trace: string, wal: string): SyncOrder {
  const reading = new Reading(wal);
  for (const text of trace.split("\n")) {
    const line = parseLine(text);
    if (line !== null) reading.take(line);
  }
  return reading;
}

function parseLine(text: string): Line | null {
  const match = text.match(/^(\d+)\s+(\S+)\s+(?:<\.\.\. (\w+) resumed>|(\w+)\()(.*)$/);
  if (match === null) return null;
  const [, thread, time, resumed, called, rest] = match;
  const ends = !rest.endsWith("<unfinished ...>");
  return { thread, time, call: resumed ?? called, rest, begins: called !== undefined, ends };
}

class Reading implements SyncOrder {
  acknowledged = 0;
  syncs = 0;
  readonly early: string[] = [];
  /** Transactions that are whole in the log. */
  #written = 0;
  /** As many of them are on the disk. */
  #synced = 0;
  /** For an id, the number of the transaction that holds it. */
  readonly #transactionOf = new Map<string, number>();
  /** Ids that were written since the last transaction ended. */
  #open: string[] = [];
  /** Whether the frame that ends the transaction has begun with its header. */
  #isLastFrame = false;
  /** For a thread, what its call under way began with. */
  readonly #begun = new Map<string, { rest: string; written: number }>();

  constructor(readonly wal: string) {}

  take(line: Line): void {
    if (line.begins) this.#begun.set(line.thread, { rest: line.rest, written: this.#written });
    const begun = this.#begun.get(line.thread);
    if (begun === undefined) return; // it began before the trace did
    switch (line.call) {
      case "pwrite64":
        if (line.ends && this.#isOfWal(begun.rest)) this.#frame(begun.rest);
        break;
      case "fsync":
      case "fdatasync":
        if (line.ends && this.#isOfWal(begun.rest) && /= 0$/.test(line.rest)) {
          this.syncs++;
          this.#synced = Math.max(this.#synced, begun.written);
        }
        break;
      default:
        if (line.begins) this.#send(line);
    }
  }

  #isOfWal(rest: string): boolean {
    return rest.startsWith(`${rest.match(/^\d+/)?.[0]}<${this.wal}>`);
  }

  /** A frame is two writes: a header of 24 bytes, which says whether it ends the transaction, and a page. */
  #frame(rest: string): void {
    const text = rest.slice(rest.indexOf('"') + 1, rest.lastIndexOf('"'));
    const length = Number(rest.slice(rest.lastIndexOf('"')).match(/, (\d+), \d+/)?.[1]);
    if (length === 24) {
      this.#isLastFrame = firstBytes(text, 8).slice(4).some((byte) => byte !== 0);
      return;
    }
    for (const [, id] of text.matchAll(/ack-(\d+);/g)) {
      if (!this.#transactionOf.has(id)) this.#open.push(id);
    }
    if (!this.#isLastFrame) return;
    this.#isLastFrame = false;
    this.#written++;
    for (const id of this.#open) this.#transactionOf.set(id, this.#written);
    this.#open = [];
  }

  #send({ rest, time }: Line): void {
    for (const [, id] of rest.matchAll(/\\"id\\":(\d+),\\"status\\":\\"ok\\"/g)) {
      this.acknowledged++;
      const transaction = this.#transactionOf.get(id);
      if (transaction === undefined) this.early.push(`${time}: ${id} before it was written`);
      else if (transaction > this.#synced) this.early.push(`${time}: ${id} before its fsync`);
    }
  }
}

const ESCAPES: Readonly<Record<string, number>> = { n: 10, t: 9, r: 13, v: 11, f: 12 };

/** The first bytes of a text as strace escapes it. */
function firstBytes(text: string, count: number): number[] {
  const bytes: number[] = [];
  for (const [unit] of text.matchAll(/\\[0-7]{1,3}|\\.|[^\\]/g)) {
    if (bytes.length === count) break;
    const escaped = unit.slice(1);
    if (unit.length === 1) bytes.push(unit.charCodeAt(0));
    else if (/^[0-7]/.test(escaped)) bytes.push(Number.parseInt(escaped, 8));
    else bytes.push(ESCAPES[escaped] ?? escaped.charCodeAt(0));
  }
  return bytes;
}
