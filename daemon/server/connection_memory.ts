/**
 * What all connections hold together.
 *
 * @module
 */
import { SkylineError } from "../../client/errors.ts";
import { LIMITS } from "../process/limits.ts";

/** A connection that may hold answers that its client does not fetch. */
export interface UnreadHolder {
  /** The memory of its answers, in bytes. */
  readonly unread: number;
  /** How much its client has fetched up to now, in bytes. */
  readonly fetched: number;
  /** Closes the connection at once. */
  cut(): void;
}

/** A query that waits until it may begin. */
interface Waiting {
  isDue(): boolean;
  begin(): void;
}

/** A connection that is watched, as it was seen last. */
interface Watched {
  fetched: number;
  /** For so many looks it has fetched nothing. */
  stuck: number;
}

/** Memory of all connections, which has bounds for all together. */
export class ConnectionMemory {
  /** Bytes of half-received frames. */
  partialBytes = 0;
  /** Requests that wait for their answers, and their bytes. */
  waitingRequests = 0;
  waitingBytes = 0;
  /** Answers that clients do not fetch, in bytes. */
  #unread = 0;
  readonly #holders = new Map<UnreadHolder, Watched>();
  #waiting: Waiting[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** Whether so many requests wait that who has some sends no more for a while. */
  get isCrowded(): boolean {
    const { requests, bytes } = LIMITS.waitingMax;
    return this.waitingRequests >= requests || this.waitingBytes >= bytes;
  }

  /**
   * Whether a request of so many bytes may wait.
   *
   * @throws {SkylineError} `QUEUE_FULL` where it is long, and those that wait hold too much.
   */
  checkWaiting(bytes: number): void {
    const { bytes: max, longBytes } = LIMITS.waitingMax;
    if (bytes <= longBytes || this.waitingBytes + bytes <= max) return;
    throw new SkylineError(
      "QUEUE_FULL",
      `Requests of all connections that wait for their answers hold over ${max} bytes`,
    );
  }

  /** Whether there is so much of them that who has some begins nothing more. */
  get isShort(): boolean {
    return this.#unread > LIMITS.unread.bytes;
  }

  /** Whether `holder` has fetched enough of its answers to begin a query that takes long. */
  hasFetched({ unread }: UnreadHolder): boolean {
    return unread < LIMITS.connectionBytesMax && !(unread > 0 && this.isShort);
  }

  /** Whether all together have fetched enough of theirs. */
  get hasRoom(): boolean {
    return this.#unread <= LIMITS.unread.waitBytes;
  }

  /** Settles when `isDue` gives true, which is asked as answers are fetched. */
  wait(isDue: () => boolean): Promise<void> {
    return new Promise((begin) => this.#waiting.push({ isDue, begin }));
  }

  /** `holder` has so many bytes more, or less. Past the bounds who does not fetch them is cut. */
  add(holder: UnreadHolder, bytes: number): void {
    this.#unread += bytes;
    if (holder.unread === 0) this.#holders.delete(holder);
    else if (!this.#holders.has(holder)) {
      this.#holders.set(holder, { fetched: holder.fetched, stuck: 0 });
    }
    if (bytes < 0) this.#letIn();
    if (!this.isShort) return;
    while (this.#unread > LIMITS.unread.bytesMax && this.#cutLargest(this.#holders.keys()));
    this.#timer ??= setTimeout(() => this.#look(), LIMITS.unread.lookMs);
  }

  #letIn(): void {
    if (this.#waiting.length === 0) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const each of waiting) {
      if (each.isDue()) each.begin();
      else this.#waiting.push(each);
    }
  }

  /** Cuts who has fetched nothing for a while; where queries of others wait for that, for a short while. */
  #look(): void {
    this.#timer = undefined;
    for (const [{ fetched }, watched] of this.#holders) {
      watched.stuck = fetched === watched.fetched ? watched.stuck + 1 : 0;
      watched.fetched = fetched;
    }
    const looks = this.hasRoom ? LIMITS.unread.looks : 2;
    const stuck = [...this.#holders].filter(([, watched]) => watched.stuck >= looks);
    const holders = new Set(stuck.map(([holder]) => holder));
    while (this.isShort && this.#cutLargest(holders));
    if (this.isShort) this.#timer = setTimeout(() => this.#look(), LIMITS.unread.lookMs);
  }

  #cutLargest(holders: Iterable<UnreadHolder>): boolean {
    let largest: UnreadHolder | undefined;
    for (const each of holders) if (each.unread > (largest?.unread ?? 0)) largest = each;
    // It has nothing then.
    largest?.cut();
    return largest !== undefined;
  }
}
