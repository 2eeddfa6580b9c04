/**
 * What all connections hold together.
 *
 * @module
 */

/** Memory of all connections, which has bounds for all together. */
export class ConnectionMemory {
  /** Bytes of half-received frames. */
  partialBytes = 0;
}
