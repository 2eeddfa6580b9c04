/**
 * Work off the loop that may keep a disk busy for seconds.
 *
 * @module
 */

/** Counts what is under way, of all databases: they are likely to be on one disk. */
export class DiskWork {
  #count = 0;

  /** Whether any is: a COMMIT may then wait for it, for a tenth of a second and more. */
  get isUnderWay(): boolean {
    return this.#count > 0;
  }

  /** Does some. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    this.#count++;
    try {
      return await work();
    } finally {
      this.#count--;
    }
  }
}

/** That of this process: steps and commits of slow writes, and copying of long logs. */
export const DISK_WORK: DiskWork = new DiskWork();
