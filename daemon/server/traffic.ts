/**
 * What goes through connections.
 *
 * @module
 */

/** What went through one connection, or several. */
export class Traffic {
  /** Requests read. */
  requests = 0;
  receivedBytes = 0;
  sentBytes = 0;

  /** Counts what went through others as well. */
  add({ requests, receivedBytes, sentBytes }: Traffic): void {
    this.requests += requests;
    this.receivedBytes += receivedBytes;
    this.sentBytes += sentBytes;
  }
}

/** What went through all connections that are closed. */
export class ClosedTraffic extends Traffic {
  /** Connections since the start, also those that are open. */
  connections = 0;
}
