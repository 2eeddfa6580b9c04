/**
 * How many slow steps run at once, and how much is prepared. Deno has 32 threads for calls off the loop, on Windows four a
 * core; what finds none waits, and on Windows the pipes need one as well.
 *
 * @module
 */
import { LIMITS } from "../process/limits.ts";
import { Room, Semaphore } from "./semaphore.ts";

const THREADS = Deno.build.os === "windows"
  ? Math.min(LIMITS.threadsMax, 4 * navigator.hardwareConcurrency)
  : LIMITS.threadsMax;

/** Of the queries of all databases: half of the threads, some of them for databases that have none yet. */
const queries = new Room(THREADS / 2, THREADS / 8);

/** Those of the queries of one database. */
export function querySlots(): Semaphore {
  return new Semaphore(THREADS / 4, queries);
}

/** Those of writes, of which a database has one at a time. */
export const WRITE_SLOTS: Semaphore = new Semaphore(THREADS / 4);

/** What is prepared off the loop at once, of all databases. */
const preparations = new Room(LIMITS.preparations.max, LIMITS.preparations.reserved);

/** Those of the queries of one database. */
export function preparationSlots(): Semaphore {
  return new Semaphore(LIMITS.preparations.ofDatabase, preparations);
}

/** Those of writes. */
export const WRITE_PREPARATION_SLOTS: Semaphore = preparationSlots();
